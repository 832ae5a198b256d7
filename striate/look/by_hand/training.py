"""A training step by hand: the network and its loss as functions whose gradients are the formulas of `math/`.

torch's `backward()` starts them and collects what they find in `.grad`, so the rest of a training stays as it is: the
optimiser, clipping, accumulated batches, checkpoints. torch finds no gradient of its own.

What is computed equals what torch computes but for rounding. It takes several times as long; the reason to want it is
to see a network learn from formulas that can be read.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.look.by_hand.tape import Value, Walk, as_array
from striate.look.by_hand.wirings import step
from striate.math import binary_cross_entropy, cross_entropy, mean_squared_error, sigmoid, softmax
from striate.math.arrays import Array

Kind = Literal["cross_entropy", "bce", "mse"]
Formula = Callable[[Array, Array], tuple[float, Array]]  # logits, shares of the classes -> mean loss, dL/dlogits


def outputs_by_hand(model: nn.Module, images: Tensor) -> Any:
    """What model(images) gives, by hand: logits (N, K), or the named outputs of a network with auxiliary heads.

    Gradients of parameters go to `.grad` when `backward()` is called on what is made of it; running averages of batch
    norms move on, as in `model(images)`. For training: images (N, C, H, W) get no gradient.

    >>> from striate.models.registry import create_model
    >>> net, images = create_model("lenet5"), torch.rand(2, 1, 32, 32)
    >>> outputs_by_hand(net, images).sum().backward()
    >>> net.get_parameter("C1.weight").grad.shape
    torch.Size([6, 1, 5, 5])

    Raises: UnknownName, ShapeError, UsageError as `striate.look.by_hand.engine.by_hand`.
    """
    parameters = dict(model.named_parameters())
    made = _Network.apply(model, images, tuple(parameters), *parameters.values())  # type: ignore[no-untyped-call]
    if len(made) == 1:
        return made[0]
    return model.outputs(made[0], *made[1:])  # type: ignore[operator]  # of Taps, the one wiring with heads aside


def loss_by_hand(kind: Kind, classes: int, *, smoothing: float = 0.0, weights: Tensor | None = None) -> Any:
    """The loss that training has under this name, by formula: logits, labels (N,), shares (N, K) or None -> scalar."""
    w = None if weights is None else as_array(weights).astype(np.float64)
    formula = {"cross_entropy": _cross_entropy, "bce": _bce, "mse": _mse}[kind]

    def loss(z: Tensor, labels: Tensor, given: Tensor | None) -> Tensor:
        t = np.eye(classes)[as_array(labels)] if given is None else as_array(given).astype(np.float64)
        shares = t * (1 - smoothing) + smoothing / classes
        value: Tensor = _Loss.apply(z, lambda numbers: _weigh(formula, numbers, shares, w))  # type: ignore[no-untyped-call]
        return value

    return loss


class _Network(torch.autograd.Function):
    """Images and parameters -> logits, and those of the heads."""

    @staticmethod
    def forward(ctx: Any, model: nn.Module, images: Tensor, names: tuple[str, ...], *parameters: Tensor) -> Any:
        walk = Walk()
        y = step(walk, "", model, Value(as_array(images.to(parameters[0].dtype))))
        ctx.walk, ctx.names, ctx.values = walk, names, [y, *walk.heads.values()]
        ctx.where = [(p.dtype, p.device) for p in parameters]
        _move_on(model, walk)
        if walk.heads and not hasattr(model, "outputs"):
            raise ShapeError(
                f"{type(model).__name__} has auxiliary heads inside of a step; by hand they stand in the chain"
            )
        return tuple(torch.from_numpy(value.array).to(images.device) for value in ctx.values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        for value, g in zip(ctx.values, gradients, strict=True):
            value.g = as_array(g).astype(value.array.dtype)
        ctx.walk.back()
        found = ctx.walk.gradients
        given = [
            torch.from_numpy(np.ascontiguousarray(found[name])).to(device, dtype) if name in found else None
            for name, (dtype, device) in zip(ctx.names, ctx.where, strict=True)
        ]
        return None, None, None, *given


def _move_on(model: nn.Module, walk: Walk) -> None:
    """Write the running averages of batch norms down, and count the batch."""
    with torch.no_grad():
        for name, average in walk.running.items():
            model.get_buffer(name).copy_(torch.from_numpy(average))
            layer, _, buffer = name.rpartition(".")
            if buffer == "running_mean" and (counter := model.get_submodule(layer).num_batches_tracked) is not None:
                counter.add_(1)  # type: ignore[operator]  # a tensor


class _Loss(torch.autograd.Function):
    """Logits -> a scalar."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, formula: Callable[[Array], tuple[float, Array]]) -> Tensor:
        value, dz = formula(as_array(z))
        ctx.dz = torch.from_numpy(dz.astype(as_array(z).dtype)).to(z.device)
        return z.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.dz, None


def _weigh(formula: Formula, z: Array, t: Array, w: Array | None) -> tuple[float, Array]:
    """The mean over the images; with weights (K,) of classes that over the sum of the images' weights t·w."""
    if w is None:
        return formula(z, t)
    if formula is _cross_entropy:
        return cross_entropy.forward(z, t, w), cross_entropy.backward(1.0, z, t, w)
    each = t @ w
    value, rows = 0.0, []
    for n, share in enumerate(each / each.sum()):
        one, dz = formula(z[n : n + 1], t[n : n + 1])
        value += share * one
        rows.append(share * dz)
    return float(value), np.concatenate(rows)


def _cross_entropy(z: Array, t: Array) -> tuple[float, Array]:
    return cross_entropy.forward(z, t, total=len(z)), cross_entropy.backward(1.0, z, t, total=len(z))


def _bce(z: Array, t: Array) -> tuple[float, Array]:
    right = t[:, 1:]
    return binary_cross_entropy.forward(z, right), binary_cross_entropy.backward(1.0, z, right)


def _mse(z: Array, t: Array) -> tuple[float, Array]:
    if z.shape[1] == 1:
        p, right = sigmoid.forward(z), t[:, 1:]
        return mean_squared_error.forward(p, right), sigmoid.backward(mean_squared_error.backward(1.0, p, right), z)
    p = softmax.forward(z)
    return mean_squared_error.forward(p, t), softmax.backward(mean_squared_error.backward(1.0, p, t), z)
