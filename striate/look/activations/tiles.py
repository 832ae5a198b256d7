"""Maps as tiles of palette numbers: contrast, size, and a stroke through those that are blank.

Where nothing is below zero, dark is zero and bright is the most; else blue is below zero, red above, and zero is pale.
The most is that of the channel itself, or of the whole layer (`Scale`). In maps of many places it is the value that one
place in two hundred exceeds, so that a single bright corner does not leave the rest dark. Blank maps, the same
everywhere, are paper with a stroke through it. All in NumPy: sheets are drawn while a network holds torch's threads.
"""

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from striate.look.draw import KINDS

Scale = Literal["channel", "shared"]
SCALES = ("channel", "shared")
Numbers = NDArray[np.uint8]
Maps = NDArray[np.float32]

COLOURS = 100  # of each of the two colour maps
PAPER, STROKE, INK, SOFT = 200, 201, 202, 218  # the last two begin ramps of 16 from the paper
RAMP = 16
WIDTH, HEIGHT = 1560, 1900  # pixels that a sheet may have, about
LARGEST, SMALLEST = 224, 12  # side of a tile
GAP, GUTTER = 2, 52  # between tiles; for the numbers of the channels
CELL = 18  # side of a value of a dense layer
CLIP = 0.005  # of the places that may be brighter than the brightest colour
MANY = 400  # places from which on some are clipped


def as_maps(maps: Tensor) -> Maps:
    """Any layer's output for one image as (C, h, w), finite."""
    values = maps.detach().to("cpu", torch.float32).numpy()
    if values.ndim < 3:
        values = values.reshape(len(values), 1, -1)
    values = values.reshape(len(values), -1, values.shape[-1])
    return values if np.isfinite(values).all() else np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def blank_maps(values: Maps) -> NDArray[np.bool_]:
    """Of maps (C, h, w), those that are the same everywhere; where there is one place, those that are zero."""
    flat = values.reshape(len(values), -1)
    blank: NDArray[np.bool_] = flat.min(1) == flat.max(1) if flat.shape[1] > 1 else flat[:, 0] == 0
    return blank


def tiles(
    values: Maps, scale: Scale, blank: NDArray[np.bool_], limit: int | None = None, tall: int = HEIGHT
) -> tuple[Numbers, str]:
    """Palette numbers (C, height, width), and what to say of the contrast."""
    c, h, w = values.shape
    if h * w == 1:
        return cells(values, CELL if c > 400 else 28 if c > 40 else 56)
    signed = bool(values.min() < 0)
    reach = _reach(values)
    if scale == "shared":
        reach = np.full_like(reach, reach.max())
    zoom = _zoom(c, h, w, limit, tall)
    if zoom < 1:
        size = (max(1, round(h * zoom)), max(1, round(w * zoom)))
        values = functional.adaptive_avg_pool2d(torch.from_numpy(values)[None], size)[0].numpy()
    numbers = _numbered(values, reach, signed)
    if zoom > 1:
        rows = int(zoom) if h > 1 else max(int(zoom), 8)
        numbers = numbers.repeat(rows, 1).repeat(int(zoom), 2)
    _strike(numbers, blank)
    clipped = ", the brightest 0.5 % of places above it" if h * w >= MANY else ""
    if scale == "channel":
        who, top = "Each channel on a scale of its own", f"its own most{clipped}"
    else:
        who, top = "All channels on one scale", f"{reach[0]:.3g}{clipped}"
    how = f"blue to red is ± {top}, pale is zero" if signed else f"dark is zero, bright is {top}"
    return numbers, f"{who}: {how}."


def cells(values: Maps, side: int) -> tuple[Numbers, str]:
    """Single values (C, 1, 1) as squares, on one scale: alone, a value has no contrast."""
    signed = bool(values.min() < 0)
    reach = float(np.abs(values).max())
    numbers = _numbered(values, np.full(len(values), reach, np.float32), signed).repeat(side, 1).repeat(side, 2)
    _strike(numbers, values[:, 0, 0] == 0)
    how = f"blue to red is ± {reach:.3g}" if signed else f"dark is zero, bright is {reach:.3g}"
    return numbers, f"One value a channel, all on one scale: {how}."


def _reach(values: Maps) -> Maps:
    """(C,) what the brightest colour stands for."""
    size = np.abs(values).reshape(len(values), -1)
    most: Maps = size.max(1)
    places = size.shape[1]
    if places < MANY:
        return most
    place = places - 1 - max(1, int(CLIP * places))
    top = np.partition(size, place, axis=1)[:, place]
    return np.where(top > 0, top, most)


def _numbered(values: Maps, reach: Maps, signed: bool) -> Numbers:
    share = values / np.where(reach > 0, reach, 1)[:, None, None]
    half = (COLOURS - 1) / 2
    if signed:
        share = np.clip(share, -1, 1) * np.float32(half) + np.float32(COLOURS + half)
    else:
        share = np.clip(share, 0, 1) * np.float32(2 * half)
    found: Numbers = np.rint(share).astype(np.uint8)
    return found


def _strike(numbers: Numbers, blank: NDArray[np.bool_]) -> None:
    """Paper in the place of blank maps, a frame, and a line from the lower left to the upper right."""
    _, h, w = numbers.shape
    n = max(h, w)
    rows = ((n - 1 - np.arange(n)) * h // n).clip(0, h - 1)
    columns = np.arange(n) * w // n
    which = np.flatnonzero(blank)
    numbers[which] = PAPER
    numbers[which[:, None], rows[None], columns[None]] = STROKE
    if h > 2 and w > 2:
        for line in (0, -1):
            numbers[which, line] = STROKE
            numbers[which, :, line] = STROKE


def _zoom(c: int, h: int, w: int, limit: int | None = None, tall: int = HEIGHT) -> float:
    """How much larger a tile is than its map: a whole number, or less than 1; the sheet is about as large as it may."""
    most = limit or (LARGEST if c <= 8 else max(LARGEST // 2, min(LARGEST, max(h, w))))
    best = 0.0
    for across in columns(c, h == 1):
        rows = math.ceil(c / across)
        room = min((WIDTH - GUTTER) / across - GAP, most) / w
        room = min(room, (tall / rows - GAP) / h, most / h)
        best = max(best, float(int(room)) if room >= 1 else room)
    least = SMALLEST / max(h, w)
    return max(best, float(math.ceil(least)) if least > 1 else min(least, 1.0))


def columns(c: int, flat: bool) -> list[int]:
    """Numbers of tiles in a row that are easy to count by; few of flat ones, which are a row of values each."""
    if flat:
        return [n for n in (1, 2, 4, 8, 16) if n <= c]
    return list(range(1, c + 1)) if c <= 8 else [c] * (c <= 16) + [4, *(n for n in range(8, 129, 8) if n < c + 8)]


@cache
def palette() -> bytes:
    paper, ink, soft = (np.array(_rgb(KINDS[kind].fill[0])) for kind in ("paper", "ink", "soft"))
    colours = np.zeros((256, 3))
    ends = np.linspace(0, 1, COLOURS)
    colours[:COLOURS] = colormaps["viridis"](ends)[:, :3] * 255
    colours[COLOURS : 2 * COLOURS] = colormaps["RdBu_r"](ends)[:, :3] * 255
    colours[PAPER], colours[STROKE] = paper, _rgb("#c9c3b5")
    steps = np.linspace(0, 1, RAMP)[:, None]
    colours[INK : INK + RAMP] = paper + (ink - paper) * steps
    colours[SOFT : SOFT + RAMP] = paper + (soft - paper) * steps
    return colours.round().astype(np.uint8).tobytes()


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))
