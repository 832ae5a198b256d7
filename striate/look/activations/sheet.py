"""All channels of a layer on one sheet: a tile each, with the number of the first in a row, under what the layer is."""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from striate.errors import UnknownName, suggest
from striate.look.activations.steps import Step
from striate.look.activations.tally import LayerActivations
from striate.look.activations.tiles import (
    GAP,
    GUTTER,
    HEIGHT,
    INK,
    PAPER,
    RAMP,
    SCALES,
    SOFT,
    WIDTH,
    Maps,
    Numbers,
    Scale,
    as_maps,
    blank_maps,
    cells,
    columns,
    palette,
    tiles,
)
from striate.look.cells import fit
from striate.look.sheet import font_of

MARGIN, HEAD = 24, 96  # around a sheet, and for its words; pixels


@dataclass(frozen=True)
class Sheet:
    """A picture of palette numbers (height, width)."""

    numbers: Numbers

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.numbers.shape[1], self.numbers.shape[0]

    def _repr_png_(self) -> bytes:
        return png(self)


def draw_sheet(
    layer: Step | LayerActivations, maps: Tensor, scale: Scale = "channel", heading: str = "", *, tall: int = HEIGHT
) -> Sheet:
    """A layer's maps (C, h, w) for one image, or its values (C,), on about `tall` pixels, headed by what it is.

    Raises: UnknownName for a scale that there is not.
    """
    if scale not in SCALES:
        raise UnknownName(f"no scale is called {scale!r}{suggest(scale, SCALES, 'there are channel and shared')}")
    values = as_maps(maps)
    blank = blank_maps(values)
    drawn, said = tiles(values, scale, blank, tall=tall)
    c = len(values)
    across = _across(c, values.shape[1] == 1 < values.shape[2], drawn.shape[1:], tall)
    grid = _grid(drawn, across)
    wide = max(grid.shape[1] + GUTTER + 2 * MARGIN, 720)
    head = _words(wide, layer.name, heading, (_facts(layer, values, blank), said))
    body = np.full((grid.shape[0] + MARGIN, wide), PAPER, np.uint8)
    body[: grid.shape[0], MARGIN + GUTTER : MARGIN + GUTTER + grid.shape[1]] = grid
    _number_rows(body, c, across, drawn.shape[1] + GAP)
    return Sheet(np.concatenate([head, body]))


def strip(maps: Tensor, most: int = 12, side: int = 56) -> bytes:
    """The `most` liveliest channels (greatest deviation, in order of their numbers) in one row, as a small PNG."""
    values = as_maps(maps)
    if values.shape[1:] == (1, 1):
        drawn, _ = cells(values[: 8 * most], 12)
        return png(Sheet(_grid(drawn, min(len(drawn), 4 * most))))
    best = np.sort(np.argsort(-values.std((1, 2)), kind="stable")[:most])
    chosen = values[best]
    blank = blank_maps(chosen)
    h, w = chosen.shape[1:]
    drawn, _ = tiles(chosen, "channel", blank, limit=max(1, side * w // max(h, w)))
    return png(Sheet(_grid(drawn, len(drawn))))


def stacked(sheets: list[Sheet]) -> Sheet:
    """Sheets one below the other."""
    wide = max(sheet.size[0] for sheet in sheets)
    rows = [np.pad(s.numbers, ((0, 0), (0, wide - s.size[0])), constant_values=PAPER) for s in sheets]
    return Sheet(np.concatenate(rows))


def png(sheet: Sheet) -> bytes:
    """A PNG file of 256 colours."""
    picture = Image.fromarray(sheet.numbers)
    picture.putpalette(palette())
    stored = io.BytesIO()
    picture.save(stored, "PNG", compress_level=3)
    return stored.getvalue()


def _across(c: int, flat: bool, tile: tuple[int, ...], most: int) -> int:
    """Tiles in a row: as wide as the sheet may be, less if that makes it nearly square and not too tall.

    Flat tiles, a row of values each, stand below each other while there is room.
    """
    tall, wide = tile
    fitting = [n for n in sorted(columns(c, flat)) if n * (wide + GAP) <= WIDTH - GUTTER] or [1]
    heights = [(n, math.ceil(c / n) * (tall + GAP)) for n in fitting]
    if flat:
        good = [n for n, height in heights if height <= most]
    elif c <= 16:
        return max(fitting)
    else:
        good = [n for n, height in heights if 600 < n * (wide + GAP) >= 0.8 * height and height <= most]
    return good[0] if good else fitting[-1]


def _grid(drawn: Numbers, across: int) -> Numbers:
    c, h, w = drawn.shape
    rows = math.ceil(c / across)
    room = np.full((rows * across, h + GAP, w + GAP), PAPER, np.uint8)
    room[:c, :h, :w] = drawn
    return room.reshape(rows, across, h + GAP, w + GAP).transpose(0, 2, 1, 3).reshape(rows * (h + GAP), -1)


def _facts(layer: Step | LayerActivations, values: Maps, blank: NDArray[np.bool_]) -> str:
    """What the layer is, and of this image."""
    zeros = float((values == 0).mean())
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    facts = [layer.label, "×".join(map(str, layer.shape)), f"mean {mean:.3g}, deviation {deviation:.3g}"]
    facts.append(f"{100 * zeros:.1f} % zeros")
    what = "are blank" if layer.places > 1 else "are zero"
    not_zero = int((blank & (values[:, 0, 0] != 0)).sum())
    struck = f" (struck through{f', {not_zero} not zero' if not_zero else ''})" if blank.any() else ""
    facts.append(f"{int(blank.sum()):,} of {len(values):,} channels {what}{struck}")
    return "  ·  ".join(facts)


def _number_rows(body: Numbers, c: int, across: int, step: int) -> None:
    """The number of the first channel of each row, at its left; of some rows where they are narrow."""
    every = max(1, math.ceil(15 / step))
    picture = Image.new("L", (GUTTER - 8, body.shape[0]), 0)
    draw = ImageDraw.Draw(picture)
    for row in range(0, math.ceil(c / across), every):
        draw.text((GUTTER - 9, row * step + (step - GAP) / 2), f"{row * across:,}", 255, font_of(12), anchor="rm")
    body[:, MARGIN : MARGIN + GUTTER - 8] = _ramp(np.asarray(picture), SOFT)


def _words(wide: int, name: str, right: str, lines: tuple[str, ...]) -> Numbers:
    """The head of a sheet: a name in ink, what belongs to it at the right, and lines below, as palette numbers."""
    large, small = font_of(22, bold=True), font_of(13)
    room = wide - 2 * MARGIN
    name = fit(name, large, room)
    ink, soft = (Image.new("L", (wide, HEAD), 0) for _ in range(2))
    ImageDraw.Draw(ink).text((MARGIN, 26), name, 255, large, anchor="lm")
    draw = ImageDraw.Draw(soft)
    rest = room - large.getlength(name) - 30
    if rest > 60:
        draw.text((wide - MARGIN, 27), fit(right, small, int(rest)), 255, small, anchor="rm")
    for i, line in enumerate(lines):
        draw.text((MARGIN, 54 + 20 * i), fit(line, small, room), 255, small, anchor="lm")
    drawn = np.asarray(ink)
    return np.where(drawn > 0, _ramp(drawn, INK), _ramp(np.asarray(soft), SOFT))


def _ramp(drawn: NDArray[np.uint8], start: int) -> Numbers:
    """How much ink is on a pixel, 0 to 255 -> palette numbers from the paper to the ink."""
    level = (drawn.astype(np.uint16) * (RAMP - 1) + 127) // 255
    found: Numbers = np.where(level == 0, PAPER, start + level).astype(np.uint8)
    return found
