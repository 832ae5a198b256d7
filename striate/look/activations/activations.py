"""Every channel of every layer for some images, while they run through: numbers of all, maps of those asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.look.activations.retained import Thumbnail
from striate.look.activations.steps import Step, Steps, makers, stages, steps_of, watched
from striate.look.activations.tally import LayerActivations, Tally
from striate.look.explain.score import on_device_of
from striate.run.inference import evaluating

READ = 4  # images on which it is measured how much of them a layer retains
Each = Callable[[Step, Tensor, int], None]


@dataclass(frozen=True, eq=False)
class Activations:
    """Layers in the order in which they finished."""

    layers: tuple[LayerActivations, ...]
    images: int
    size: tuple[int, int, int]  # (c, H, W) of an image
    by_place: float | None  # `retained` of a layer that knew only where a place is
    notes: tuple[str, ...]  # what could not be seen

    def __getitem__(self, name: str) -> LayerActivations:
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise UnknownName(f"there are no activations of {name!r}{suggest(name, names, 'there are ' + _some(names))}")

    def __iter__(self) -> Iterator[LayerActivations]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def to_json(self) -> dict[str, Any]:
        return {
            "images": self.images, "size": list(self.size), "retained_by_place": self.by_place,
            "layers": [layer.to_json() for layer in self.layers], "notes": list(self.notes),
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from striate.look.activations.overview import fragment

        return fragment(self)


def activations(
    module: nn.Module, images: Tensor, layers: Sequence[str] | str | None = None, *, each: Each | None = None,
    batch: int = 16,
) -> Activations:  # fmt: skip
    """Normalised images (N, c, H, W) -> what every layer put out for them, in one pass for each `batch` of images.

    `layers` are names of steps, as of `trace`; "stages" for the last step of each resolution; None for all. Of all
    layers there are numbers, and no maps are kept: `each` is called with every step, its maps (n, C, h, w) and the
    number of the first of these images, while they are there. Of named layers and stages the maps are kept, on the CPU.

    A unit is a channel at a place. Layers are run in evaluation mode; parameters, their gradients, modes and hooks are
    afterwards as they were, also after an error. What a `forward` computes without a layer is not seen: `notes` say so.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    >>> _ = net[0].weight.data.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    >>> found = activations(net, torch.ones(1, 1, 4, 4), ["1"])["1"]
    >>> found.sparsity, found.dead.tolist(), found.maps.shape
    (0.5, [False, True], torch.Size([1, 2, 4, 4]))

    Raises: UnknownName for a step that is not there; ShapeError for images of another form, or a step that did not run.
    """
    x = checked(module, images)
    wanted = None if layers is None else {step.name for step in chosen(module, steps_of(module, x[:1]).found, layers)}
    return measure(module, x, wanted, keep=wanted is not None, each=each, batch=batch)


def measure(
    module: nn.Module, x: Tensor, wanted: set[str] | None, *, keep: bool, each: Each | None = None, batch: int = 16
) -> Activations:
    """The same for images that are where the weights are, and steps `wanted` by name; None: all that make something."""
    if batch < 1:
        raise UsageError(f"batch = {batch}; expected at least 1")
    parts = dict(module.named_modules())
    tallies: dict[str, Tally] = {}
    seen, first = Steps(), 0

    def tell(step: Step, y: Tensor) -> None:
        if step.name not in wanted if wanted is not None else not step.makes:
            return
        if step.name not in tallies:
            tallies[step.name] = Tally(step, parts.get(step.name.split(":")[0], module))
        tally = tallies[step.name]
        tally.add(y, keep=keep)
        if y.ndim == 4:
            read = [one.retained(maps) for one, maps in zip(thumbnails[first : first + batch], y, strict=False)]
            tally.retained += [share for share in read if share is not None]
        if each is not None:
            each(step, y, first)

    with torch.inference_mode(False), evaluating(module):
        thumbnails = [Thumbnail(one) for one in x[:READ]]
        for first in range(0, len(x), batch):
            some = x[first : first + batch]
            with watched(module, some, tell, seen):
                module(some)
            seen.found.clear()
    told = tuple(tally.told() for tally in tallies.values())
    wrong = [f"{one.name} put out {one.not_finite:,} values that are not finite" for one in told if one.not_finite]
    places = [one.by_place for one in thumbnails if one.by_place is not None]
    c, h, w = x.shape[1:]
    by_place = sum(places) / len(places) if places else None
    return Activations(told, len(x), (c, h, w), by_place, (*seen.notes, *wrong))


def chosen(module: nn.Module, steps: Sequence[Step], layers: Sequence[str] | str) -> list[Step]:
    """The steps that were asked for: by name, each time that they run; or "stages"."""
    if layers == "stages":
        return stages(steps)
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise UsageError("no layers were named; give some names, 'stages', or None for all")
    found: list[Step] = []
    for name in names:
        same = [step for step in steps if name in (step.name, step.name.split(":")[0])]
        if not same:
            known = [step.name for step in steps]
            if name in dict(module.named_modules(remove_duplicate=False)):
                raise ShapeError(
                    f"{name} put out nothing to be shown: it did not run, or has another name where it is used twice"
                )
            words = suggest(name, known, f"there are {_some([step.name for step in makers(steps)])}")
            raise UnknownName(f"{type(module).__name__} has no layer {name!r}{words}")
        found += [step for step in same if step not in found]
    return found


def checked(module: nn.Module, images: Tensor) -> Tensor:
    """A copy of the images where the weights are, and of their type.  Raises: ShapeError."""
    if not isinstance(images, Tensor) or images.ndim != 4 or 0 in images.shape:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ShapeError(f"the images have the form {given}; expected (N, c, H, W), normalised")
    with torch.inference_mode(False):
        x = on_device_of(module, images)
        weight = next((p for p in module.parameters() if p.is_floating_point()), None)
        return x if weight is None else x.to(weight.dtype)


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
