"""What an operation puts out when its tensors have a shape and no numbers (torch's meta device).

Torch answers this itself, in Python that loads its compiler at the first question: seconds, for a table that should
be there at once. So the operations that convnets are made of are answered here. All others, and every case that looks
wrong, are left to torch, whose answer or error then stands.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._device import DeviceContext

aten = torch.ops.aten
Arguments = dict[str, Any]  # of an operation, by the names in its schema


@contextmanager
def without_numbers() -> Iterator[None]:
    """Models that are built inside have shapes and no numbers: they take no memory, and next to no time."""
    with _Unfilled(torch.device("meta")):
        yield


class _Unfilled(DeviceContext):
    """Leaves new tensors as they are; filling one that has no numbers would load torch's compiler, too.

    One context for the device and for this: each that is around a call is passed again at every layer.
    """

    FILL = (
        Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_,
        nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_, nn.init.constant_, nn.init.zeros_, nn.init.ones_,
        nn.init.kaiming_uniform_,
    )  # fmt: skip

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in self.FILL:
            return args[0] if args else (kwargs or {})["tensor"]
        return super().__torch_function__(function, types, args, kwargs)  # type: ignore[no-untyped-call]


def by_name(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments of an operation by the names in its schema, defaults filled in."""
    arguments = _defaults(operation).copy()
    arguments.update(zip(arguments, args, strict=False))  # those at the end may be left out
    arguments.update(kwargs)
    return arguments


@cache
def _defaults(operation: Any) -> Arguments:
    return {argument.name: argument.default_value for argument in operation._schema.arguments}


def tensors(tree: Any) -> list[Tensor]:
    """All that are in a nest of tuples, lists and dictionaries; torch's own walk takes ten times as long."""
    if isinstance(tree, Tensor):
        return [tree]
    found: list[Tensor] = []
    if isinstance(tree, (tuple, list, dict)):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            if isinstance(branch, Tensor):
                found.append(branch)
            elif isinstance(branch, (tuple, list, dict)):
                found += tensors(branch)
    return found


def perform(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], named: Arguments | None = None) -> Any:
    """The operation's result, or the shape of it where the tensors have no numbers; `named` is `by_name` of it."""
    rule = _RULES.get(operation.overloadpacket)
    if rule and all(x.is_meta for x in tensors(args)):
        y = rule(by_name(operation, args, kwargs) if named is None else named)
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


def _comparison(a: Arguments) -> Tensor | None:
    if isinstance(a["other"], Tensor):
        return None
    return torch.empty(a["self"].shape, dtype=torch.bool, device="meta")


def _power(a: Arguments) -> Tensor | None:
    x, exponent = a["self"], a["exponent"]
    return None if isinstance(exponent, Tensor) or not x.is_floating_point() else _new(x, *x.shape)


def _binary(a: Arguments) -> Tensor | None:
    x, other = a["self"], a["other"]
    if not isinstance(other, Tensor):
        return _new(x, *x.shape) if x.is_floating_point() else None
    dtype = torch.promote_types(x.dtype, other.dtype)
    if not dtype.is_floating_point or (x.dtype != other.dtype and 0 in (x.ndim, other.ndim)):
        return None
    n = max(x.ndim, other.ndim)
    pairs = list(zip((1,) * (n - x.ndim) + x.shape, (1,) * (n - other.ndim) + other.shape, strict=True))
    if any(n != m and 1 not in (n, m) for n, m in pairs):
        return None
    return torch.empty([m if n == 1 else n for n, m in pairs], dtype=dtype, device="meta")


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
    x, dims = a["self"], a.get("dim")  # x.mean() of everything has none
    if not dims or a["dtype"] is not None:
        return None
    gone = {dim % x.ndim for dim in dims}
    return _new(x, *(1 if i in gone else n for i, n in enumerate(x.shape) if a["keepdim"] or i not in gone))


def _pool_over_channels(a: Arguments) -> Tensor | None:
    """As response normalisation does: windows along one axis of (N, 1, C, H, W)."""
    x, k = a["self"], tuple(a["kernel_size"])
    if x.ndim != 5 or len(k) != 3 or a["ceil_mode"] or {*a["stride"]} != {1} or any(a["padding"]):
        return None
    return _new(x, *x.shape[:2], *(side - k_ + 1 for side, k_ in zip(x.shape[2:], k, strict=True)))


def _sum(a: Arguments) -> Tensor | None:
    return _mean(a) if a.get("dim") else None


def _alike(a: Arguments) -> Tensor | None:
    """What is to have the form of another tensor, and asks for nothing else."""
    asked = (a["dtype"] not in (None, a["self"].dtype), a["device"] not in (None, a["self"].device), a["layout"])
    return None if any(asked) else _unary(a)


def _batch_norm(a: Arguments) -> tuple[Tensor, ...]:
    x = a["input"]
    return _new(x, *x.shape), _new(x, x.shape[1]), _new(x, x.shape[1])  # y, and mean and deviation of the batch


def _group_norm(a: Arguments) -> tuple[Tensor, ...]:
    x, each = a["input"], (a["N"], a["group"])
    return _new(x, *x.shape), _new(x, *each), _new(x, *each)  # y, and mean and deviation of each group


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


def _pad(a: Arguments) -> Tensor:
    x, widths = a["self"], a["pad"]  # before and after the last axis, then those of the axis before it, ...
    shape = list(x.shape)
    for i in range(0, len(widths), 2):
        shape[-1 - i // 2] += widths[i] + widths[i + 1]
    return _new(x, *shape)


def _same(a: Arguments) -> Tensor:
    """In place: the numbers change, the tensor is the same."""
    x: Tensor = a["self"]
    return x


def _gradient(a: Arguments) -> Tensor:
    return _new(a["grad_output"], *a["grad_output"].shape)


def _input_gradient(a: Arguments) -> Tensor:
    return _new(a["self"], *a["self"].shape)


def _slice_gradient(a: Arguments) -> Tensor:
    return _new(a["grad_output"], *a["input_sizes"])


def _convolution_gradients(a: Arguments) -> tuple[Tensor | None, ...]:
    shapes = (a["input"].shape, a["weight"].shape, a["bias_sizes"] or ())
    return _wanted(a, *shapes)


def _batch_norm_gradients(a: Arguments) -> tuple[Tensor | None, ...]:
    return _wanted(a, a["input"].shape, (a["input"].shape[1],), (a["input"].shape[1],))


def _group_norm_gradients(a: Arguments) -> tuple[Tensor | None, ...]:
    return _wanted(a, a["input"].shape, (a["C"],), (a["C"],))


def _wanted(a: Arguments, *shapes: Sequence[int]) -> tuple[Tensor | None, ...]:
    """Those gradients that the output mask asks for."""
    pairs = zip(shapes, a["output_mask"], strict=True)
    return tuple(_new(a["input"], *shape) if wanted else None for shape, wanted in pairs)


Rule = Callable[[Arguments], Tensor | tuple[Tensor | None, ...] | None]  # None: ask torch
_RULES: dict[Any, Rule] = {
    aten.convolution: _convolution, aten.addmm: _addmm, aten.mm: _mm, aten.native_batch_norm: _batch_norm,
    aten.native_group_norm: _group_norm,
    aten.max_pool2d_with_indices: _max_pool, aten.avg_pool2d: _pool, aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.mean: _mean, aten.cat: _cat, aten.add: _binary, aten.mul: _binary, aten.sub: _binary, aten.div: _binary,
    **dict.fromkeys((
        aten.relu, aten.hardtanh, aten.leaky_relu, aten.elu, aten.silu, aten.gelu, aten.hardswish, aten.hardsigmoid,
        aten.sigmoid, aten.tanh, aten.clone, aten.neg, aten.sqrt, aten.rsqrt, aten.exp, aten.logit), _unary),
    aten.constant_pad_nd: _pad, aten.bernoulli_: _same, aten.div_: _same, aten.mul_: _same, aten.add_: _same,
    aten.ge: _comparison, aten.pow: _power, aten.sum: _sum, aten.empty_like: _alike,
    aten.avg_pool3d: _pool_over_channels, aten.channel_shuffle: _unary,
    # what autograd asks for on the way back
    aten.convolution_backward: _convolution_gradients, aten.native_batch_norm_backward: _batch_norm_gradients,
    aten.native_group_norm_backward: _group_norm_gradients,
    aten.slice_backward: _slice_gradient,
    **dict.fromkeys((
        aten.max_pool2d_with_indices_backward, aten.avg_pool2d_backward, aten._adaptive_avg_pool2d_backward,
        aten.avg_pool3d_backward),
        _input_gradient),
    **dict.fromkeys((
        aten.threshold_backward, aten.hardtanh_backward, aten.leaky_relu_backward, aten.elu_backward,
        aten.silu_backward, aten.gelu_backward, aten.hardswish_backward, aten.hardsigmoid_backward,
        aten.sigmoid_backward, aten.tanh_backward, aten.logit_backward,
        aten._softmax_backward_data), _gradient),
}  # fmt: skip
