"""The lectures' exam questions: sizes, paddings, parameters, multiply-adds, receptive fields, memory.

Each function returns an `Answer`: the number, and the formula with the numbers put in. Layers are those of `stack`.

Source:  Dumoulin & Visin 2016, arXiv:1603.07285; Araujo, Norris & Sim 2019, doi:10.23915/distill.00021; the lectures.
Checked: against torch's layers, published counts and the lectures' numbers in tests/math/test_arithmetic.py.
"""

from collections.abc import Sequence

from striate.errors import ShapeError
from striate.math.answers import Answer
from striate.math.geometry import Sides, lost, out_size, span, zeros
from striate.math.stack import Layer, Shape, walk


def output_size(size: int, k: int, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1) -> Answer:
    """Positions of a window along one axis, and which rows no window reaches where the stride does not divide.

    >>> print(output_size(7, k=3, stride=2))
    output size = floor((size + before + after - span) / stride) + 1
                = floor((7 + 0 + 0 - 3) / 2) + 1
                = 3 positions

    Raises: ShapeError.
    """
    out = out_size(size, k, stride, padding, dilation)
    before, after = zeros(size, k, stride, padding, dilation)
    covers, over = span(k, dilation), lost(size, k, stride, padding, dilation)
    room = size + before + after - covers
    notes = []
    if dilation > 1:
        notes.append(f"span = dilation · (k - 1) + 1 = {dilation} · ({k} - 1) + 1 = {covers}")
    if isinstance(padding, str):
        notes.append(f"{padding}: {before} before and {after} after")
    if over:
        more = stride - over
        last = min(over, after)  # the zeros at the end go first
        notes.append(
            f"{room} / {stride} = {room / stride:.4g} is not whole: no window reaches the last {_rows(over)}"
            + (f", {last} of them zeros" if 0 < last < over else ", only zeros" if last == over else "")
            + f". One position more needs {more} more of padding ({before + after + more} in all)"
        )
    return Answer(
        "output size", out, "positions",
        ("floor((size + before + after - span) / stride) + 1",
         f"floor(({size} + {before} + {after} - {covers}) / {stride}) + 1"), tuple(notes),
    )  # fmt: skip


def same_padding(k: int, dilation: int = 1) -> Answer:
    """Zeros on each side that keep the size, at stride 1.

    >>> print(same_padding(5))
    padding = dilation · (k - 1) / 2
            = 1 · (5 - 1) / 2
            = 2 on each side

    Raises: ShapeError.
    """
    if k < 1 or dilation < 1:
        raise ShapeError(f"k = {k} and dilation {dilation}; expected whole numbers from 1")
    before, after = zeros(k, k, 1, "same_torch", dilation)
    notes, unit = [], "on each side"
    if before != after:
        unit = "before"
        notes.append(
            f"{dilation} · ({k} - 1) is odd: {before} before and {after} after. That is why k is odd as a rule"
        )
    return Answer("padding", before, unit, ("dilation · (k - 1) / 2", f"{dilation} · ({k} - 1) / 2"), tuple(notes))


def padding_for(out: int, size: int, k: int, stride: int = 1, dilation: int = 1) -> Answer:
    """Zeros, both sides together, that give so many positions; the fewest, and up to how many give the same.

    >>> padding_for(3, size=7, k=3, stride=3).value  # the lectures' question: 1 on each side
    2

    Raises: ShapeError where there are more positions even without padding.
    """
    if min(out, size, k, stride, dilation) < 1:
        raise ShapeError(f"out {out}, size {size}, k {k}, stride {stride}, dilation {dilation}; expected all from 1")
    covers = span(k, dilation)
    total = (out - 1) * stride + covers - size
    if total + stride - 1 < 0:
        fewest = out_size(size, k, stride, 0, dilation)
        raise ShapeError(f"{out} positions from {size} need less than no padding; without any there are {fewest}")
    least, most = max(0, total), total + stride - 1
    notes = [f"{least // 2} before and {least - least // 2} after"]
    if most > least:
        notes.append(f"up to {most} in all give the same size; what is more than {least} no window reaches")
    return Answer(
        "padding", least, "in all", ("(out - 1) · stride + span - size", f"({out} - 1) · {stride} + {covers} - {size}"),
        tuple(notes),
    )  # fmt: skip


def parameters(layers: Sequence[Layer], shape: Shape) -> Answer:
    """Weights and biases of layers for images (C, H, W).

    >>> print(parameters([Layer("conv3-64", "conv", 3, 64)], (32, 13, 13)))
    parameters = (k · k · c_in / groups + 1) · c_out
               = (3·3·32 + 1) · 64
               = 18,496

    Raises: ShapeError.
    """
    rows = walk(layers, shape)
    total = sum(row.weights for row in rows)
    if len(rows) == 1:
        kind = rows[0].layer.kind
        one = " + 1" if rows[0].layer.bias else ""
        formula = {"conv": f"(k · k · c_in / groups{one}) · c_out", "dense": f"(inputs{one}) · outputs"}
        steps = (*([formula[kind]] if kind in formula else []), rows[0].weights_formula)
        return Answer("parameters", total, "", steps)
    lines = _columns([(row.layer.name, row.weights_formula, f"{row.weights:,}") for row in rows])
    return Answer("parameters", total, "", ("the sum of these",), (), lines)


def macs(layers: Sequence[Layer], shape: Shape) -> Answer:
    """Multiply-adds of layers for one image (C, H, W).

    >>> print(macs([Layer("conv5-128", "conv", 5, 128)], (3, 12, 12)))
    MACs = rows · cols · c_out · k · k · c_in / groups
         = 8·8 · 128 · 5·5·3
         = 614,400
    One multiply-add counted as two operations: 1,228,800 FLOPs

    Raises: ShapeError.
    """
    rows = walk(layers, shape)
    total = sum(row.macs for row in rows)
    notes = (f"One multiply-add counted as two operations: {2 * total:,} FLOPs",)
    if len(rows) == 1:
        formula = {"conv": "rows · cols · c_out · k · k · c_in / groups", "dense": "inputs · outputs"}
        kind = rows[0].layer.kind
        return Answer("MACs", total, "", (*([formula[kind]] if kind in formula else []), rows[0].macs_formula), notes)
    lines = _columns([(row.layer.name, row.macs_formula, f"{row.macs:,}") for row in rows])
    return Answer("MACs", total, "", ("the sum of these",), notes, lines)


def receptive_field(layers: Sequence[Layer]) -> Answer:
    """Pixels a side that one value of the last layer can depend on.

    >>> print(receptive_field([Layer("conv3", "conv", 3)] * 3))
    conv3  1 + (3 - 1)·1  3  jump 1
    conv3  3 + (3 - 1)·1  5  jump 1
    conv3  5 + (3 - 1)·1  7  jump 1
    field = field before + (span - 1) · jump, layer by layer
          = 7 pixels a side
    The next value's window is 1 pixel on

    Raises: ShapeError for a layer that sees all positions: its field is the image.
    """
    if any(layer.kind == "dense" for layer in layers):
        raise ShapeError("a dense layer sees the whole image; the receptive field is asked of what comes before it")
    large = 1 << 40  # no window may fall off the image; sizes don't matter here
    rows = walk([Layer(x.name, "pool", x.k, 0, x.stride, 0, x.dilation) for x in layers], (1, large, large))
    lines = _columns([(row.layer.name, row.field_formula, str(row.field), f"jump {row.jump}") for row in rows])
    field, jump = (rows[-1].field, rows[-1].jump) if rows else (1, 1)
    notes = (f"The next value's window is {jump} pixel{'s' if jump > 1 else ''} on",)
    return Answer("field", field, "pixels a side", ("field before + (span - 1) · jump, layer by layer",), notes, lines)


def memory(layers: Sequence[Layer], shape: Shape, bytes_each: int = 4) -> Answer:
    """Bytes of the values of one image (C, H, W) and of what every layer makes of it, if all are kept.

    Raises: ShapeError.
    """
    if bytes_each < 1:
        raise ShapeError(f"{bytes_each} bytes a value; expected 4 (float32), 2 (bfloat16), 8 (float64) or 1 (int8)")
    rows = walk(layers, shape)
    c, h, w = shape
    first = ("image", f"{h}·{w}·{c}", f"{c * h * w:,}", "")
    lines = [first] + [
        (row.layer.name, "·".join(map(str, (*row.output[1:], row.output[0]))), f"{row.values:,}", f"{row.weights:,}")
        for row in rows
    ]
    values, weights = c * h * w + sum(row.values for row in rows), sum(row.weights for row in rows)
    notes = (
        f"{values * bytes_each / 1e6:,.1f} MB an image; for a gradient each value is kept, and has one of its own: "
        f"about twice that",
        f"parameters: {weights:,} · {bytes_each} = {weights * bytes_each / 1e6:,.1f} MB, whatever the batch",
    )
    return Answer(
        "memory", values * bytes_each, "bytes", ("values · bytes a value", f"{values:,} · {bytes_each}"), notes,
        _columns([("", "shape", "values", "parameters"), *lines]),
    )  # fmt: skip


def _rows(count: int) -> str:
    return "row" if count == 1 else f"{count} rows"


def _columns(lines: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Cells below one another: the first two columns to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return tuple(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
