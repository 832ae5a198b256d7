"""Does a map find what the network uses? The pixels are taken away, or brought in, in the map's order.

    deletion     the brightest pixels of the map are covered first: the probability of the class should fall at once
    insertion    they come back first, on a blurred image: it should rise at once

The area under each curve, 0 to 1, says how soon; the same areas in a random order say what chance would reach.

Source:  Petsiuk, Das, Saenko 2018, arXiv:1806.07421, section 3.3.
Differs: what is covered shows the mean colour (0 in normalised units); pixels that are alike in the map go in an
         order of chance, which is the same for all maps. The blur grows with the image, where theirs has 11 pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ShapeError, UsageError
from striate.look.explain.score import logits, on_device_of
from striate.run.inference import evaluating, probabilities

LEAST = 0.05  # probability below which a curve of it says nothing


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Probabilities of the class, for N images, after each of S + 1 equal shares of the pixels."""

    deletion: Tensor  # (N, S + 1)
    insertion: Tensor  # (N, S + 1)
    deletion_by_chance: Tensor  # (N, S + 1)
    insertion_by_chance: Tensor  # (N, S + 1)

    def areas(self) -> dict[str, Tensor]:
        """The area (N,) under each curve, by its name, over shares from 0 to 1."""
        return {name: torch.trapezoid(curve, dx=1 / (curve.shape[1] - 1)) for name, curve in vars(self).items()}

    def warning(self) -> str | None:
        """What to say of maps that find no more than chance, or of a class that is never probable; else None."""
        if max(float(curve.max()) for curve in vars(self).values()) < LEAST:
            return (
                "deletion and insertion tell nothing here: the class never gets a probability of 5 % from the network"
            )
        mean = {name: float(area.mean()) for name, area in self.areas().items()}
        if mean["insertion"] > mean["insertion_by_chance"] or mean["deletion"] < mean["deletion_by_chance"]:
            return None
        return (
            "this map finds what the network uses no better than chance, neither by taking pixels away (area "
            f"{mean['deletion']:.2f}, by chance {mean['deletion_by_chance']:.2f}) nor by bringing them in "
            f"({mean['insertion']:.2f}, by chance {mean['insertion_by_chance']:.2f})"
        )


def faithfulness(
    module: nn.Module, images: Tensor, classes: int, target: Tensor, maps: Tensor, *, steps: int = 32, seed: int = 0
) -> Faithfulness:
    """Normalised images (N, c, H, W), classes (N,) and maps (N, H, W) -> the curves, taken at `steps` + 1 points.

    Raises: ShapeError for maps of another size; UsageError for less than one step, or more than there are pixels.
    """
    n, _, height, width = images.shape
    if maps.shape != (n, height, width):
        raise ShapeError(f"maps of shape {tuple(maps.shape)} for images {tuple(images.shape)}; expected (N, H, W)")
    if not 1 <= steps <= height * width:
        raise UsageError(f"steps = {steps}; expected 1 to {height * width}, the pixels of the image")
    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images)
        target, chance = target.to(x.device), torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(height * width, generator=chance).to(x.device)
        bright = maps.detach().to(x.device, torch.float64).flatten(1)[:, shuffled]
        by_map = bright.argsort(dim=1, descending=True, stable=True)
        orders = {"": shuffled[by_map], "_by_chance": shuffled.expand(n, -1)}
        begins = {"deletion": (x, torch.zeros_like(x)), "insertion": (_blurred(x), x)}
        curves = {
            way + which: _curve(module, before, after, classes, target, order, steps)
            for way, (before, after) in begins.items()
            for which, order in orders.items()
        }
    return Faithfulness(**curves)


def _curve(
    module: nn.Module, before: Tensor, after: Tensor, classes: int, target: Tensor, order: Tensor, steps: int
) -> Tensor:
    """The probability while the pixels of `before` become those of `after`, in order."""
    turns = torch.arange(order.shape[1], device=order.device).expand_as(order)
    when = torch.empty_like(order).scatter_(1, order, turns)
    when = when.view(len(before), 1, *before.shape[2:])
    points = []
    for step in range(steps + 1):
        seen = torch.where(when < step * order.shape[1] / steps, after, before)
        p = probabilities(logits(module, seen, classes), classes)
        points.append(p.gather(1, target[:, None])[:, 0])
    return torch.stack(points, dim=1).cpu()


def _blurred(x: Tensor) -> Tensor:
    """A Gaussian with a deviation of an eighth of the shorter side; edges repeat."""
    deviation = max(1.0, min(x.shape[2:]) / 8)
    reach = min(round(2.5 * deviation), min(x.shape[2:]) - 1)
    t = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(t**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    padded = functional.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel[:, :, None], groups=x.shape[1])
    return functional.conv2d(rows, kernel[:, :, :, None], groups=x.shape[1])
