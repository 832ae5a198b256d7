"""Why does it not learn? Checks that cost little and name the place."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.run.inference import evaluating

DATA_WAIT = 0.3  # share of the time above which waiting for data is worth a word


def start(loss: float, expected: float, classes: int) -> str | None:
    """A warning where the first loss is far from that of a network that knows nothing."""
    if abs(loss - expected) <= 0.5 * expected:
        return None
    cause = (
        "the initial weights make it sure of wrong answers, the inputs are not normalised, or the loss is given "
        "probabilities instead of logits"
        if loss > expected
        else "the network knows the answers already, or the labels are nearly all of one class"
    )
    return f"the first loss is {loss:.3g}; without knowledge of {classes} classes it would be {expected:.3g}: {cause}"


def dead_units(module: nn.Module, images: Tensor) -> dict[str, tuple[int, int]]:
    """Images (N, C, H, W) -> for each ReLU its (dead channels, channels): those that are zero for every image.

    Nothing is left behind in the module.
    """
    found: dict[str, tuple[int, int]] = {}
    hooks = []

    def watch(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, _inputs: object, y: Tensor) -> None:
            alive = (y.detach() > 0).transpose(0, 1).flatten(1).any(1)
            found[name] = (int((~alive).sum()), len(alive))

        return look

    try:
        hooks = [m.register_forward_hook(watch(n)) for n, m in module.named_modules() if isinstance(m, nn.ReLU)]
        with evaluating(module):
            module(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def describe_dead(found: dict[str, tuple[int, int]]) -> str | None:
    """A warning where at least a third of a layer's channels never fire."""
    bad = [f"{name} ({dead} of {n})" for name, (dead, n) in found.items() if dead * 3 >= n]
    if not bad:
        return None
    return (
        f"channels that are zero for every image looked at: {', '.join(bad[:5])}; "
        "a lower learning rate or batch norm keeps units alive"
    )


def culprit(module: nn.Module, images: Tensor, loss: Callable[[Any], Tensor]) -> str | None:
    """Which layer first gives, or gives back, a value that is not finite, in words; None where all are finite.

    Runs the step again on the same images, in the mode that the module is in, and leaves gradients and statistics as
    they were.
    """
    if bad := [n for n, p in module.named_parameters() if _not_finite(p)]:
        return f"weights of {bad[0]} are not finite"
    statistics = [n for n, b in module.named_buffers() if _not_finite(b)]
    if statistics and not module.training:
        return f"statistics of {statistics[0]} are not finite"
    if _not_finite(images):
        return "the input images hold values that are not finite"
    layers = {m: n for n, m in module.named_modules() if n and not any(True for _ in m.children())}
    forward: list[str] = []
    backward: list[tuple[str, str]] = []  # layer, sentence

    def after(m: nn.Module, _inputs: object, y: object) -> None:
        if _not_finite(y):
            forward.append(layers[m])

    def back(m: nn.Module, given: tuple[object, ...], got: tuple[object, ...]) -> None:
        if any(map(_not_finite, got)):
            backward.append((layers[m], f"the gradient that comes back to layer {layers[m]} is the first"))
        elif any(map(_not_finite, given)):
            backward.append((layers[m], f"the gradient that layer {layers[m]} gives back is the first"))

    buffers = {n: b.clone() for n, b in module.named_buffers()}
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    hooks = []
    try:
        for m in layers:
            hooks += [m.register_forward_hook(after), m.register_full_backward_hook(back)]
        # an input with a gradient, for a backward hook on the first layer warns where there is none
        value = loss(module(images.detach().requires_grad_(torch.is_grad_enabled())))
        if not forward and not _not_finite(value) and value.requires_grad:
            gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
            for name, gradient in zip(trained, gradients, strict=True):
                if _not_finite(gradient):
                    backward.append((name.rpartition(".")[0], f"the gradient of {name} is the first"))
    finally:
        for hook in hooks:
            hook.remove()
        for n, b in module.named_buffers():
            b.copy_(buffers[n])
    if forward:
        return f"layer {forward[0]} is the first whose output is not finite"
    if _not_finite(value):
        return "the loss itself is the first value that is not finite"
    if backward:  # the way back begins with the last layer
        place = {name: i for i, name in enumerate(layers.values())}
        _, said = max(backward, key=lambda pair: place.get(pair[0], -1))
        return f"{said} that is not finite"
    return f"statistics of {statistics[0]} are not finite" if statistics else None  # not used while training


def _not_finite(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all())
