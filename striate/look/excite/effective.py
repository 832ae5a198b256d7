"""The effective receptive field: how strongly each pixel changes the middle unit of a step.

    map[p] = sqrt(mean over images and colours of sum over channels c of (d y[c, middle] / d x[p])²)

The sum over channels takes one backward pass: each channel is given a random sign, and the mean of (sum of ±g)² is the
sum of g². A window in theory is a rectangle; in effect it is a hill, as high in the middle as it is flat at the edge.

Source: Luo, Li, Urtasun & Zemel 2016, arXiv:1701.04128: gradients of the centre averaged over images, the size counted
where they exceed 1 - 95.45 % of the centre's.
Differs: squares in place of values, so that a layer's channels don't cancel; relative to the largest value, which in a
trained network need not be at the centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArtefactError, UsageError
from striate.look.excite.fields import Grid, Seen, fields, gradients
from striate.look.excite.steps import stages

SHARE = 1 - 0.9545  # of the largest value: a Gaussian falls to it at 2.5 standard deviations
DRAWS = 16  # backward passes over the images, at least: with fewer images each gets several sets of signs


@dataclass(frozen=True, eq=False)
class Effective:
    """What the middle unit of a step sees of images of one size."""

    layer: str
    channel: int | None  # None: all channels of the step
    map: Tensor  # (H, W), as above
    place: Grid  # of the unit; 0, 0 where the step has no places
    seen: Seen  # in theory
    images: int

    @property
    def area(self) -> int:
        """Pixels whose value is above 4.55 % of the largest."""
        most = float(self.map.max())
        return int((self.map > SHARE * most).sum()) if most > 0 else 0

    @property
    def side(self) -> float:
        """Of the square with this area, in pixels."""
        return sqrt(self.area)

    @property
    def sigma(self) -> tuple[float, float] | None:
        """Standard deviations down and across, in pixels, of the Gaussian with the same second moments."""
        total = float(self.map.sum())
        if not total > 0:
            return None
        found = []
        for axis in (1, 0):
            share = self.map.sum(axis).double() / total
            at = torch.arange(len(share), dtype=torch.float64, device=share.device)
            middle = (share * at).sum()
            found.append(float((share * (at - middle) ** 2).sum().clamp_min(0).sqrt()))
        return found[0], found[1]

    def to_json(self) -> dict[str, Any]:
        """Sizes in pixels; the map is left out."""
        return {
            "step": self.layer,
            "channel": self.channel,
            "place": self.place if self.seen.grid else None,
            "theoretical": self.seen.to_json(),
            "effective": {"area": self.area, "side": round(self.side, 2), "sigma": self.sigma},
            "images": self.images,
        }


@dataclass(frozen=True, eq=False)
class Fields:
    """The receptive fields of several steps, first to last."""

    steps: tuple[Effective, ...]
    pixels: Any  # (H, W, 1 or 3) uint8, the image that they are drawn on

    def _repr_png_(self) -> bytes:
        from striate.look.excite.picture import draw_fields
        from striate.look.png import figure_png

        return figure_png(draw_fields(self.steps, self.pixels))


def effective_fields(
    module: nn.Module,
    x: Tensor,
    layers: Sequence[str] | None = None,
    *,
    channel: int | None = None,
    batch: int = 4,
    seed: int = 0,
) -> tuple[Effective, ...]:
    """Prepared images (N, c, H, W) -> the effective field of the middle unit of each step; None: a step a resolution.

    `channel` asks for one channel of each. The module is as it was afterwards, `.grad` included.

    Raises: UnknownName for a step that is not there; UsageError for a channel that there is not, or without images;
    ArtefactError where a gradient is not finite.
    """
    if x.ndim != 4 or not len(x):
        raise UsageError(f"images of shape {tuple(x.shape)}; expected (N, c, H, W) with one or more")
    weight = next(module.parameters(), x)
    x = x.to(weight.device)
    layers = stages(module, x[:1]) if layers is None else layers
    seen = fields(module, x, layers)
    places = {name: (grid[0] // 2, grid[1] // 2) if (grid := seen[name].grid) else (0, 0) for name in layers}
    generators = {name: torch.Generator().manual_seed(seed) for name in layers}
    draws = 1 if channel is not None else max(1, DRAWS // len(x))

    def middle(name: str, y: Tensor) -> list[Tensor]:
        """The sum over the channels of the middle unit, once for each set of signs."""
        unit = y[:, :, places[name][0], places[name][1]] if seen[name].grid else y.flatten(1)
        if channel is not None:
            if not 0 <= channel < unit.shape[1]:
                raise UsageError(f"step {name!r} has no channel {channel}; it has {unit.shape[1]:,}, from 0 on")
            return [unit[:, channel].sum()]
        signs = torch.randint(0, 2, (draws, *unit.shape), generator=generators[name]) * 2 - 1
        return [(unit * one).sum() for one in signs.to(unit.device, unit.dtype)]

    squares = {name: torch.zeros(x.shape[2:], dtype=torch.float64, device=x.device) for name in layers}
    for some in torch.split(x, batch):
        for name, found in gradients(module, some, layers, middle).items():
            for gradient in found:
                if not bool(gradient.isfinite().all()):
                    raise ArtefactError(f"a gradient at step {name!r} is not finite; the weights may be damaged")
                squares[name] += gradient.double().square().mean(1).sum(0)
    return tuple(
        Effective(name, channel, (squares[name] / (draws * len(x))).sqrt(), places[name], seen[name], len(x))
        for name in layers
    )
