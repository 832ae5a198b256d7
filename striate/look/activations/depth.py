"""How sparsity, blank maps and what is retained of the image change with depth: in numbers, sentences and a drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from striate.look.activations.activations import Activations
from striate.look.activations.tally import LayerActivations
from striate.look.draw import Box, Circle, Line, Mark, Picture, Words, width_of
from striate.look.explain.randomised import rank_correlation
from striate.look.labels import ACTIVATIONS

PLAIN = ACTIVATIONS - {"softmax", "log softmax"}
WIDTH, LEFT, RIGHT, TOP, PANEL, BETWEEN = 860.0, 52.0, 22.0, 50.0, 118.0, 44.0
STEADY = 0.3  # rank correlation from which on something is said to grow or fall with depth


@dataclass(frozen=True)
class Way:
    """The layers that a curve goes through, with their places in the order of all; and all that lie on the way."""

    on: tuple[tuple[int, LayerActivations], ...]
    beside: tuple[tuple[int, LayerActivations], ...]
    layers: int


def way(found: Activations) -> Way:
    """The activation functions, in order; all layers where there are fewer than three.

    Branches aside with one place, as of squeeze and excitation, are left out: maps follow them.
    """
    numbered = list(enumerate(found.layers))
    last = max((i for i, layer in numbered if layer.places > 1), default=-1)
    main = tuple((i, layer) for i, layer in numbered if layer.places > 1 or i > last)
    on = tuple((i, layer) for i, layer in main if layer.label in PLAIN)
    return Way(on if len(on) > 2 else main, main, len(numbered))


def things_to_note(found: Activations) -> list[str]:
    """What the curves show, in sentences; empty for fewer than two layers."""
    on = [layer for _, layer in way(found).on]
    if len(on) < 2:
        return []
    told = []
    if any(layer.sparsity for layer in on):
        told.append(_trend("Zeros", [(layer.name, layer.sparsity) for layer in on]))
    else:
        told.append("No value of these layers is exactly zero: sparsity is of rectifiers.")
    maps = [layer for layer in on if layer.places > 1]
    if len(maps) > 1:
        if any(layer.blank.any() for layer in maps):
            told.append(_trend("Blank maps", [(layer.name, layer.blank_share) for layer in maps]))
        else:
            told.append("No map is blank.")
    read = [(layer.name, layer.retained) for layer in maps if layer.retained is not None]
    if len(read) > 1:
        told.append(_trend("What can be read of the image", read))
    return told


def curves(found: Activations) -> Picture:
    """Three panels one below the other: zeros, blank maps, and what can be read of the image, against depth."""
    path = way(found)
    height = TOP + 3 * PANEL + 2 * BETWEEN + 40
    span = WIDTH - LEFT - RIGHT
    at = {i: LEFT + span * (i + 0.5) / max(path.layers, 1) for i in range(path.layers)}
    picture = Picture(WIDTH, height, "Zeros, blank maps and what is retained of the image, against depth")
    picture.marks.append(Box(0, 0, WIDTH, height, "paper", 0))
    panels = (
        ("zeros, % of values", [(i, layer, layer.sparsity) for i, layer in path.on],
         [(i, layer, layer.sparsity) for i, layer in path.beside], None),
        ("blank maps, % of channels", [(i, layer, layer.blank_share) for i, layer in path.on if layer.places > 1],
         [(i, layer, layer.blank_share) for i, layer in path.beside if layer.places > 1], None),
        ("what can be read of the image, %",
         [(i, layer, layer.retained) for i, layer in path.on if layer.retained is not None],
         [(i, layer, layer.retained) for i, layer in path.beside if layer.retained is not None], found.by_place),
    )  # fmt: skip
    marks: list[Mark] = _bands(path, at, [TOP + k * (PANEL + BETWEEN) for k in range(3)])
    for k, (title, on, beside, level) in enumerate(panels):
        marks += _panel(TOP + k * (PANEL + BETWEEN), title, on, beside, level, at)
    marks.append(Words(LEFT, height - 14, "first layer", 11, "soft"))
    marks.append(Words(WIDTH - RIGHT, height - 14, f"last of {path.layers:,} layers", 11, "soft", "end"))
    picture.marks += marks
    return picture


Points = list[tuple[int, LayerActivations, float]]


def _panel(
    top: float, title: str, on: Points, beside: Points, level: float | None, at: dict[int, float]
) -> list[Mark]:  # fmt: skip
    def y(share: float) -> float:
        return top + PANEL * (1 - share)

    marks: list[Mark] = []
    for share in (0.0, 0.5, 1.0):
        marks.append(Line(((LEFT, y(share)), (WIDTH - RIGHT, y(share))), "grid"))
        marks.append(Words(LEFT - 8, y(share) + 4, f"{100 * share:.0f}", 11, "soft", "end"))
    marks.append(Words(LEFT, top - 9, title, 12.5, "ink", bold=True))
    if level is not None and on:
        marks.append(Line(((LEFT, y(level)), (WIDTH - RIGHT, y(level))), "dashed"))
        words = "a layer that knew only where a place is"
        marks.append(Words(WIDTH - RIGHT, top - 9, f"dashed: {words}, {100 * level:.0f} %", 11, "soft", "end"))
    drawn = {i for i, _, _ in on}
    marks += [Circle(at[i], y(v), 1.6, "other", f"{one.name}: {_percent(v)}") for i, one, v in beside if i not in drawn]
    places = [(at[i], y(value)) for i, _, value in on]
    marks += [Line((a, b), "point", width=1.6) for a, b in pairwise(places)]
    radius = 3.0 if len(on) < 80 else 2.0
    marks += [Circle(at[i], y(v), radius, "point", f"{one.name}: {_percent(v)}") for i, one, v in on]
    if not on:
        marks.append(
            Words((LEFT + WIDTH - RIGHT) / 2, top + PANEL / 2 + 4, "not measured: no maps", 12, "soft", "middle")
        )
    return marks


def _bands(path: Way, at: dict[int, float], tops: Sequence[float]) -> list[Mark]:
    """Where the resolution changes along the way: a line, and the sides from there on where there is room for words."""
    starts: list[tuple[float, str]] = []
    for i, layer in path.beside:
        sides = "×".join(map(str, layer.shape[1:])) if layer.places > 1 else "1×1"
        if not starts or starts[-1][1] != sides:
            starts.append((at[i] - 4, sides))
    marks: list[Mark] = []
    ends = [x for x, _ in starts[1:]] + [WIDTH - RIGHT + 14]
    free = 0.0
    for (x, sides), end in zip(starts, ends, strict=True):
        wide = width_of(sides, 11) + 10
        if end - x < 5:  # in and out again at once: a branch
            continue
        for top in tops:
            marks.append(Line(((x, top), (x, top + PANEL)), "grid"))
        if x >= free and x + wide <= max(end, x + 0.1) + 4:
            marks.append(Words(x, 18, sides, 11, "soft"))
            free = x + wide
    return marks


def _trend(what: str, points: list[tuple[str, float]]) -> str:
    shares = np.array([share for _, share in points])
    r = rank_correlation(np.arange(len(shares), dtype=np.float64), shares)
    how = "grows with depth" if r >= STEADY else "falls with depth" if r <= -STEADY else "no steady trend"
    (first, a), (last, b) = points[0], points[-1]
    return f"{what}: {_percent(a)} at {first}, {_percent(b)} at {last}; {how} (rank correlation {r:+.2f})."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
