"""Layers one after the other, as far as arithmetic goes: shapes, weights, multiply-adds, receptive fields.

    out     = floor((size + before + after - span) / stride) + 1        span = dilation · (k - 1) + 1
    weights = (k · k · c_in / groups + 1) · c_out                       the 1 is the bias
    macs    = rows · cols · c_out · k · k · c_in / groups
    field  <- field + (span - 1) · jump          jump <- jump · stride

Source:  Dumoulin & Visin 2016, arXiv:1603.07285; Araujo, Norris & Sim 2019, doi:10.23915/distill.00021 (fields).
Checked: against torch's layers and published numbers in tests/math/test_arithmetic.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from striate.errors import ShapeError
from striate.math.geometry import out_size, span

Shape = tuple[int, int, int]  # channels, rows, columns


@dataclass(frozen=True)
class Layer:
    """One layer; `kind` is "conv", "pool" or "dense". A pool keeps its channels, a dense layer has one window: all."""

    name: str
    kind: str
    k: int = 1
    c_out: int = 0  # 0: as many as come in
    stride: int = 1
    padding: str | int = 0
    dilation: int = 1
    groups: int = 1  # 0: one for each channel
    bias: bool = True


@dataclass(frozen=True)
class Row:
    """What a layer makes of its input."""

    layer: Layer
    input: Shape
    output: Shape
    weights: int
    macs: int
    field: int  # pixels a side; of one value, padding included
    jump: int  # pixels from one value's window to the next one's
    weights_formula: str
    macs_formula: str
    field_formula: str

    @property
    def values(self) -> int:
        """Numbers in its output, for one image."""
        c, h, w = self.output
        return c * h * w


def walk(layers: Sequence[Layer], shape: Shape) -> tuple[Row, ...]:
    """Send one image (C, H, W) through the shapes.

    >>> first, second = Layer("conv3-32", "conv", 3, 32), Layer("pool2", "pool", 2, stride=2)
    >>> [row.output for row in walk([first, second], (1, 28, 28))]
    [(32, 26, 26), (32, 13, 13)]

    Raises: ShapeError that names the layer.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"the image is {shape}; expected (channels, rows, columns), each from 1")
    rows: list[Row] = []
    field, jump = 1, 1
    for layer in layers:
        try:
            row = _row(layer, shape, field, jump)
        except ShapeError as error:
            raise ShapeError(f"{layer.name}, which is given {'×'.join(map(str, shape))}: {error}") from None
        rows.append(row)
        shape, field, jump = row.output, row.field, row.jump
    return tuple(rows)


def _row(layer: Layer, shape: Shape, field: int, jump: int) -> Row:
    c, h, w = shape
    one, plus = int(layer.bias), " + 1" if layer.bias else ""
    if layer.kind == "dense":
        inputs, o = c * h * w, layer.c_out
        of = f"{inputs:,}" if h * w == 1 else f"{h}·{w}·{c}"
        whole = field + (max(h, w) - 1) * jump
        return Row(layer, shape, (o, 1, 1), (inputs + one) * o, inputs * o, whole, 0 if h * w > 1 else jump,
                   f"({of}{plus}) · {o:,}", f"{of} · {o:,}", f"{field} + ({max(h, w)} - 1)·{jump}")  # fmt: skip
    rows, cols = (out_size(n, layer.k, layer.stride, layer.padding, layer.dilation) for n in (h, w))
    covers = span(layer.k, layer.dilation)
    seen = field + (covers - 1) * jump, jump * layer.stride
    grown = f"{field} + ({covers} - 1)·{jump}"
    if layer.kind == "pool":
        return Row(layer, shape, (c, rows, cols), 0, 0, *seen, "0: nothing to learn", "0", grown)
    groups, o = layer.groups or c, layer.c_out or c
    if c % groups or o % groups:
        raise ShapeError(f"{groups} groups can't share {c} channels and {o} filters evenly; expected a divisor of both")
    each = c // groups
    kernel = f"{layer.k}·{layer.k}·{each}"
    return Row(layer, shape, (o, rows, cols), (layer.k**2 * each + one) * o, rows * cols * o * layer.k**2 * each, *seen,
               f"({kernel}{plus}) · {o:,}", f"{rows}·{cols} · {o:,} · {kernel}", grown)  # fmt: skip
