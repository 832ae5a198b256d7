"""Sheets of kernels and of patterns, drawn with Pillow: hundreds of small pictures with a word below each."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striate.look.filters.kernels import Contrast, Kernels
from striate.look.filters.patterns import Patterns
from striate.look.sheet import font_of, wrapped

PAPER, INK, SOFT, RULE, WARN = (253, 252, 249), (28, 30, 33), (93, 98, 105), (222, 216, 202), (122, 59, 6)
EDGE, GAP, NARROWEST = 28, 8, 760  # pixels: around the sheet, between pictures, the least width of a sheet
WIDEST = 1600
ROWS, COLUMNS = 64, 64  # of a table of gray kernels
Pixels = NDArray[np.uint8]


def pattern_sheet(found: Patterns, title: str = "") -> Image.Image:
    """All patterns with their labels; those of which something is to be said have a mark, and the words below."""
    n, (h, w) = len(found.objectives), found.canvas.size
    most = {1: 448, 2: 336}.get(n, 300 if n <= 8 else 224 if n <= 16 else 150 if n <= 128 else 112 if n <= 300 else 84)
    times = max(1, most // max(h, w))
    tile = (w * times, h * times) if times > 1 else (max(1, w * most // max(h, w)), max(1, h * most // max(h, w)))
    if max(h, w) <= most and times == 1:
        tile = (w, h)
    pictures = [_sized(image, tile, small=times > 1) for image in found.images]
    labels = [one.label + (" *" if remark else "") for one, remark in zip(found.objectives, found.remarks, strict=True)]
    h_, w_ = found.canvas.size
    said = f"{found.said}; {h_} × {w_} pixels, seed {found.seed}"
    foot = [f"* {note}" for note in found.notes]
    return _sheet(title or _about(found), said[0].upper() + said[1:], pictures, labels, tile, foot)


def kernel_sheet(found: Kernels, title: str = "", contrast: Contrast = "each") -> Image.Image:
    """Kernels in colour, a picture each; or a table, a row a filter and a column an input channel."""
    c_out, c_in, k_h, k_w = found.weights.shape
    size = f"{c_out} filters of {k_h} × {k_w} on {c_in} channel{'s' if c_in != 1 else ''}"
    each = "the largest weight of each filter" if contrast == "each" else (
        f"the largest weight of all, {found.reach('shared').max(initial=0):.3g}"
    )  # fmt: skip
    title = title or f"{found.layer}: kernels"
    if found.colour:
        order = "shown red, green, blue" + ("; the network reads blue first" if found.order == "bgr" else "")
        scale = f"Gray is zero; full colour is ± {each}; {order}"
    else:
        scale = f"Gray is zero, white positive, black negative; white and black are ± {each}"
    marks = [f"{i} *" if remark else str(i) for i, remark in enumerate(found.remarks)]
    foot = [f"* {note}" for note in found.notes]
    shown = found.pictures(contrast)
    if found.colour or c_in == 1:
        times = max(1, (72 if c_out <= 64 else 56) // max(k_h, k_w))
        flat = shown if found.colour else shown[:, 0, :, :, None]
        tile = (k_w * times, k_h * times)
        pictures = [_sized(image, tile, small=True) for image in flat]
        return _sheet(title, [size, scale], pictures, marks, tile, foot)
    return _table(title, [_grouped(size, found.groups), scale, *foot], shown, marks)


def _sheet(
    title: str, said: str | Sequence[str], pictures: Sequence[Image.Image], labels: Sequence[str],
    tile: tuple[int, int], foot: Sequence[str],
) -> Image.Image:  # fmt: skip
    small = font_of(12)
    cell = max(tile[0], min(160, max((ceil(small.getlength(text)) for text in labels), default=0)))
    across = _across(len(pictures), cell)
    down = ceil(len(pictures) / across)
    width = max(NARROWEST, 2 * EDGE + across * (cell + GAP) - GAP)
    head, top = _head(title, said, width)
    below = [line for text in foot for line in wrapped(text, small, width - 2 * EDGE)]
    height = top + down * (tile[1] + 20 + GAP) + (16 * len(below) + 10 if below else 0) + EDGE - GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    sheet.paste(head, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = EDGE + i % across * (cell + GAP), top + i // across * (tile[1] + 20 + GAP)
        sheet.paste(picture, (x, y))
        draw.text((x, y + tile[1] + 3), _cut(label, small, cell), WARN if label.endswith(" *") else SOFT, small)
    y = top + down * (tile[1] + 20 + GAP) + 4
    for line in below:
        draw.text((EDGE, y), line, WARN, small)
        y += 16
    return sheet


def _across(n: int, cell: int) -> int:
    """How many pictures stand in a row: a sheet about as tall as wide, not narrow, and without a ragged last row."""
    least, most = ((wide - 2 * EDGE + GAP) // (cell + GAP) for wide in (NARROWEST, WIDEST))
    if n <= max(least, 1):
        return n
    near = min(max(ceil(sqrt(1.2 * n)), least), max(most, 1))
    even = [k for k in range(max(least, 1), min(2 * near, most) + 1) if n % k == 0]
    return min(even, key=lambda k: abs(k - near)) if even else near


def _table(title: str, said: Sequence[str], shown: Pixels, marks: Sequence[str]) -> Image.Image:
    """(c_out, c_in, k_h, k_w): a row a filter, a column an input channel."""
    c_out, c_in, k_h, k_w = shown.shape
    rows, columns = min(c_out, ROWS), min(c_in, COLUMNS)
    if (rows, columns) != (c_out, c_in):
        said = [*said, f"The first {rows} of {c_out} filters, and the first {columns} of {c_in} input channels"]
    small = font_of(11)
    room = 22 if columns > 24 else 34 if columns > 10 else 56
    times = max(1, room // max(k_h, k_w))
    tall, wide = k_h * times, k_w * times
    apart = max(3, times // 2)
    pitch_y, pitch_x = max(tall + apart, 13), wide + apart
    left = EDGE + 40
    width = max(NARROWEST, left + columns * pitch_x + EDGE)
    head, top = _head(title, said, width)
    sheet = Image.new("RGB", (width, top + 22 + rows * pitch_y + EDGE), PAPER)
    sheet.paste(head, (0, 0))
    draw = ImageDraw.Draw(sheet)
    every = max(1, ceil((small.getlength(str(columns)) + 8) / pitch_x))
    draw.text((EDGE, top), "filter", SOFT, small)
    for j in range(0, columns, every):
        draw.text((left + j * pitch_x, top), str(j), SOFT, small)
    for i in range(rows):
        y = top + 22 + i * pitch_y
        draw.text((EDGE, y + tall // 2), marks[i], WARN if "*" in marks[i] else SOFT, small, anchor="lm")
    cells = shown[:rows, :columns].repeat(times, 2).repeat(times, 3)
    framed = np.pad(cells, ((0, 0), (0, 0), (0, pitch_y - tall), (0, pitch_x - wide)))
    inside = np.pad(np.ones_like(cells), ((0, 0), (0, 0), (0, pitch_y - tall), (0, pitch_x - wide)))
    whole, mask = (
        one.transpose(0, 2, 1, 3).reshape(rows * pitch_y, columns * pitch_x) for one in (framed, 255 * inside)
    )
    sheet.paste(Image.fromarray(whole).convert("RGB"), (left, top + 22), Image.fromarray(mask))
    return sheet


def _head(title: str, said: str | Sequence[str], width: int) -> tuple[Image.Image, int]:
    """Title and what is said below it, and the height that they take."""
    large, middle = font_of(22, bold=True), font_of(13)
    lines = wrapped(title, large, width - 2 * EDGE)
    words = [line for text in ([said] if isinstance(said, str) else said) for line in wrapped(text, middle,
             width - 2 * EDGE)]  # fmt: skip
    height = EDGE + 30 * len(lines) + 19 * len(words) + 16
    head = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(head)
    for i, line in enumerate(lines):
        draw.text((EDGE, EDGE - 6 + 30 * i), line, INK, large)
    for i, line in enumerate(words):
        draw.text((EDGE, EDGE + 30 * len(lines) + 19 * i), line, SOFT, middle)
    return head, height


def _about(found: Patterns) -> str:
    layers = list(dict.fromkeys(t.layer for one in found.objectives for t in one.terms))
    named = ", ".join(layer or "classes" for layer in layers[:3]) + (" ..." if len(layers) > 3 else "")
    return f"What excites {named} most"


def _grouped(size: str, groups: int) -> str:
    return size if groups == 1 else f"{size} each, in {groups} groups"


def _sized(image: Pixels, size: tuple[int, int], *, small: bool) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)).convert("RGB")
    if picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    tail = "… *" if text.endswith(" *") else "…"
    n = next((n for n in range(len(text), 0, -1) if font.getlength(text[:n] + tail) <= width), 1)
    return text[:n] + tail
