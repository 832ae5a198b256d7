"""The lines of a layer table: one a layer, or one a block, and blocks that repeat folded into one line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.look.costs.passed import Passed
from striate.look.costs.quantities import by, columns, folded, scaled, sides, size
from striate.look.labels import label
from striate.models.cost import Cost, Row

LONG = 140  # lines from which on a table is folded block by block unless every layer is asked for
TITLES = {
    "name": "layer", "kind": "kind", "output": "output", "parameters": "parameters", "macs": "MACs",
    "bytes": "memory", "kept": "kept", "field": "field",
}  # fmt: skip
ALIGN = {name: "<" if name in {"name", "kind", "output"} else ">" for name in TITLES}


@dataclass(frozen=True)
class Line:
    """A layer, a block of layers, or blocks that are like the one before them."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    bytes: int  # of the values that it makes
    kept: int  # bytes that it adds to what waits for the backward pass
    field: tuple[tuple[int, int], tuple[int, int]] | None  # size; step, (0, 0) where all positions are merged
    layers: int = 1  # rows of the cost that it stands for
    likeness: bool = False  # stands for blocks that are like the one before


@dataclass
class _Node:
    name: str
    rows: list[Row] = field(default_factory=list)
    children: dict[str, "_Node"] = field(default_factory=dict)


def lines(cost: Cost, passed: Passed, *, depth: int | None = None, every: bool = False) -> list[Line]:
    """The table's lines, which add up to the totals of the network.

    `depth` cuts names after so many steps: what is below becomes one line. Unless `every` layer is wanted, blocks that
    repeat are one line, and where that leaves more than 140 lines, blocks are folded until it does not.
    """
    root = _tree(cost.rows)
    if every:
        return _emit(root, cost, passed, depth, repeats=False)
    if depth is not None:
        return _emit(root, cost, passed, depth, repeats=True)
    deepest = max((row.name.count(".") + 1 for row in cost.rows), default=1)
    found = _emit(root, cost, passed, None, repeats=True)
    for steps in range(deepest - 1, 0, -1):
        if len(found) <= LONG:
            break
        found = _emit(root, cost, passed, steps, repeats=True)
    return found


def text(found: Sequence[Line], width: int) -> list[str]:
    """A table of at most `width` columns: exact counts where they fit, else short ones or fewer columns."""
    longest = max((len(line.name) for line in found), default=5)
    table: list[str] = []
    for left_out, short in (
        ((), ""), ((), "macs"), ((), "macs parameters"),
        (("kept",), "macs parameters"), (("kept", "field"), "macs parameters"),
        (("kept", "field", "bytes"), "macs parameters"), (("kept", "field", "bytes", "kind"), "macs parameters"),
    ):  # fmt: skip
        names = [name for name in TITLES if name not in left_out]
        rows = [[TITLES[name] for name in names], *([_cell(line, name, short) for name in names] for line in found)]
        others = sum(max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[1:])
        room = max(width - others, 0)
        rows = [[folded(row[0], room), *row[1:]] for row in rows]
        table = columns(rows, "".join(ALIGN[name] for name in names))
        if room >= min(longest, 20):
            break
    return table


def _tree(rows: Iterable[Row]) -> _Node:
    root = _Node("")
    for row in rows:
        node = root
        for step in row.name.split(".") if row.name else []:
            child = f"{node.name}.{step}" if node.name else step
            node = node.children.setdefault(step, _Node(child))
        node.rows.append(row)
    return root


def _emit(node: _Node, cost: Cost, passed: Passed, depth: int | None, repeats: bool) -> list[Line]:
    steps = node.name.count(".") + 1 if node.name else 0
    if depth is not None and steps >= depth and node.children:
        return [_block(node, cost, passed)]
    found: list[Line] = []
    blocks = [(child, _emit(child, cost, passed, depth, repeats)) for child in node.children.values()]
    i = 0
    while i < len(blocks):
        child, own = blocks[i]
        found += own
        i += 1
        if not repeats or (len(own) < 2 and (len(own) == 0 or own[0].layers < 2)):
            continue
        alike, first = i, _signature((child, own))
        while alike < len(blocks) and _signature(blocks[alike]) == first:
            alike += 1
        if sum(len(part) for _, part in blocks[i:alike]) > 1:
            found.append(_repeated([part for _, part in blocks[i:alike]], child, blocks[alike - 1][0], blocks[i][0]))
            i = alike
    return found + [_line(row, cost, passed) for row in node.rows]


def _line(row: Row, cost: Cost, passed: Passed) -> Line:
    kind = label(cost.skeleton.get_submodule(row.name)) if row.name else row.kind
    seen = (row.field.size, row.field.jump) if row.field else None
    return Line(
        row.name or "(the model)", kind, row.output, row.trainable + row.frozen, row.macs, row.bytes,
        passed.kept.get(row.name, 0), seen,
    )  # fmt: skip


def _block(node: _Node, cost: Cost, passed: Passed) -> Line:
    """A line for all that is in a block; its field is the largest in it: what sums and concatenations see."""
    inside = _emit(node, cost, passed, None, repeats=False)
    fields = [line.field for line in inside]
    known = [one for one in fields if one is not None]
    merged = [one for one in known if one[1] == (0, 0)]
    widest = max(merged or known, key=lambda one: (one[0], one[1])) if known and len(known) == len(fields) else None
    return Line(
        node.name,
        f"{len(inside)} layers" if len(inside) > 1 else inside[0].kind,
        passed.shapes.get(node.name, inside[-1].output),
        *_sums(inside),
        widest,
        len(inside),
    )


def _repeated(parts: list[list[Line]], first: _Node, last: _Node, second: _Node) -> Line:
    inside = [line for part in parts for line in part]
    name = second.name if second is last else f"{second.name} … {last.name.rpartition('.')[2]}"
    times = "" if second is last else f"{len(parts)}× "
    like = f"{times}like {first.name.rpartition('.')[2]}"
    layers = sum(line.layers for line in inside)
    return Line(name, like, inside[-1].output, *_sums(inside), inside[-1].field, layers, likeness=True)


def _sums(inside: list[Line]) -> tuple[int, int, int, int]:
    """Parameters, MACs, bytes, kept."""
    return (
        sum(line.parameters for line in inside),
        sum(line.macs for line in inside),
        sum(line.bytes for line in inside),
        sum(line.kept for line in inside),
    )


def _signature(block: tuple[_Node, list[Line]]) -> list[tuple[Any, ...]]:
    """What is alike in blocks that are: all but where they stand, and what they see of the image."""
    node, inside = block
    return [
        (line.name.removeprefix(node.name), line.kind, line.output, line.parameters, line.macs, line.bytes, line.kept,
         line.layers, line.likeness)
        for line in inside
    ]  # fmt: skip


def _cell(line: Line, name: str, short: str) -> str:
    value = getattr(line, name)
    match name:
        case "name" | "kind":
            return str(value)
        case "output":
            return by(value)
        case "bytes" | "kept":
            return size(value) if value else ""
        case "field":
            return field_text(value)
    if not value:
        return ""
    return scaled(value).strip() if name in short else f"{value:,}"


def field_text(seen: tuple[tuple[int, int], tuple[int, int]] | None) -> str:
    """A receptive field: 11/4 is a window of 11×11 pixels, the next one 4 pixels on; 11 alone: positions are merged.

    >>> field_text(((11, 11), (4, 4))), field_text(((32, 32), (0, 0))), field_text(None)
    ('11/4', '32', '?')
    """
    if seen is None:
        return "?"
    window, step = seen
    return sides(window) + ("" if step == (0, 0) else f"/{sides(step)}")
