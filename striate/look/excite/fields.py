"""Where in the image a unit's receptive field lies: followed through the operations; where that can't be, measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate.look.excite.steps import told
from striate.look.explain.localise import Box
from striate.models.cost import Watch
from striate.models.field import Field
from striate.models.skeleton import images, skeleton
from striate.run.inference import evaluating

How = Literal["in theory", "measured", "unknown"]
NOISE = 4  # images with which a field is measured
Grid = tuple[int, int]
Reduce = Callable[[str, Tensor], Sequence[Tensor]]  # a step's name and its output -> numbers


@dataclass(frozen=True)
class Seen:
    """The window of pixels that a unit of a step can depend on, and how that is known."""

    field: Field | None
    how: How
    grid: Grid | None  # places of the step's maps, None for a step without places
    image: tuple[int, int]  # H, W in pixels

    def window(self, place: Grid) -> Box | None:
        """The pixels that the unit at this place sees; outside the image is padding. None: unknown."""
        if self.field is None:
            return None
        top, left = (low + i * jump for low, i, jump in zip(self.field.low, place, self.field.jump, strict=True))
        return Box(top, left, *self.field.size)

    def box(self, place: Grid) -> Box | None:
        """The same, clipped at the border of the image.

        >>> Seen(Field((-1, -1), (1, 1), (2, 2)), "in theory", (4, 4), (8, 8)).box((0, 3))
        Box(top=0, left=5, height=2, width=3)
        """
        window = self.window(place)
        if window is None:
            return None
        (top, height), (left, width) = (
            _clipped(first, n, limit) for first, n, limit in zip(window[:2], window[2:], self.image, strict=True)
        )
        return Box(top, left, height, width)

    @property
    def whole(self) -> bool:
        """True if every unit may see every pixel, or nobody knows what it sees."""
        h, w = self.grid or (1, 1)
        corners = [self.box((i, j)) for i in (0, h - 1) for j in (0, w - 1)]
        return all(box is None or box == Box(0, 0, *self.image) for box in corners)

    def to_json(self) -> dict[str, Any]:
        """Size and stride in pixels, padding counted in."""
        size = self.field and self.field.size
        return {"how": self.how, "size": size, "stride": self.field.jump if self.field else None}


def fields(module: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Seen]:
    """What units of the named steps see of images like x (1 or more, c, H, W); the module is not touched.

    Raises: as `striate.look.excite.steps.told`.
    """
    grids: dict[str, Grid | None] = {}

    def size(name: str, y: Tensor) -> None:
        grids[name] = (y.shape[2], y.shape[3]) if y.ndim == 4 else None

    with told(module, names, size), evaluating(module):
        module(x[:1])
    followed = _followed(module, (x.shape[1], x.shape[2], x.shape[3]), names)
    found: dict[str, Seen] = {}
    for name in names:
        how: How = "in theory"
        if (field := followed.get(name)) is None:
            field = _measured(module, x[:1], name, grids[name])
            how = "unknown" if field is None else "measured"
        found[name] = Seen(field, how, grids[name], (x.shape[2], x.shape[3]))
    return found


def gradients(module: nn.Module, x: Tensor, names: Sequence[str], reduce: Reduce) -> dict[str, list[Tensor]]:
    """Gradients in x, (N, c, H, W) each, of the numbers that `reduce` makes of each step's output, in one pass.

    A step whose output does not depend on x is left out. Works for frozen parameters and inside `torch.no_grad()`; no
    `.grad` is touched.
    """
    kept: dict[str, Sequence[Tensor]] = {}

    def keep(name: str, y: Tensor) -> None:
        if y.requires_grad:
            kept[name] = reduce(name, y)

    with torch.inference_mode(False), evaluating(module), torch.enable_grad(), told(module, names, keep):
        given = x.detach().clone().requires_grad_()
        module(given)
        found = {
            name: [torch.autograd.grad(one, given, retain_graph=True, allow_unused=True)[0] for one in numbers]
            for name, numbers in kept.items()
        }
    return {name: [g.detach() for g in some if g is not None] for name, some in found.items()}


def _followed(module: nn.Module, shape: tuple[int, int, int], names: Sequence[str]) -> dict[str, Field | None]:
    """By the rules of `striate.models.field`, on a copy without numbers; what depends on numbers gets them."""
    for device in ("meta", "cpu"):
        try:
            return _watched(skeleton(module, device=device).eval(), shape, names)
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError):
            continue  # it can't be copied, or not run on an image without numbers
    return {}


def _watched(copy: nn.Module, shape: tuple[int, int, int], names: Sequence[str]) -> dict[str, Field | None]:
    image = images(copy, (1, *shape))
    watch = Watch(image)
    found: dict[str, Field | None] = {}

    def look(name: str, y: Tensor) -> None:
        found[name] = watch.seen(y)

    with told(copy, names, look), watch, torch.no_grad():
        copy(image)
    return found


def _measured(module: nn.Module, x: Tensor, name: str, grid: Grid | None) -> Field | None:
    """From the pixels of noise to which the gradient of the middle unit leads, and of its neighbour."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(NOISE, *x.shape[1:], generator=generator).to(x.device, x.dtype)
    h, w = grid or (1, 1)
    middle = (h // 2, w // 2)
    here = _touched(module, noise, name, middle if grid else None)
    if here is None:
        return None
    beside = (max(0, middle[0] - 1), max(0, middle[1] - 1))
    there = _touched(module, noise, name, beside if grid else None) or here
    low, high, jump = [], [], []
    for axis, side in enumerate(x.shape[2:]):
        (first, last), (first_before, _) = here[axis], there[axis]
        step = first - first_before if middle[axis] != beside[axis] else 0
        if first == 0 and last == side - 1:
            step = 0
        low.append(first - middle[axis] * step)
        high.append(last - middle[axis] * step)
        jump.append(step)
    return Field((low[0], low[1]), (high[0], high[1]), (jump[0], jump[1]))


def _touched(module: nn.Module, x: Tensor, name: str, place: Grid | None) -> list[tuple[int, int]] | None:
    """First and last row, first and last column in which the gradient is not zero."""

    def one(_: str, y: Tensor) -> list[Tensor]:
        unit = y[:, :, place[0], place[1]] if place else y.flatten(1)
        weight = torch.randn(unit.shape, generator=torch.Generator().manual_seed(1)).to(unit.device, unit.dtype)
        return [(unit * weight).sum()]

    found = gradients(module, x, [name], one).get(name)
    if not found or not bool((found[0] != 0).any()):
        return None
    seen = (found[0] != 0).any(0).any(0)
    ends = []
    for axis in (1, 0):
        where = seen.any(axis).nonzero().flatten()
        ends.append((int(where[0]), int(where[-1])))
    return ends


def _clipped(first: int, n: int, limit: int) -> tuple[int, int]:
    low, high = min(max(0, first), limit - 1), max(1, min(limit, first + n))
    return low, max(1, high - low)
