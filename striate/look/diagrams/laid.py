"""Where the boxes of a drawing stand: each part is laid out by itself, with the value coming in above and out below."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from striate.look.costs.quantities import brief
from striate.look.diagrams.parts import Fork, Op, shape_text
from striate.look.draw import Box, Circle, Curve, Line, Mark, Words, width_of

GAP = 18.0  # between boxes, upwards
APART = 16.0  # between arms, sideways
PAD = 12.0  # inside a frame
SMALL, NORMAL = 9.5, 12.0  # letters
PLUS = 9.0  # radius of a join


@dataclass
class Laid:
    """A part with its place: marks relative to its upper left corner; the value enters and leaves at x = `middle`."""

    width: float
    height: float
    middle: float
    marks: list[Mark] = field(default_factory=list)
    opens: bool = True  # begins with a box or frame, to which an arrow can point


def column(pieces: Sequence[Laid]) -> Laid:
    """One below the other, with arrows between them."""
    left = max(piece.middle for piece in pieces)
    right = max(piece.width - piece.middle for piece in pieces)
    marks: list[Mark] = []
    y = 0.0
    for i, piece in enumerate(pieces):
        if i:
            marks.append(Line(((left, y - GAP), (left, y)), arrow=piece.opens))
        marks += moved(piece.marks, left - piece.middle, y)
        y += piece.height + GAP
    return Laid(left + right, y - GAP, left, marks, pieces[0].opens)


def op_box(op: Op) -> Laid:
    """A box: what it does, what follows, what comes out and how many parameters it has."""
    then = " · ".join(op.then)
    parameters = brief(op.parameters) if op.parameters else ""
    last = " · ".join(one for one in (shape_text(op.shape), parameters) if one)
    lines = [(op.what, NORMAL, "ink", True)]
    lines += [(then, SMALL, "ink", False)] if then else []
    lines += [(last, SMALL, "soft", False)] if last else []
    wide = max(96.0, *(width_of(words, size, bold) + 20 for words, size, _, bold in lines))
    tall = 13.0 + sum(size + 4.5 for _, size, _, _ in lines)
    kind = op.kind
    marks: list[Mark] = [Box(0, 0, wide, tall, kind, tip=op.name)]
    if 1 < op.groups <= 64 and kind == "conv":
        shown = min(op.groups, 8)
        marks += [
            Line(((wide * i / shown, tall - 4), (wide * i / shown, tall)), "flow", width=1) for i in range(1, shown)
        ]
        marks += [Line(((wide * i / shown, 0), (wide * i / shown, 4)), "flow", width=1) for i in range(1, shown)]
    y = 6.0
    for words, size, ink, bold in lines:
        y += size + 1.5
        marks.append(Words(wide / 2, y, words, size, ink, "middle", bold))
        y += 3.0
    return Laid(wide, tall, wide / 2, marks)


def join(fork: Fork, x: float, y: float) -> tuple[list[Mark], float]:
    """The sign where arms meet, with the activation behind it."""
    then = " · ".join(fork.then)
    if fork.join == "concat":
        words = "concat" + (f" · {then}" if then else "")
        wide = max(54.0, width_of(words, SMALL) + 16)
        marks: list[Mark] = [Box(x - wide / 2, y, wide, 18, "join", 9)]
        marks.append(Words(x, y + 12.5, words, SMALL, anchor="middle"))
        if fork.shape and fork.side:  # the shortcut comes in from the right
            marks.append(Words(x - wide / 2 - 5, y + 12.5, shape_text(fork.shape), SMALL, "soft", "end"))
        elif fork.shape:
            marks.append(Words(x + wide / 2 + 5, y + 12.5, shape_text(fork.shape), SMALL, "soft"))
        return marks, 18.0
    marks = [Circle(x, y + PLUS, PLUS, "join"), Words(x, y + PLUS + 4.6, fork.join, 13, anchor="middle")]
    if then:
        marks.append(Words(x - PLUS - 5, y + PLUS + 3.5, then, SMALL, "soft", "end"))
    return marks, 2 * PLUS


def moved(marks: Sequence[Mark], dx: float, dy: float) -> list[Mark]:
    found: list[Mark] = []
    for mark in marks:
        match mark:
            case Line():
                found.append(replace(mark, points=tuple((x + dx, y + dy) for x, y in mark.points)))
            case Curve():
                a, b, c, d = ((x + dx, y + dy) for x, y in mark.points)
                found.append(replace(mark, points=(a, b, c, d)))
            case _:
                found.append(replace(mark, x=mark.x + dx, y=mark.y + dy))
    return found
