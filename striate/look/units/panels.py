"""The parts that the picture of a unit is put together from: maps side by side, rows of bars, lists of numbers."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from striate.look.units.text import number
from striate.math.arrays import Array

WRITTEN = 49  # cells that have room for their number
INK, PALE, RULE, MARK, SEEN = "#24292f", "#6e7781", "#d0d7de", "#d1480f", "#f2b705"
INCHES = 13.0, 7.4
SIGNED, PLAIN = "RdBu_r", "gray"
SMALL: dict[str, Any] = {"fontsize": 8, "color": PALE}


def plain(words: str) -> str:
    """Words as matplotlib shows them."""
    return words.replace("$", r"\$")  # a dollar would begin a formula


def bare(axes: Axes, title: str, below: str = "") -> None:
    """A frame, a title and a line below; no ticks."""
    axes.set(xticks=[], yticks=[])
    axes.set_title(plain(title), fontsize=10, color=INK, loc="left", pad=6)
    if below:
        axes.set_xlabel(plain(below), labelpad=6, loc="left", **SMALL)
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.6)


def tiles(axes: Axes, maps: Array, colours: str, title: str, below: str = "") -> None:
    """Maps (C, U, V) side by side, with gaps; each cell with its number where there is room."""
    c, u, v = maps.shape
    across = int(np.ceil(np.sqrt(c)))
    down = -(-c // across)
    gap = 1 if c > 1 else 0
    sheet = np.full((down * (u + gap) - gap, across * (v + gap) - gap), np.nan)
    for i, one in enumerate(maps):
        row, column = divmod(i, across)
        sheet[row * (u + gap) : row * (u + gap) + u, column * (v + gap) : column * (v + gap) + v] = one
    low, high = float(np.nanmin(maps)), float(np.nanmax(maps))
    reach = max(-low, high) or 1.0
    lowest, highest = (-reach, reach) if colours == SIGNED else (low, high if high > low else low + 1)
    axes.imshow(sheet, cmap=colours, vmin=lowest, vmax=highest, interpolation="nearest")
    axes.set_anchor("NW")
    unit, said = 1.0, ""
    if maps.size <= WRITTEN and not 0.1 <= reach < 1000:
        tens = int(np.floor(np.log10(reach)))
        unit, said = 10.0**tens, f", written in units of 1e{tens}"
    if maps.size <= WRITTEN:
        for (row, column), value in np.ndenumerate(sheet):
            if not np.isnan(value):
                share = (value - lowest) / (highest - lowest)
                dark = abs(share - 0.5) > 0.32 if colours == SIGNED else share < 0.55
                size = 10 if maps.size <= 9 else 6.4
                words = f"{value / unit:.2f}" if abs(value / unit) < 100 else f"{value / unit:.0f}"
                axes.text(column, row, words, ha="center", va="center", fontsize=size, color="white" if dark else INK)
    bare(axes, title, below or f"{number(low)} to {number(high)}{said}")
    if c > 1:
        for spine in axes.spines.values():
            spine.set_visible(False)


def row_of_bars(axes: Axes, names: Sequence[str], values: Array, title: str, below: str) -> None:
    """One bar a value: its name at the left in a column of its own, its number at its end."""
    axes.set_axis_off()
    axes.set_title(plain(title), fontsize=10, color=INK, loc="left", pad=6)
    shown = [name if len(name) < 30 else f"…{name[-28:]}" for name in names]
    inches = axes.get_position().width * INCHES[0]
    column = min(0.5, 0.075 * max(map(len, shown), default=1) / inches + 0.03)  # a letter is 0.075 inches wide
    bars = axes.inset_axes((column, 0.0, 1 - column, 1.0))
    rows, deep = np.arange(len(names)), max(len(names), 6)
    bars.barh(rows, values, height=0.66, color=["#c0392b" if value > 0 else "#2f6ca3" for value in values])
    bars.set_ylim(deep - 0.5, -0.5)
    bars.axvline(0, ymin=1 - len(names) / deep, color=PALE, linewidth=0.8)
    reach = float(np.abs(values).max(initial=0.0)) or 1.0
    low, high = min(0.0, float(values.min(initial=0.0))), max(0.0, float(values.max(initial=0.0)))
    room = 0.075 * 11 / (inches * (1 - column)) * (high - low + reach)  # for the numbers
    bars.set_xlim(low - (room if low < 0 else 0.01 * reach), high + (room if high > 0 else 0.01 * reach))
    for row, value in enumerate(values):
        side, gap = ("left", 0.02) if value >= 0 else ("right", -0.02)
        bars.text(value + gap * reach, row, number(value), va="center", ha=side, fontsize=8, color=INK)
        axes.text(0.0, 1 - (row + 0.5) / deep, shown[row], va="center", fontsize=8, color=INK, transform=axes.transAxes)
    bars.set_axis_off()
    if below:
        axes.text(0.0, -0.04, plain(below), va="top", transform=axes.transAxes, **SMALL)


def list_numbers(axes: Axes, title: str, lines: Sequence[tuple[str, str, str]]) -> None:
    """Lines of words and a number, each in its colour."""
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, color=INK, loc="left", pad=6)
    step = min(0.105, 0.95 / max(1, len(lines)))
    for i, (what, value, colour) in enumerate(lines):
        weight = "bold" if colour == MARK else "normal"
        short = textwrap.shorten(what, 27, placeholder="…")
        axes.text(0.0, 0.95 - i * step, plain(short), fontsize=9, color=colour, transform=axes.transAxes, va="center")
        axes.text(1.0, 0.95 - i * step, value, fontsize=9.5, color=colour, weight=weight, ha="right", va="center",
                  transform=axes.transAxes)  # fmt: skip
