"""Filter patterns: images that excite a filter, a unit or a class most, found by climbing along gradients.

    from striate.look.filters.patterns import patterns

    found = patterns(classifier.module, channels(classifier.module, "layer1", canvas), canvas, Fourier())
    found.images    # (N, H, W, 3) uint8

Any number at once; which ones makes no difference to each of them, apart from rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import UsageError
from striate.look.filters.ascent import Ascent, Climbed, Step
from striate.look.filters.canvas import Canvas
from striate.look.filters.objectives import Channel, Objective, layers_of
from striate.look.filters.reach import reach
from striate.look.filters.route import Route, device_of, dtype_of, mixes_images, passing, route, undisturbed

PIXELS_CPU, PIXELS_GPU = 4 * 150 * 150, 64 * 224 * 224  # in a batch: what a processor's cache, a card's memory takes
MOST = 256  # images in a batch
FLAT = (
    "no gradient: what is raised does not change with the image that it begins with, so there is no way up (a silent "
    "filter; the step before the rectifier may have a gradient)"
)
LINEAR = (
    "the gradient is the same at every step: nothing bends between the image and the mean of the map, so the pattern "
    "is one colour; name the activation behind it, or one unit"
)
WEAK = (
    "the gradient is far below the 1e-5 that the lectures' formula adds to its root mean square, so the steps were "
    "next to none; the method fourier has no such limit"
)
LOWER = "no higher than at the start: these steps found nothing that raises it"
NOT_FINITE = "NaN or infinity on the way: this pattern means nothing"


class Method(Protocol):
    """A way to climb; see `striate.look.filters.ascent`."""

    @property
    def steps(self) -> int: ...

    def describe(self) -> str: ...

    def climb(self, way: Route, objectives: Sequence[Objective], canvas: Canvas, seed: int, tick: Step) -> Climbed: ...

    def picture(self, pixels: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Patterns:
    """N objectives, and for each the image that was found."""

    objectives: tuple[Objective, ...]
    images: NDArray[np.uint8]  # (N, H, W, 1 or 3), red first, as they are shown
    pixels: Tensor  # (N, c, H, W) float32, as the network was given them before normalisation; need not lie in 0..255
    before: tuple[float, ...]  # the objective, for the image that it began with
    after: tuple[float, ...]  # and for `pixels`
    remarks: tuple[str, ...]  # on each pattern; empty where there is nothing to say
    canvas: Canvas
    said: str  # how they were found, in a sentence
    seed: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before believing them, each with the patterns that it is about."""
        found: dict[str, list[str]] = {}
        for one, remark in zip(self.objectives, self.remarks, strict=True):
            if remark:
                found.setdefault(remark, []).append(one.label)
        return tuple(
            f"{', '.join(who[:8])}{f' and {len(who) - 8} more' if len(who) > 8 else ''}: {remark}"
            for remark, who in found.items()
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "how": self.said, "seed": self.seed, "size": list(self.canvas.size),
            "patterns": [
                {"of": one.key, "label": one.label, "before": before, "after": after}
                | ({"remark": remark} if remark else {})
                for one, before, after, remark in zip(
                    self.objectives, self.before, self.after, self.remarks, strict=True
                )
            ],
        }  # fmt: skip

    def _repr_png_(self) -> bytes:
        from striate.look.filters.picture import pattern_sheet
        from striate.look.png import picture_png

        return picture_png(pattern_sheet(self))


def patterns(
    module: nn.Module, objectives: Sequence[Objective], canvas: Canvas, method: Method | None = None, *, seed: int = 0,
    classes: int | None = None, batch: int | None = None, progress: Callable[[int, int], None] | None = None,
) -> Patterns:  # fmt: skip
    """For each objective the image that `method` (by default `Ascent()`, the lectures' one) finds.

    The network runs up to the layers that are read and no further; of the last convolution before a channel or unit,
    one map is computed. Random numbers depend on `seed` and on the objective alone. `classes`, the number of the
    network's classes, is needed for logits. `batch` images are climbed together: by default what suits the device; a
    network with a batch norm without running statistics takes one. `progress` is called with the steps done and all.
    Modes, `.grad`, `requires_grad` and hooks are afterwards as they were.

    Raises: UnknownName for a layer that is not there; UsageError for a channel, place or class that is not there;
    ShapeError for a layer without channels, or an image size that does not go through the network.
    """
    if not objectives:
        raise UsageError("there is nothing to find a pattern for: no channel, unit or class is named")
    if batch is not None and batch < 1:
        raise UsageError(f"batch is {batch}; expected a whole number from 1 on")
    method = Ascent() if method is None else method
    at_once = 1 if mixes_images(module) else batch or _suitable(canvas, device_of(module))
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, one in enumerate(objectives):
        groups.setdefault(layers_of([one]), []).append(i)
    total, done = len(objectives) * method.steps, 0
    found: dict[int, tuple[Tensor, float, float, str]] = {}
    with undisturbed(module):
        for members in groups.values():
            way = route(module, [objectives[i] for i in members], _probe(canvas, module), classes)
            for first in range(0, len(members), at_once):
                some = members[first : first + at_once]

                def tick(size: int = len(some)) -> None:
                    nonlocal done
                    done += size
                    if progress is not None:
                        progress(done, total)

                found |= zip(
                    some, _rows(method.climb(way, [objectives[i] for i in some], canvas, seed, tick)), strict=True
                )
    ordered = [found[i] for i in range(len(objectives))]
    pixels = torch.stack([one[0] for one in ordered])
    return Patterns(
        objectives=tuple(objectives),
        images=canvas.shown(method.picture(pixels).numpy()),
        pixels=pixels,
        before=tuple(one[1] for one in ordered),
        after=tuple(one[2] for one in ordered),
        remarks=tuple(one[3] for one in ordered),
        canvas=canvas,
        said=method.describe(),
        seed=seed,
    )


def channels(module: nn.Module, layer: str, canvas: Canvas) -> list[Channel]:
    """All channels of a layer (N, C, h, w), or units of a dense one (N, C), as objectives.

    Raises: UnknownName, ShapeError, as `patterns`.
    """
    probe = _probe(canvas, module)
    with undisturbed(module), passing(module, probe):
        seen = reach(module, probe, [layer])
    return [Channel(layer, c) for c in range(seen[layer].shape[1])]


def _probe(canvas: Canvas, module: nn.Module) -> Tensor:
    return canvas.gray(device_of(module)).to(dtype_of(module))


def _suitable(canvas: Canvas, device: torch.device) -> int:
    budget = PIXELS_CPU if device.type == "cpu" else PIXELS_GPU
    return max(1, min(MOST, budget // (canvas.size[0] * canvas.size[1])))


def _rows(climbed: Climbed) -> list[tuple[Tensor, float, float, str]]:
    """Image by image: pixels, value before and after, and what is to be said of it."""
    pixels = climbed.pixels.detach().cpu()
    rows = []
    for i, (before, after) in enumerate(zip(climbed.before.tolist(), climbed.after.tolist(), strict=True)):
        broken = not bool(pixels[i].isfinite().all()) or after != after
        remark = NOT_FINITE if broken else FLAT if climbed.flat[i] else LINEAR if climbed.linear[i] else ""
        remark = remark or (WEAK if climbed.weak[i] else LOWER if after <= before else "")
        rows.append((pixels[i].nan_to_num(128.0, 255.0, 0.0) if broken else pixels[i], before, after, remark))
    return rows
