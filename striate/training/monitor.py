"""Why does it not learn? Checks that cost little and name the place."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

DATA_WAIT = 0.3  # share of the time above which waiting for data is worth a word


def start(loss: float, expected: float, classes: int) -> str | None:
    """A warning where the first loss is far from that of a network that knows nothing."""
    if abs(loss - expected) <= 0.5 * expected:
        return None
    cause = (
        "the initial weights make it sure of wrong answers, the inputs are not normalised, or the loss is given probabilities instead of logits"
        if loss > expected
        else "the network knows the answers already, or the labels are nearly all of one class"
    )
    return f"the first loss is {loss:.3g}; without knowledge of {classes} classes it would be {expected:.3g}: {cause}"


def dead_units(module: nn.Module, images: Tensor) -> dict[str, tuple[int, int]]:
    """Images (N, C, H, W) -> for each ReLU its (dead channels, channels): those that are zero for every image.

    The module's mode is as it was afterwards, and nothing is left behind.
    """
    found: dict[str, tuple[int, int]] = {}
    hooks = []

    def watch(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, _inputs: object, y: Tensor) -> None:
            alive = (y.detach() > 0).transpose(0, 1).flatten(1).any(1)
            found[name] = (int((~alive).sum()), len(alive))

        return look

    was_training = module.training
    try:
        hooks = [m.register_forward_hook(watch(n)) for n, m in module.named_modules() if isinstance(m, nn.ReLU)]
        module.eval()
        with torch.no_grad():
            module(images)
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)
    return found


def describe_dead(found: dict[str, tuple[int, int]]) -> str | None:
    """A warning where at least a third of a layer's channels never fire."""
    bad = [f"{name} ({dead} of {n})" for name, (dead, n) in found.items() if dead * 3 >= n]
    if not bad:
        return None
    return f"channels that are zero for every image looked at: {', '.join(bad[:5])}; a lower learning rate or batch norm keeps units alive"


def culprit(module: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]) -> str:
    """Which layer first gives (or receives back) a value that is not finite, in words.

    Runs the step again on the same images, in training mode, and leaves gradients as they were.
    """
    bad_parameters = [n for n, p in module.named_parameters() if not bool(torch.isfinite(p).all())]
    if bad_parameters:
        return f"weights of {bad_parameters[0]} are not finite"
    if not bool(torch.isfinite(images).all()):
        return "the input images hold values that are not finite"
    forward: list[str] = []
    backward: list[str] = []
    names = {m: n for n, m in module.named_modules() if n and not any(True for _ in m.children())}
    hooks = []

    def after(m: nn.Module, _inputs: object, y: object) -> None:
        if isinstance(y, Tensor) and not bool(torch.isfinite(y).all()):
            forward.append(names[m])

    def back(m: nn.Module, _grad_in: object, grads: tuple[Tensor | None, ...]) -> None:
        if any(g is not None and not bool(torch.isfinite(g).all()) for g in grads):
            backward.append(names[m])

    buffers = {n: b.clone() for n, b in module.named_buffers()}
    try:
        for m in names:
            hooks += [m.register_forward_hook(after), m.register_full_backward_hook(back)]
        value = loss(module(images))
        if not forward and bool(torch.isfinite(value)):
            torch.autograd.grad(value, [p for p in module.parameters() if p.requires_grad], allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
        for n, b in module.named_buffers():
            b.copy_(buffers[n])
    if forward:
        return f"layer {forward[0]} is the first whose output is not finite"
    if backward:
        return f"the gradient that comes back to layer {backward[0]} is the first that is not finite"
    return "the loss itself is the first value that is not finite"
