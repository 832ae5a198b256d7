"""Cells whose boxes read any earlier ones, laid out on levels with curves between them."""

from dataclasses import replace

from striate.look.diagrams.laid import APART, PLUS, Laid, join, moved, op_box
from striate.look.diagrams.parts import Fork, Op, Web
from striate.look.draw import Curve, Mark


def web(part: Web) -> Laid:
    """Boxes on levels: each below all that it reads, in the order that crosses the fewest lines."""
    boxes: dict[str, Laid] = {name: op_box(Op(name, "dashed")) for name in part.inputs}
    reads: dict[str, tuple[str, ...]] = dict.fromkeys(part.inputs, ())
    level = dict.fromkeys(part.inputs, 0)
    for name, op, sources in part.steps:
        boxes[name] = _sign(op) if op.what in {"+", "concat"} else op_box(op)
        reads[name] = sources
        level[name] = 1 + max(level[source] for source in sources)
    readers = {name: [other for other in reads if name in reads[other]] for name in boxes}
    for name in reversed(list(boxes)):  # as low as its readers let it: the sums then stand in one row
        if reads[name] and readers[name]:
            level[name] = min(level[other] for other in readers[name]) - 1
    rows = [[name for name in boxes if level[name] == i] for i in range(max(level.values()) + 1)]
    place = _places(rows, boxes, reads, readers)
    least = min(place[n] - boxes[n].width / 2 for n in boxes)
    place = {n: x - least for n, x in place.items()}
    wide = max(place[n] + boxes[n].width / 2 for n in boxes)
    top: dict[str, float] = {}
    y = 0.0
    for row in rows:
        tall = max(boxes[n].height for n in row)
        top |= {n: y + (tall - boxes[n].height) / 2 for n in row}
        y += tall + 34
    lines: list[Mark] = []
    extra = 0.0
    for name, sources in reads.items():
        for source in sources:
            far = level[name] - level[source] > 1 and len(rows[level[source] + 1 : level[name]]) > 0
            start, end = (place[source], top[source] + boxes[source].height), (place[name], top[name])
            if far and abs(start[0] - end[0]) < 40 and len(rows[level[name] - 1]) == 1:
                bow = max(boxes[n].width for row in rows for n in row) / 2 + 26
                extra = max(extra, bow)
                path = ((start[0] + boxes[source].width / 2, start[1] - 10), (end[0] + bow * 1.15, start[1] + 10),
                        (end[0] + bow * 1.15, end[1] - 10), (end[0] + boxes[name].width / 2, end[1] + 10))  # fmt: skip
                lines.append(Curve(path, "skip", arrow=True))
            else:
                half = (end[1] - start[1]) / 2
                bent = (start, (start[0], start[1] + half), (end[0], end[1] - half), end)
                lines.append(Curve(bent, "flow", arrow=True, width=1.1))
    marks = [mark for name, box in boxes.items() for mark in moved(box.marks, place[name] - box.width / 2, top[name])]
    final = rows[-1][0]
    return Laid(wide + extra * 0.5, y - 34, place[final], [*lines, *marks])


def _places(
    rows: list[list[str]], boxes: dict[str, Laid], reads: dict[str, tuple[str, ...]], readers: dict[str, list[str]]
) -> dict[str, float]:
    """The middle of each box: those of the widest level in the declared order, others near what they are tied to."""
    place: dict[str, float] = {}
    widths = [sum(boxes[name].width + APART for name in row) for row in rows]
    widest = widths.index(max(widths))
    x = 0.0
    for name in rows[widest]:
        place[name] = x + boxes[name].width / 2
        x += boxes[name].width + APART
    below, above = list(range(widest + 1, len(rows))), list(range(widest - 1, -1, -1))
    for i in below + above:
        tied = {n: [place[m] for m in (reads[n] if i > widest else readers[n]) if m in place] for n in rows[i]}
        wish = {n: sum(ties) / len(ties) if ties else x / 2 for n, ties in tied.items()}
        right, order = float("-inf"), sorted(rows[i], key=lambda n: wish[n])
        for n in order:
            place[n] = max(right + boxes[n].width / 2, wish[n])
            right = place[n] + boxes[n].width / 2 + APART
        drift = sum(place[n] - wish[n] for n in order) / len(order)
        for n in order:
            place[n] -= drift
    return place


def _sign(op: Op) -> Laid:
    fork = Fork((), op.what, shape=op.shape)
    if op.what == "+":
        marks, tall = join(fork, PLUS, 0)
        return Laid(2 * PLUS, tall, PLUS, marks)
    marks, tall = join(replace(fork, shape=None), 27, 0)
    return Laid(54, tall, 27, marks)
