"""The number that a map explains: the logit of a class, before any softmax."""

from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UsageError

PROBABILITIES = (
    "the network's outputs add up to 1: it seems to end in a softmax that is no layer of its own, so the map explains "
    "the probability, which falls where other classes gain"
)

NOT_FINITE = "the network puts out NaN or infinity for an image, so its map means nothing"


def logits(module: nn.Module, x: Tensor, classes: int) -> Tensor:
    """Images (N, c, H, W) -> logits (N, classes), or (N, 1) for two classes told apart by a sigmoid.

    Where the last layer is a softmax or a sigmoid, what it was given; of several outputs the first.

    Raises: ShapeError where the network puts out something else.
    """
    squashed: list[tuple[Tensor, Tensor]] = []  # what the last of these layers was given, and made

    def remember(_: nn.Module, given: Any, made: Any) -> None:
        squashed[:] = [(given[0], made)]

    last = [part for part in module.modules() if isinstance(part, nn.Softmax | nn.LogSoftmax | nn.Sigmoid)]
    handles = [part.register_forward_hook(remember) for part in last]
    try:
        answer = module(x)
    finally:
        for handle in handles:
            handle.remove()
    z = answer[0] if isinstance(answer, tuple) and answer else answer
    if squashed and squashed[0][1] is z:
        z = squashed[0][0]
    wanted = {(len(x), classes)} | ({(len(x), 1)} if classes == 2 else set())
    if not isinstance(z, Tensor) or tuple(z.shape) not in wanted:
        found = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ShapeError(f"the network puts out {found} for {len(x)} images, expected logits {sorted(wanted)[-1]}")
    return z


def notes_on(z: Tensor) -> tuple[str, ...]:
    """A warning where the logits are none: probabilities, their logarithms, or not finite."""
    p = z.detach().double()
    if not bool(p.isfinite().all()):
        return (NOT_FINITE,)
    if p.shape[1] < 2:
        return ()
    for shares in (p, p.exp()) if bool((p <= 0).all()) else (p,):
        if bool((shares >= 0).all()) and bool(((shares.sum(1) - 1).abs() < 1e-4).all()):
            return (PROBABILITIES,)
    return ()


def chosen(z: Tensor, target: Tensor | None) -> Tensor:
    """The classes (N,) int64 that are to be explained: as given, or the predicted ones.

    Raises: ShapeError where there are not as many as images; UsageError for a class that there is not.
    """
    if target is None:
        return (z[:, 0] > 0).long() if z.shape[1] == 1 else z.argmax(1)
    wanted = target.to(z.device, torch.int64)
    if wanted.shape != z.shape[:1]:
        raise ShapeError(f"target has the shape {tuple(wanted.shape)}; expected one class for each of {len(z)} images")
    known = max(z.shape[1], 2)
    if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < known:
        wrong = next(k for k in wanted.tolist() if not 0 <= k < known)
        raise UsageError(f"target names class {wrong}; the network has {known} classes, 0 to {known - 1}")
    return wanted


def score(z: Tensor, target: Tensor) -> Tensor:
    """The logit (N,) of each image's class; with one logit z it is z for class 1 and -z for class 0."""
    if z.shape[1] == 1:
        return torch.where(target == 1, z[:, 0], -z[:, 0])
    return z.gather(1, target[:, None])[:, 0]


def on_device_of(module: nn.Module, images: Tensor) -> Tensor:
    """A copy of the images, where the weights are."""
    weight = next(module.parameters(), None)
    return images.detach().to(images.device if weight is None else weight.device).clone()
