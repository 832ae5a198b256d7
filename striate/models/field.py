"""Receptive fields: which pixels of the image one value can depend on, followed operation by operation.

A value at position i of a map, along one axis, sees the pixels i·jump + low to i·jump + high. A k-wide window of
stride s, dilation d and padding p makes of this

    low  <- low - p·jump        high <- high + (d·(k-1) - p)·jump        jump <- s·jump

and where maps are added, multiplied or concatenated, the union. Pixels outside the image (padding) are counted: it is
the field in theory. Once positions are merged (flattened, or averaged away) there is one window for all: jump is 0.

Source: Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021, which gives the recurrence; low and high keep its offset as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from striate.models.shapes import Arguments, pair

Pair = tuple[int, int]  # along H, along W


@dataclass(frozen=True)
class Field:
    """The window of pixels that a value sees; see the module's first lines."""

    low: Pair = (0, 0)
    high: Pair = (0, 0)
    jump: Pair = (1, 1)

    @property
    def size(self) -> Pair:
        """Height and width in pixels."""
        return self.high[0] - self.low[0] + 1, self.high[1] - self.low[1] + 1

    @property
    def merged(self) -> bool:
        """True if all positions see the same window."""
        return self.jump == (0, 0)

    def slide(self, k: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> "Field":
        """The field after a sliding window."""
        return Field(
            _each(lambda low, p, jump: low - p * jump, self.low, padding, self.jump),
            _each(
                lambda high, n, d, p, jump: high + (d * (n - 1) - p) * jump, self.high, k, dilation, padding, self.jump
            ),
            _each(lambda s, jump: s * jump, stride, self.jump),
        )

    def shift(self, axis: int, positions: int, step: int = 1) -> "Field":
        """The field after dropping positions at the front of an axis (negative: adding), and keeping each step-th."""
        moved = tuple(positions * self.jump[a] if a == axis else 0 for a in (0, 1))
        return Field(
            _each(int.__add__, self.low, moved),
            _each(int.__add__, self.high, moved),
            _each(int.__mul__, self.jump, (step if axis == 0 else 1, step if axis == 1 else 1)),
        )

    def merge(self, positions: Pair) -> "Field":
        """One window for all of the positions along both axes."""
        high = _each(lambda high, n, jump: high + (n - 1) * jump, self.high, positions, self.jump)
        return Field(self.low, high, (0, 0))

    def grown(self, before: "Field | None", now: "Field | None", times: int) -> "Field":
        """The field after it has grown several times as it grew from before to now: through blocks that are alike."""
        if before is None or now is None:
            return self
        return Field(
            _each(lambda own, a, b: own + times * (b - a), self.low, before.low, now.low),
            _each(lambda own, a, b: own + times * (b - a), self.high, before.high, now.high),
            self.jump,
        )

    def union(self, other: "Field", positions: Pair) -> "Field":
        """What a value sees that is made of two; where their strides differ, one window for all positions."""
        if self.jump == other.jump:
            return Field(_each(min, self.low, other.low), _each(max, self.high, other.high), self.jump)
        return self.merge(positions).union(other.merge(positions), positions)


def after(operation: Any, arguments: Arguments, inputs: list[tuple[Tensor, Field | None]], y: Tensor) -> Field | None:
    """The field of y = operation(arguments), given the inputs that depend on the image; None if it can't be known."""
    pointwise, field = torch.Tag.pointwise in operation.tags, None
    for x, seen in inputs:
        if seen is None:
            return None
        if pointwise and _positions(x) != _positions(y):
            seen = seen.merge(_positions(x))  # a value that all positions see
        field = field.union(seen, _positions(y)) if field else seen
    if pointwise or field is None or field.merged:
        return field
    rule = _RULES.get(operation.overloadpacket)
    return rule(field, arguments, inputs[0][0], y) if rule else None


def _each(function: Callable[..., int], *pairs: Pair | tuple[int, ...]) -> Pair:
    """A function of numbers, applied along H and along W."""
    return function(*(pair[0] for pair in pairs)), function(*(pair[-1] for pair in pairs))


def _positions(x: Tensor) -> Pair:
    return (x.shape[-2], x.shape[-1]) if x.ndim > 2 else (1, 1)


def _spatial(x: Tensor, dims: list[int] | int | None) -> set[int]:
    """Which of the last two axes (0: H, 1: W) are among the dimensions."""
    dims = list(range(x.ndim)) if dims is None else [dims] if isinstance(dims, int) else dims
    return {dim % x.ndim - (x.ndim - 2) for dim in dims} & {0, 1}


def _convolution(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    if a["transposed"]:
        return None
    return field.slide(tuple(a["weight"].shape[-2:]), a["stride"], a["padding"], a["dilation"])


def _pool(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    kernel = pair(a["kernel_size"])
    return field.slide(kernel, pair(a["stride"] or kernel), pair(a["padding"]), pair(a.get("dilation", 1)))


def _adaptive_pool(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    before, left = _positions(x), _positions(y)
    if left == (1, 1):
        return field.merge(before)
    if any(n % m for n, m in zip(before, left, strict=True)):
        return None  # windows of several sizes
    k = _each(int.__floordiv__, before, left)
    return field.slide(k, k)


def _reduce(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    gone = _spatial(x, a.get("dim"))
    return field if not gone else field.merge(_positions(x)) if gone == {0, 1} else None


def _reshape(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    if _positions(x) == _positions(y) and y.ndim > 2:
        return field
    return field.merge(_positions(x)) if y.ndim <= 2 or _positions(x) == (1, 1) else None


def _permute(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    still = [dim % x.ndim for dim in a["dims"][-2:]] == [x.ndim - 2, x.ndim - 1]
    return field if still else None


def _transpose(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    return None if _spatial(x, [a["dim0"], a["dim1"]]) else field


def _slice(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    start = a["start"] or 0
    for axis in _spatial(x, a["dim"]):
        field = field.shift(axis, start % x.shape[axis - 2] if start < 0 else start, a["step"])
    return field


def _pad(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    widths: list[int] = a["pad"] if "pad" in a else a["padding"]  # left, right, top, bottom, ...
    return field.shift(1, -widths[0]).shift(0, -widths[2] if len(widths) > 2 else 0)


def _across(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field | None:
    """Operations along one dimension: harmless along channels."""
    return None if _spatial(y, a["dim"]) else field


def _mix(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    """Every value depends on every position."""
    return field.merge(_positions(x))


def _batch_norm(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    return _mix(field, a, x, y) if a.get("training") else field


def _same(field: Field, a: Arguments, x: Tensor, y: Tensor) -> Field:
    return field


aten = torch.ops.aten
Rule = Callable[[Field, Arguments, Tensor, Tensor], Field | None]  # field of x, arguments, x, y -> field of y
_RULES: dict[Any, Rule] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool, aten.max_pool2d: _pool, aten.avg_pool2d: _pool, aten.avg_pool3d: _pool,
    aten._adaptive_avg_pool2d: _adaptive_pool, aten.adaptive_max_pool2d: _adaptive_pool,
    aten.mean: _reduce, aten.sum: _reduce, aten.amax: _reduce, aten.amin: _reduce,
    aten.view: _reshape, aten._unsafe_view: _reshape, aten.expand: _reshape,
    aten.squeeze: _reshape, aten.unsqueeze: _reshape,
    aten.permute: _permute, aten.transpose: _transpose,
    aten.slice: _slice,
    aten.constant_pad_nd: _pad, aten.reflection_pad2d: _pad, aten.replication_pad2d: _pad,
    aten.cat: _across, aten.split: _across, aten.split_with_sizes: _across, aten.select: _across,
    aten._softmax: _across,
    aten.native_layer_norm: _mix, aten.native_group_norm: _mix,
    aten.native_batch_norm: _batch_norm, aten._native_batch_norm_legit_no_training: _same,
    aten.hardswish: _same, aten.hardswish_: _same, aten._prelu_kernel: _same, aten.detach: _same, aten.alias: _same,
    aten._to_copy: _same, aten.channel_shuffle: _same, aten.native_dropout: _same,
}  # fmt: skip
