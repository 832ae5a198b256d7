"""Features computed once: what the frozen part of a network makes of each image is kept, and training runs on it.

Nothing in front of the cut changes while it is frozen, so the same image gives the same features in every epoch: as it
is, or in one of `views` augmented forms, which are used in turn. While the cut is in place the network's chains skip
the steps in front of it, and take features where they took images; all else of the training stays as it is. What is
computed is the same; with another number of images in a batch a last bit may round otherwise.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from striate.blocks.wiring import Chain
from striate.data.augment import Augment
from striate.data.carried import carried
from striate.data.loader import Batch, Loader, free_memory
from striate.run.inference import evaluating
from striate.training.recipe import Recipe
from striate.training.transfer.places import steps

Tell = Callable[[str, int, int], None]  # what, done, of
Place = Callable[[Batch], tuple[Tensor, Tensor, Tensor | None]]  # images, labels, shares where the network is
RANDOM = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def cut_at(module: nn.Module, frozen: tuple[str, ...]) -> tuple[str, ...]:
    """The steps whose outcome never changes: those that are frozen, and what follows without numbers or chance.

    Empty where the network is not a chain: then it can't be cut.

    >>> net = Chain(conv=nn.Conv2d(1, 4, 3), pool=nn.AdaptiveAvgPool2d(1), drop=nn.Dropout(), fc=nn.Linear(4, 2))
    >>> cut_at(net, ("conv",))
    ('conv', 'pool')
    """
    known = steps(module)
    if type(module) is not Chain or not frozen:
        return ()
    n = len(frozen)
    while n < len(known) and _fixed(module.get_submodule(known[n])):
        n += 1
    return known[:n]


def _fixed(step: nn.Module) -> bool:
    return not step.state_dict() and not any(isinstance(part, RANDOM) for part in step.modules())


def why_live(module: nn.Module, recipe: Recipe, cut: tuple[str, ...]) -> str:
    """Why features can't be cached; "" where they can."""
    augment = Augment.parse(recipe.augment)
    if not cut:
        chain = type(module) is Chain
        return "nothing is frozen" if chain else f"{recipe.model} is no chain of steps that could be cut"
    if recipe.engine != "torch":
        return f"engine = {recipe.engine!r} runs the whole network"
    if augment.ops and not recipe.views:
        return "every epoch sees other forms of the images; views=4 keeps four of each, augment=none the image itself"
    if augment.mixes:
        return "images are mixed with others of their batch"
    return ""


class Shortcut:
    """A network that begins behind the cut. `end` puts it back."""

    def __init__(self, module: nn.Module, cut: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """`shape` is that of the features of one image, as the step behind the cut takes them."""
        self._orders = {name: part.order for name, part in _opened(module, "")}
        self._module = module
        for name, order in self._orders.items():
            inside = {step: f"{name}.{step}" if name else step for step in order}
            kept = tuple(step for step, full in inside.items() if not _covered(module, full, cut))
            module.get_submodule(name).order = kept  # type: ignore[assignment]  # a Chain's
        self._hook: RemovableHandle = module.register_forward_pre_hook(partial(_unpacked, shape))

    def end(self) -> None:
        self._hook.remove()
        for name, order in self._orders.items():
            self._module.get_submodule(name).order = order  # type: ignore[assignment]


def _unpacked(shape: tuple[int, ...], _module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    x = given[0].reshape(-1, *shape)
    return (x if torch.is_autocast_enabled(x.device.type) else x.float(),)


def _opened(module: nn.Module, name: str) -> Iterator[tuple[str, Chain]]:
    """The chains whose steps are the network's: not those inside of a step, which still has to run as a whole."""
    assert isinstance(module, Chain)
    yield name, module
    for step, child in module.named_children():
        if type(child) is Chain:
            yield from _opened(child, f"{name}.{step}" if name else step)


def _covered(module: nn.Module, place: str, cut: tuple[str, ...]) -> bool:
    """Whether all of a step, or of a chain, is in front of the cut."""
    part = module.get_submodule(place)
    if type(part) is not Chain:
        return place in cut
    return all(f"{place}.{step}" in cut for step in steps(part))


class FeatureLoader(Loader):
    """Batches of features (N, C, H, W) or (N, C, 1, 1) in place of images, as those of another loader.

    `begin` says where the cut is; until then, and with an empty cut, images are given on.
    """

    def __init__(
        self,
        images: Loader,
        module: nn.Module,
        *,
        place: Place,
        bf16: bool,
        tell: Tell,
        trained_on: bool,
    ) -> None:
        self.images = images
        self.split, self.preprocess, self.classes = images.split, images.preprocess, images.classes
        self.batch, self.seed, self.augment, self.views = images.batch, images.seed, images.augment, images.views
        self.workers = 0
        self._module, self._place, self._bf16, self._tell, self._trained_on = module, place, bf16, tell, trained_on
        self._in_front: tuple[str, ...] = ()
        self._kept: dict[int | None, Tensor] = {}

    def begin(self, cut: tuple[str, ...]) -> None:
        """From here on give what these steps make of the images."""
        self._in_front, self._kept = cut, {}
        self.images.rank, self.images.ranks = (0, 1) if cut else (self.rank, self.ranks)  # features are cut up here

    def prepare(self, epoch: int) -> None:
        """Compute what the epoch will ask for."""
        if self._in_front:
            view = epoch % self.views if self.views else 0
            self._features_of(None if self.augment is None else view)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        return super().epoch(epoch, start) if self._in_front else self.images.epoch(epoch, start)

    def in_order(self) -> Iterator[Batch]:
        """Features of each image as it is. Those of the images that are trained on are asked for to look at a few."""
        if not self._in_front:
            yield from self.images.in_order()
        elif self._trained_on:
            yield from map(self._features, self.images.in_order())
        else:
            yield from super().in_order()

    def _make(self, indices: NDArray[np.int64], epoch: int, augment: Augment | None) -> Batch:
        features = self._features_of(None if augment is None else epoch)
        labels = carried(self.split.labels[indices], self.images.device)
        return Batch(features[carried(indices, features.device)], labels, None)

    def _features_of(self, view: int | None) -> Tensor:
        if view not in self._kept:
            self._kept[view] = self._compute(view)
        return self._kept[view]

    def _compute(self, view: int | None) -> Tensor:
        """Features of the whole split, in stored order and in batches of the training's size."""
        parts, done = [], 0
        what = "computing features" if view is None else f"computing features, view {view + 1} of {self.views}"
        for batch in self.images.in_order() if view is None else self.images.view(view):
            parts.append(self._features(batch).images)
            done += len(batch.labels)
            self._tell(what, done, len(self.split))
        return torch.cat(parts)

    @torch.no_grad()
    def _features(self, batch: Batch) -> Batch:
        x = self._place(batch)[0]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            for step in self._in_front:
                x = self._module.get_submodule(step)(x)
        return Batch(x.reshape(len(x), -1, *(x.shape[2:] if x.dim() == 4 else (1, 1))), batch.labels, None)


def feature_shape(module: nn.Module, cut: tuple[str, ...], image: tuple[int, int, int]) -> tuple[int, ...]:
    """What the steps in front of the cut make of one image (C, H, W), without the batch's axis."""
    x = torch.zeros(1, *image, device=next(module.parameters()).device)
    with evaluating(module):
        for step in cut:
            x = module.get_submodule(step)(x)
    return tuple(x.shape[1:])


def fits(images: int, views: int, shape: tuple[int, ...], device: torch.device) -> bool:
    """Whether the features of so many images, in so many forms each, take at most half of a device's free memory."""
    return images * max(1, views) * int(np.prod(shape)) * 4 <= free_memory(device) // 2
