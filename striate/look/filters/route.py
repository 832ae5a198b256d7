"""From images to what they are to raise, and the gradient in them, by the shortest way that the network allows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.look.filters.objectives import LOGITS, Objective, layers_of, values
from striate.look.filters.one_filter import Tail, ToPixels, find_tail
from striate.look.filters.reach import reach
from striate.run.inference import evaluating


@dataclass(frozen=True)
class Route:
    """A network, up to the layers that some objectives read; with a tail, of the last convolution one map an image."""

    module: nn.Module
    layers: tuple[str, ...]
    classes: int | None
    tail: Tail | None

    @property
    def place(self) -> torch.device:
        """Where the weights are."""
        return device_of(self.module)

    def values(self, x: Tensor, objectives: Sequence[Objective]) -> Tensor:
        """Normalised images (N, c, H, W), an objective each -> (N,)."""
        x = x.to(dtype_of(self.module))
        if self.tail is not None:
            return self.tail.values(self.module, x, [one.terms[0] for one in objectives])
        return values(objectives, reach(self.module, x, self.layers, self.classes))

    def gradient(self, x: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
        """Normalised images (N, c, H, W) -> the values (N,), and the gradient of each in its own image, float32.

        Raises: ShapeError where what a layer puts out does not depend on the image.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            with ToPixels():
                found = self.values(leaf.clone(), objectives)  # a step that works in place may not do so on a leaf
            (g,) = torch.autograd.grad(found.sum(), leaf, allow_unused=True) if found.requires_grad else (None,)
        if g is None:
            raise ShapeError(f"what {_named(self.layers)} puts out does not depend on the image")
        return found.detach(), g.float()


def route(module: nn.Module, objectives: Sequence[Objective], probe: Tensor, classes: int | None) -> Route:
    """The way to objectives that read the same layers; `probe` (1, c, H, W) is an image of the kind that will follow.

    Raises: UnknownName, ShapeError, UsageError, where an objective names what the network does not have.
    """
    layers = layers_of(objectives)
    x = probe.to(dtype_of(module))
    tail = None
    with passing(module, x):
        if len(layers) == 1 and layers[0] != LOGITS and all(_single(one) for one in objectives):
            tail = find_tail(module, x, layers[0])
        if tail is not None:
            tail.check(module, x, [one.terms[0] for one in objectives])
        else:
            seen = reach(module, x, layers, classes)
            for one in objectives:
                values([one], seen)
    return Route(module, layers, classes, tail)


@contextmanager
def passing(module: nn.Module, x: Tensor) -> Iterator[None]:
    """Errors of torch, that the image's size does not fit, as one that names it.  Raises: ShapeError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ShapeError(
            f"an image of {x.shape[2]}×{x.shape[3]} pixels and {x.shape[1]} channels does not go through this "
            f"{type(module).__name__}: {said}"
        ) from error


def awoken(way: Route, x: Tensor, g: Tensor, objectives: Sequence[Objective]) -> Tensor:
    """Gradients (N, c, H, W), and where one is zero, since its filter is silent, that of what the activation is given.

    As they are where the layer is not an activation behind a convolution.
    """
    silent = (g == 0).flatten(1).all(1)
    if way.tail is None or way.tail.unrectified() == way.tail or not bool(silent.any()):
        return g
    which = silent.nonzero().flatten()
    before = replace(way, tail=way.tail.unrectified())
    return g.index_copy(0, which, before.gradient(x[which], [objectives[i] for i in which.tolist()])[1])


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, without gradients, and afterwards as it was."""
    with torch.inference_mode(False), evaluating(module):
        yield


def mixes_images(module: nn.Module) -> bool:
    """Whether images of a batch change each other's values: a batch norm without running statistics does that."""
    norms = (part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    return any(norm.running_mean is None for norm in norms)


def device_of(module: nn.Module) -> torch.device:
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def dtype_of(module: nn.Module) -> torch.dtype:
    return next((w.dtype for w in module.parameters() if w.is_floating_point()), torch.float32)


def _single(one: Objective) -> bool:
    terms = one.terms
    return len(terms) == 1 and terms[0].weight == 1


def _named(layers: Sequence[str]) -> str:
    return ", ".join("the network" if layer == LOGITS else f"layer {layer!r}" for layer in layers)
