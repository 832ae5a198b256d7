"""Which rule takes one unit of an operation apart: one table for layers, by type, and one for what wirings join."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.blocks.same import SameAvgPool2d, SameConv2d, SameMaxPool2d
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.stochastic import StochasticDepth
from striate.blocks.wiring import Add, Concat, Share
from striate.errors import UnknownName, UsageError
from striate.look.by_hand.tape import as_array
from striate.look.units import capsules as unit_capsules
from striate.look.units import values as unit_values
from striate.look.units import windows as unit_windows
from striate.look.units.recording import Operation
from striate.look.units.terms import At, Terms, one_value, weighted
from striate.math.arrays import Array
from striate.models.capsnet import DigitCapsules, Presence, PrimaryCapsules
from striate.models.inception_resnet import Scale
from striate.models.lenet_1998 import Pick, RadialBasis, ScaledTanh, SubSampling, SumPool


def terms(operation: Operation, at: At) -> Terms:
    """The terms of one unit of what an operation made.

    Raises: UnknownName for an operation that has no rule; UsageError for one that is set in a way no rule covers.
    """
    xs = [as_array(t) for t in operation.inputs]
    if operation.layer is None:
        if join := JOINS.get(operation.kind):
            return join(operation, xs, at)
    elif rule := _found(type(operation.layer)):
        return rule(operation.layer, xs[0], at) if len(xs) == 1 else _join_layer(operation, xs, at)
    known = ", ".join(sorted(kind.__name__ for kind in RULES))
    what = f"a {operation.kind}" if operation.layer is not None else f"torch's {operation.kind}"
    where = operation.name or "the network"
    raise UnknownName(f"{where} is {what}, and one unit of it can't be taken apart; there are rules for {known}")


def _found(kind: type[Any]) -> "Rule | None":
    for base in kind.__mro__:
        if base in RULES and base.forward is kind.forward:
            return RULES[base]
    return None


def _join_layer(operation: Operation, xs: list[Array], at: At) -> Terms:
    return (_add if isinstance(operation.layer, Add) else _joined)(operation, xs, at)


def _add(operation: Operation, xs: list[Array], at: At) -> Terms:
    """Values at the same place of each input; what is broadcast has one place for all."""
    if len(xs) < 2:
        raise UsageError(
            f"{operation.name} adds something that does not depend on the image; there is no rule for that"
        )
    places = [_broadcast(x, at) for x in xs]
    values = np.array([float(x[0][place]) for x, place in zip(xs, places, strict=True)])
    total = float(values.sum())
    return Terms("y = a + b" if len(xs) == 2 else "y = Σ x", np.array(places), values, values, total,
                 np.ones(len(xs)), word="x", source=np.arange(len(xs)), total=total)  # fmt: skip


def _broadcast(x: Array, at: At) -> At:
    return tuple(0 if n == 1 else i for i, n in zip(at, x.shape[1:], strict=True))


def _joined(operation: Operation, xs: list[Array], at: At) -> Terms:
    """Of concatenations and splits: the place where the value comes from, found by joining the numbers of places."""
    numbers, first = {}, 1
    for tensor, x in zip(operation.inputs, xs, strict=True):
        numbers[id(tensor)] = (torch.arange(first, first + x[0].size, dtype=torch.float64).view(x.shape), first)
        first += x[0].size
    args = operation.arguments[0]
    renamed = [
        [numbers[id(t)][0] for t in one] if isinstance(one, (list, tuple)) else
        numbers[id(one)][0] if isinstance(one, Tensor) else one for one in args
    ]  # fmt: skip
    made = operation.call(*renamed, **operation.arguments[1])
    came = int((made if operation.part is None else made[operation.part])[0][at])
    for source, (tensor, x) in enumerate(zip(operation.inputs, xs, strict=True)):
        begin = numbers[id(tensor)][1]
        if begin <= came < begin + x[0].size:
            return one_value(x, came - begin, 0.0, "handed on", source)
    raise AssertionError(came)


def _multiply(operation: Operation, xs: list[Array], at: At) -> Terms:
    if len(xs) == 1:  # a number times x
        factor = next(one for one in operation.arguments[0] if isinstance(one, (int, float)))
        return weighted(xs[0], np.array([at]), np.array([float(factor)]), f"y = {factor:g} x")
    a, b = (float(x[0][_broadcast(x, at)]) for x in xs)
    read = np.array([_broadcast(x, at) for x in xs])
    return Terms("y = a·b", read, np.array([a, b]), np.array([a, b]), a * b, np.array([b, a]), word="x",
                 source=np.array([0, 1]))  # fmt: skip


Rule = Callable[[Any, Array, At], Terms]


RULES: dict[type[Any], Rule] = {
    nn.Conv2d: unit_windows.conv2d,
    SameConv2d: unit_windows.conv2d,
    nn.Linear: unit_windows.linear,
    nn.MaxPool2d: unit_windows.max_pool,
    SameMaxPool2d: unit_windows.same_max_pool,
    nn.AvgPool2d: unit_windows.average_pool,
    SumPool: unit_windows.average_pool,
    SameAvgPool2d: unit_windows.same_average_pool,
    nn.AdaptiveAvgPool2d: unit_windows.adaptive_average_pool,
    nn.AdaptiveMaxPool2d: unit_windows.adaptive_max_pool,
    nn.LPPool2d: unit_windows.l2_pool,
    nn.BatchNorm1d: unit_values.batch_norm,
    nn.BatchNorm2d: unit_values.batch_norm,
    nn.GroupNorm: unit_values.group_norm,
    nn.LocalResponseNorm: unit_values.local_response_norm,
    nn.ReLU: partial(unit_values.elementwise, "y = max(0, x)"),
    nn.ReLU6: partial(unit_values.elementwise, "y = min(max(0, x), 6)"),
    nn.LeakyReLU: unit_values.leaky_relu,
    nn.SiLU: partial(unit_values.elementwise, "y = x / (1 + exp(-x))"),
    nn.Hardswish: partial(unit_values.elementwise, "y = x min(max(0, x + 3), 6) / 6"),
    nn.Sigmoid: partial(unit_values.elementwise, "y = 1 / (1 + exp(-x))"),
    nn.Tanh: partial(unit_values.elementwise, "y = tanh x"),
    ScaledTanh: partial(unit_values.elementwise, "y = 1.7159 tanh(2x/3)"),
    nn.Softmax: partial(unit_values.softmax, False),
    nn.LogSoftmax: partial(unit_values.softmax, True),
    nn.Dropout: partial(unit_values.moved, "dropout drops nothing in evaluation"),
    StochasticDepth: partial(unit_values.moved, "drops nothing in evaluation"),
    nn.Identity: partial(unit_values.moved, "handed on"),
    nn.Flatten: partial(unit_values.moved, "flattened"),
    nn.ChannelShuffle: partial(unit_values.moved, "shuffled"),
    nn.ZeroPad2d: partial(unit_values.moved, "moved by the padding"),
    PaddedShortcut: partial(unit_values.moved, "every second position; zeros in new channels"),
    Pick: partial(unit_values.moved, "one of the maps in the table"),
    Share: partial(unit_values.moved, "from a share of the channels"),
    Scale: unit_values.scale,
    SubSampling: unit_values.sub_sampling,
    RadialBasis: unit_values.radial_basis,
    PrimaryCapsules: unit_capsules.primary_capsules,
    DigitCapsules: unit_capsules.digit_capsules,
    Presence: unit_capsules.presence,
    Add: lambda layer, x, at: unit_values.moved("the only one", nn.Identity(), x, at),
    Concat: lambda layer, x, at: unit_values.moved("the only one", nn.Identity(), x, at),
}


JOINS: dict[str, Callable[[Operation, list[Array], At], Terms]] = {
    "add": _add, "cat": _joined, "split": _joined, "multiply": _multiply,
}  # fmt: skip
