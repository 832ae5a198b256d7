"""What each wiring does with its steps, by hand, in the order that it declares: one table, by type.

These are `blocks/wiring` once more, written for values that remember where they came from (`look/walk`).
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.blocks.wiring import (
    Append,
    Branches,
    Chain,
    Gate,
    Graph,
    Paths,
    Preactivated,
    Residual,
    ResidualPaths,
    Split,
    Stochastic,
    Sum,
    Taps,
)
from striate.errors import UnknownName
from striate.look.by_hand.layers import LAYERS
from striate.look.by_hand.tape import Back, Place, Value, Walk
from striate.math import add, concat, multiply, scale, split
from striate.math.arrays import Array

Wiring = Callable[..., Value]  # (place, x, ...) -> y


def step(walk: Walk, name: str, layer: nn.Module, *xs: Value) -> Value:
    """One step of a network, whatever it is, and all that is in it.

    Raises: UnknownName for a layer that there is no operation for; ShapeError where the arrays do not fit, with a note
    that names the step.
    """
    at = Place(walk, name, layer)
    if wiring := _found(WIRINGS, layer):
        y: Value = wiring(at, *xs)
    elif rule := _found(LAYERS, layer):
        try:
            y = walk.note(*rule(at, *(x.array for x in xs)), *xs)
        except Exception as error:
            error.add_note(f"in step {name or type(layer).__name__}, by hand, given {[x.array.shape for x in xs]}")
            raise
    else:
        raise UnknownName(_unknown(name, layer))
    walk.made[name] = y
    return y


def _found(table: dict[type[Any], Any], layer: nn.Module) -> Any:
    """The entry of its type, or of the type that it has its forward pass from."""
    kind = type(layer)
    for base in kind.__mro__:
        if base in table and base.forward is kind.forward:
            return table[base]
    return None


def _unknown(name: str, layer: nn.Module) -> str:
    known = ", ".join(sorted(kind.__name__ for kind in LAYERS))
    what = f"{name or 'the network'} is a {type(layer).__name__}"
    if list(layer.children()):
        return f"{what}, whose order of steps is not declared; by hand only wirings can be walked (Chain, Residual ...)"
    return f"{what}, for which there is no operation by hand; there are {known}"


def _step(at: Place, name: str, *xs: Value) -> Value:
    return step(at.walk, at.path(name), at.layer._modules[name], *xs)


def _chain(at: Place, x: Value, order: Iterable[str] | None = None) -> Value:
    for name in at.layer.order if order is None else order:
        x = _step(at, name, x)
    return x


def _sequential(at: Place, x: Value) -> Value:
    return _chain(at, x, list(at.layer._modules))


def _joined(at: Place, operation: Any, xs: list[Value]) -> Value:
    arrays = [x.array for x in xs]
    return at.walk.note(operation.forward(*arrays), lambda g: operation.backward(g, *arrays), *xs)


def _branches(at: Place, x: Value) -> Value:
    return _joined(at, concat, [_step(at, name, x) for name in at.layer.order])


def _append(at: Place, x: Value) -> Value:
    return _joined(at, concat, [x, _chain(at, x)])


def _gate(at: Place, x: Value) -> Value:
    return _joined(at, multiply, [x, _chain(at, x)])


def _residual(at: Place, x: Value) -> Value:
    return _added(at, _chain(at, x), x)


def _residual_paths(at: Place, x: Value) -> Value:
    return _added(at, _paths(at, x), x)


def _added(at: Place, f: Value, x: Value) -> Value:
    """last(F + shortcut(x))"""
    return _step(at, "last", _joined(at, add, [f, _step(at, "downsample", x)]))


def _preactivated(at: Place, x: Value) -> Value:
    a = _chain(at, x, at.layer.order[: at.layer.shared])
    return _added(at, _chain(at, a, at.layer.order[at.layer.shared :]), a)


def _stochastic(at: Place, x: Value) -> Value:
    layer = at.layer
    a = _chain(at, x, layer.order[: layer.shared])
    if layer.training and not at.mask(lambda: (torch.rand(1) < layer.survival).float()).all():
        return _step(at, "last", _step(at, "downsample", a))
    f = _chain(at, a, layer.order[layer.shared :])
    if not layer.training:
        share = layer.survival
        f = at.walk.note(scale.forward(f.array, share), lambda g: (scale.backward(g, share),), f)
    return _added(at, f, a)


def _paths(at: Place, x: Value) -> Value:
    made = {"": x}
    for name, source in at.layer.reads.items():
        made[name] = _step(at, name, made[source])
    operation = add if isinstance(at.layer, Sum) else concat
    return _chain(at, _joined(at, operation, [made[end] for end in at.layer.ends]), at.layer.then)


def _taps(at: Place, x: Value) -> Value:
    layer = at.layer
    for name in layer.order:
        if name not in layer.aside:
            x = _step(at, name, x)
        elif layer.training:
            at.walk.heads[layer.aside[name]] = _step(at, name, x)
            at.walk.head_share = getattr(layer.outputs, "share", 1.0)
    return x


def _split(at: Place, x: Value) -> Value:
    dealt, start = [], 0
    for share in split.forward(x.array, len(at.layer.order)):
        dealt.append(at.walk.note(share, _to_channels(x.array, start), x))
        start += share.shape[1]
    parts = [_step(at, name, share) for name, share in zip(at.layer.order, dealt, strict=True)]
    return _step(at, "last", _joined(at, concat, parts))


def _to_channels(x: Array, start: int) -> Back:
    """What a share of x tells x: its gradient at the share's channels, nothing at the others."""

    def back(g: Array) -> tuple[Array]:
        dx = np.zeros_like(x)
        dx[:, start : start + g.shape[1]] = g
        return (dx,)

    return back


def _graph(at: Place, *given: Value) -> Value:
    made = dict(zip(at.layer.inputs, given, strict=True))
    for name, sources in at.layer.sources.items():
        made[name] = _step(at, name, *(made[source] for source in sources))
    y: Value = made[at.layer.order[-1]]
    return y


WIRINGS: dict[type[Any], Wiring] = {
    Chain: _chain,
    nn.Sequential: _sequential,
    Branches: _branches,
    Residual: _residual,
    Append: _append,
    Gate: _gate,
    Paths: _paths,
    Sum: _paths,
    ResidualPaths: _residual_paths,
    Taps: _taps,
    Split: _split,
    Preactivated: _preactivated,
    Stochastic: _stochastic,
    Graph: _graph,
}
