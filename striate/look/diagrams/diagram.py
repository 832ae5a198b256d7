"""A drawn network: boxes from top to bottom, stages framed, repeated blocks once with their count.

Lays out what `look.anatomy` has read, and hands the marks to `look.draw`. Columns follow each other from left to
right, so that a picture is about as wide as a slide.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from striate.look.costs.quantities import brief, by
from striate.look.costs.summary import Summary
from striate.look.diagrams.anatomy import Anatomy, anatomy
from striate.look.diagrams.blocks import lay
from striate.look.diagrams.laid import GAP, NORMAL, Laid, column, moved
from striate.look.diagrams.parts import Fork, Op
from striate.look.draw import Box, Line, Mark, Picture, Words, width_of

MARGIN = 28.0
HEADER = 64.0
BETWEEN = 56.0  # columns


def diagram(summary: Summary) -> Picture:
    """Draw the network of a summary."""
    shapes = summary.passed.shapes
    found = anatomy(summary.cost.skeleton, shapes)
    return _picture(summary, found)


def diagram_of(model: nn.Module | str, input_shape: tuple[int, int, int] | None = None) -> Picture:
    """Draw a network, given by its name or as a module with the shape (C, H, W) of its images.

    Raises: UnknownName, UsageError, ShapeError as `striate.summary`.
    """
    from striate.look.costs.summary import summary

    return diagram(summary(model, input_shape))


def _picture(summary: Summary, found: Anatomy) -> Picture:
    pieces = [lay(part) for part in found.parts]
    cells = [lay(one) for one in found.details]
    if cells:  # the whole at the left, its cells beside it, about as high as the whole
        own = sum(piece.height + GAP for piece in pieces)
        count = next(n for n in range(1, len(cells) + 1) if n == len(cells) or _tallest(_cut(cells, n)) <= 1.1 * own)
        flow, beside = [column(pieces)], [_stack(some) for some in _cut(cells, count)]
    else:
        flow, beside = _columns([_input(summary.cost.input), *pieces]), []
    notes = [f"{note}." for note in (*found.notes, *_idle(summary, found))]
    columns = [*flow, *beside]
    inside = sum(one.width for one in columns) + BETWEEN * (len(columns) - 1)
    width = max(inside + 2 * MARGIN, 460.0)
    height = HEADER + max(one.height for one in columns) + 2 * MARGIN + 16 * len(notes)
    costs = f"{brief(summary.cost.parameters)} parameters · {brief(summary.cost.macs)} MACs"
    marks: list[Mark] = [
        Box(0, 0, width, height, "paper", 0),
        Words(MARGIN, MARGIN + 14, summary.name, 20, bold=True),
        Words(MARGIN, MARGIN + 34, f"{summary.about} · {costs}", 11, "soft"),
    ]
    left = MARGIN if len(columns) > 1 else (width - inside) / 2
    for one in columns:
        marks += moved(one.marks, left, MARGIN + HEADER)
        left += one.width + BETWEEN
    marks += _turns(flow)
    marks += [Words(MARGIN, height - 12 - 16 * (len(notes) - 1 - i), note, 10, "soft") for i, note in enumerate(notes)]
    words = f"{summary.name}: a drawing of the network, from its image of {by(summary.cost.input)} to its outputs"
    return Picture(round(width), round(height), words, marks)


def _turns(flow: Sequence[Laid]) -> list[Mark]:
    """The arrows from the foot of each column to the head of the next."""
    marks: list[Mark] = []
    left, top = MARGIN, MARGIN + HEADER
    for one, after in pairwise(flow):
        x, foot, edge = left + one.middle, top + one.height, left + one.width + BETWEEN / 2
        left += one.width + BETWEEN
        to = left + after.middle
        bends = ((x, foot), (x, foot + 12), (edge, foot + 12), (edge, top - 14), (to, top - 14), (to, top))
        marks.append(Line(bends, arrow=True))
    return marks


def _idle(summary: Summary, found: Anatomy) -> list[str]:
    """What has parameters and is not drawn, because a forward pass does not run it."""
    names = dict.fromkeys(name.partition(".")[0] for name in summary.cost.unused)
    drawn = {one.arms[1].name for one in found.parts if isinstance(one, Fork) and isinstance(one.arms[1], Op)}
    return [f"{name} does not run in a forward pass" for name in names if name not in drawn]


def _input(shape: tuple[int, int, int]) -> Laid:
    words = f"image {by(shape)}"
    wide = width_of(words, NORMAL) + 24
    marks: list[Mark] = [Box(0, 0, wide, 26, "dashed", 13), Words(wide / 2, 17, words, NORMAL, anchor="middle")]
    return Laid(wide, 26, wide / 2, marks)


def _columns(pieces: Sequence[Laid]) -> list[Laid]:
    """Cut into columns that are about equally tall, so that all are about half as wide again as tall."""
    widest = max(piece.width for piece in pieces)
    best: list[list[Laid]] = [list(pieces)]
    before = float("inf")
    for count in range(1, 9):
        cut = _cut(pieces, count)
        if _tallest(cut) > 0.92 * before:  # a column more would not make the picture lower
            break
        before = _tallest(cut)
        wide = sum(max(p.width for p in column) + BETWEEN for column in cut)
        tall = max(sum(p.height + GAP for p in column) for column in cut)
        best = cut
        if tall < 620 or wide > 1.35 * tall or wide + widest > 2600:
            break
    return [column(some) for some in best]


def _cut(pieces: Sequence[Laid], count: int) -> list[list[Laid]]:
    """At most `count` columns, the tallest as low as can be."""
    heights = [piece.height + GAP for piece in pieces]
    # (pieces, columns) -> the tallest column, and where the last one begins
    best: dict[tuple[int, int], tuple[float, int]] = {(0, 0): (0.0, 0)}
    for end in range(1, len(pieces) + 1):
        for columns in range(1, min(count, end) + 1):
            options = [
                (max(best[begin, columns - 1][0], sum(heights[begin:end])), begin)
                for begin in range(columns - 1, end)
                if (begin, columns - 1) in best
            ]
            best[end, columns] = min(options, key=lambda option: (option[0], -option[1]))
    cut: list[list[Laid]] = []
    end = len(pieces)
    for columns in range(min(count, len(pieces)), 0, -1):
        begin = best[end, columns][1]
        cut.insert(0, list(pieces[begin:end]))
        end = begin
    return cut


def _tallest(columns: Sequence[Sequence[Laid]]) -> float:
    return max(sum(piece.height + GAP for piece in column) for column in columns)


def _stack(pieces: Sequence[Laid]) -> Laid:
    """One below the other, with nothing between them."""
    marks: list[Mark] = []
    y = 0.0
    for piece in pieces:
        marks += moved(piece.marks, 0, y)
        y += piece.height + 2 * GAP
    return Laid(max(piece.width for piece in pieces), y - 2 * GAP, pieces[0].middle, marks)
