"""What an operation puts out when its tensors have a shape and no numbers (torch's meta device).

Torch answers this itself, in Python that loads its compiler at the first question: seconds, for a table that should
be there at once. So the operations that convnets are made of are answered here. All others, and every case that looks
wrong, are left to torch, whose answer or error then stands.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
Arguments = dict[str, Any]  # of an operation, by the names in its schema


@contextmanager
def without_numbers() -> Iterator[None]:
    """Models that are built inside have shapes and no numbers: they take no memory, and next to no time."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves new tensors as they are; filling one that has no numbers would load torch's compiler, too."""

    FILL = (Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if function in self.FILL else function(*args, **(kwargs or {}))


def by_name(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments of an operation by the names in its schema, defaults filled in."""
    schema = operation._schema.arguments
    given = {a.name: value for a, value in zip(schema, args, strict=False)}  # those at the end may be left out
    return {a.name: a.default_value for a in schema} | given | kwargs


def perform(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation's result, or the shape of it where the tensors have no numbers."""
    rule = _RULES.get(operation.overloadpacket)
    if rule and all(x.is_meta for x in tree_leaves(args) if isinstance(x, Tensor)):
        y = rule(by_name(operation, args, kwargs))
        if y is not None:
            return y
    return operation(*args, **kwargs)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """An argument of a window operation, along H and along W: one for both, or the last two."""
    return (value, value) if isinstance(value, int) else (value[-2] if len(value) > 1 else value[-1], value[-1])


def _new(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device="meta")


def _unary(a: Arguments) -> Tensor:
    return _new(a["self"], *a["self"].shape)


def _binary(a: Arguments) -> Tensor | None:
    x, other = a["self"], a["other"]
    if not isinstance(other, Tensor):
        return _new(x, *x.shape) if x.is_floating_point() else None
    alike = x.dtype == other.dtype and x.ndim == other.ndim
    if not alike or any(n != m and 1 not in (n, m) for n, m in zip(x.shape, other.shape, strict=True)):
        return None
    return _new(x, *map(max, x.shape, other.shape))


def _convolution(a: Arguments) -> Tensor | None:
    x, weight = a["input"], a["weight"]
    if a["transposed"] or x.ndim != 4 or x.shape[1] != weight.shape[1] * a["groups"]:
        return None
    return _slide(x, weight.shape[0], weight.shape[2:], a)


def _max_pool(a: Arguments) -> tuple[Tensor, Tensor] | None:
    y = _pool(a)
    return None if y is None else (y, torch.empty(y.shape, dtype=torch.int64, device="meta"))


def _pool(a: Arguments) -> Tensor | None:
    x = a["self"]
    return _slide(x, x.shape[1], pair(a["kernel_size"]), a) if x.ndim == 4 else None


def _slide(x: Tensor, c_out: int, k: Any, a: Arguments) -> Tensor | None:
    """(N, C, H, W) -> (N, c_out, H', W') under a window of k."""
    stride, padding, dilation = pair(a["stride"] or k), pair(a["padding"]), pair(a.get("dilation", 1))
    sides = []
    for n, k_, s, p, d in zip(x.shape[2:], k, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k_ - 1) - 1
        steps = span // s
        if a.get("ceil_mode") and (ceil(span / s)) * s < n + p:  # a last window may hang over, but must begin inside
            steps = ceil(span / s)
        if span < 0:
            return None
        sides.append(steps + 1)
    return _new(x, x.shape[0], c_out, *sides)


def _adaptive_pool(a: Arguments) -> Tensor | None:
    x = a["self"]
    return _new(x, *x.shape[:2], *a["output_size"]) if x.ndim == 4 else None


def _mean(a: Arguments) -> Tensor | None:
    x, dims = a["self"], a["dim"]
    if not dims or a["dtype"] is not None:
        return None
    gone = {dim % x.ndim for dim in dims}
    return _new(x, *(1 if i in gone else n for i, n in enumerate(x.shape) if a["keepdim"] or i not in gone))


def _batch_norm(a: Arguments) -> tuple[Tensor, ...]:
    x = a["input"]
    return _new(x, *x.shape), _new(x, x.shape[1]), _new(x, x.shape[1])  # y, and mean and deviation of the batch


def _addmm(a: Arguments) -> Tensor | None:
    x, w = a["mat1"], a["mat2"]
    return _new(x, x.shape[0], w.shape[1]) if x.shape[1] == w.shape[0] else None


def _mm(a: Arguments) -> Tensor | None:
    x, w = a["self"], a["mat2"]
    return _new(x, x.shape[0], w.shape[1]) if x.shape[1] == w.shape[0] else None


def _cat(a: Arguments) -> Tensor | None:
    parts, dim = a["tensors"], a["dim"] % a["tensors"][0].ndim
    others = {(*x.shape[:dim], *x.shape[dim + 1 :], x.dtype) for x in parts}
    if len(others) > 1:
        return None
    first = parts[0].shape
    return _new(parts[0], *first[:dim], sum(x.shape[dim] for x in parts), *first[dim + 1 :])


Rule = Callable[[Arguments], Tensor | tuple[Tensor, ...] | None]  # None: ask torch
_RULES: dict[Any, Rule] = {
    aten.convolution: _convolution, aten.addmm: _addmm, aten.mm: _mm, aten.native_batch_norm: _batch_norm,
    aten.max_pool2d_with_indices: _max_pool, aten.avg_pool2d: _pool, aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.mean: _mean, aten.cat: _cat, aten.add: _binary, aten.mul: _binary, aten.sub: _binary, aten.div: _binary,
    **dict.fromkeys((
        aten.relu, aten.hardtanh, aten.leaky_relu, aten.elu, aten.silu, aten.gelu, aten.hardswish, aten.hardsigmoid,
        aten.sigmoid, aten.tanh, aten.clone), _unary),
}  # fmt: skip
