"""One unit as a table for the terminal, and as JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.look.units.unit import Unit
from striate.math.arrays import Array, Whole


def text(one: Unit, most: int | None = 12) -> str:
    """The largest `most` terms (None: all), how many more there are and what they add, the sum, and the way back."""
    return "\n".join([*_head(one), "", *_forward(one, most), "", *_back(one, most)])


def to_json(one: Unit) -> dict[str, Any]:
    """Numbers and places of everything; every term, in reading order."""
    found = one.terms
    return {
        "model": one.model, "layer": one.layer, "kind": one.kind, "at": list(one.at), "shape": list(one.shape),
        "formula": found.formula, "inputs": list(one.sources),
        "receptive_field": None if one.box is None else
            {"top": one.box.top, "left": one.box.left, "bottom": one.box.bottom, "right": one.box.right},
        "image": list(one.image), "patch": None if one.patch is None else list(one.patch),
        "terms": [_term(one, t) for t in range(len(found.x))],
        "sum": found.total, "bias": found.bias,
        "steps": [{"what": what, "value": value} for what, value in found.lines],
        "result": found.result, "torch": one.torch, "difference": one.difference, "winner": found.winner,
        "coupling": list(found.coupling),
        "then": [{"layer": t.layer, "kind": t.kind, "formula": t.formula, "result": t.result, "torch": t.torch}
                 for t in one.then],
        "back": {
            "of": one.toward, "gradient": one.g, "by_hand": one.g_by_hand,
            "from": [{"layer": t.layer, "kind": t.kind, "at": list(t.at), "gradient": t.g, "slope": t.slope,
                      "told": t.told} for t in one.told],
            "parameters": {f"{one.layer}.{name}": one.g * slope for name, slope in found.parameter_slopes.items()},
        },
    }  # fmt: skip


def _term(one: Unit, t: int) -> dict[str, Any]:
    found = one.terms
    made: dict[str, Any] = {
        "input": one.sources[0 if found.source is None else int(found.source[t])],
        "at": found.at[t].tolist(), "inside": found.inside is None or bool(found.inside[t]),
        "x": float(found.x[t]), "value": float(found.values[t]), "slope": float(found.slopes[t]),
        "to_input": float(one.g * found.slopes[t]),
    }  # fmt: skip
    if found.w is not None:
        made["w"] = float(found.w[t])
    if found.weight_at is not None:
        made["weight_at"] = found.weight_at[t].tolist()
    if found.weight_slopes is not None:
        made["to_weight"] = float(one.g * found.weight_slopes[t])
    return made


def _head(one: Unit) -> list[str]:
    lines = [
        f"{one.layer}, {one.kind}: unit {places(one.at)} of {'×'.join(map(str, one.shape))}       {one.terms.formula}"
    ]
    if one.box is None:
        lines.append("Which pixels it sees can't be followed.")
    else:
        (h, w), box = one.box.size, one.box
        outside = box.top < 0 or box.left < 0 or box.bottom >= one.image[0] or box.right >= one.image[1]
        lines.append(
            f"It sees {h}×{w} pixels of the image: rows {box.top} to {box.bottom}, columns {box.left} to {box.right}"
            + (f" (the image has {one.image[0]}×{one.image[1]}; what is beyond is padding)." if outside else ".")
        )
    return lines


def _forward(one: Unit, most: int | None) -> list[str]:
    found = one.terms
    count = len(found.x)
    order = largest(found.values, most)
    if found.winner is not None and found.winner not in order:
        order = np.sort(np.append(order[:-1], found.winner))
    several = len(set(one.sources)) > 1
    head = ["of" if several else "", f"{one.sources[0]} at" if not several and one.sources else "at", "x"]
    head += ["w" if found.w is not None else "", found.word if found.word != "x" else ""]
    rows = [head]
    for t in order.tolist():
        outside = found.inside is not None and not found.inside[t]
        source = one.sources[0 if found.source is None else int(found.source[t])]
        rows.append([
            source if several else "",
            "padding" if outside else places(found.at[t].tolist()),
            number(found.x[t]),
            "" if found.w is None else number(found.w[t]),
            number(found.values[t]) if found.word != "x" else "",
            "<- the largest" if t == found.winner else "",
        ])  # fmt: skip
    lines = _table(rows)
    if count > len(order):
        rest = np.delete(found.values, order)
        said = f"and {count - len(order):,} more"
        lines.append(
            f"  {said}, which add up to {number(rest.sum())}" if found.winner is None else f"  {said}, none larger"
        )
    steps: list[tuple[str, float]] = []
    if found.total is not None and count > 1:
        steps.append((f"sum of {count:,} terms", found.total))
    if found.bias is not None and found.word == "w·x":
        steps.append(("+ bias b", found.bias))
    steps += [*found.lines, ("= y, by hand", found.result), ("torch has computed", one.torch)]
    wide = max(len(what) for what, _ in steps)
    lines += ["", *(f"  {what:<{wide}}  {number(value):>12}" for what, value in steps)]
    lines[-1] += f"    difference {one.difference:.1e}"
    if found.coupling:
        c = np.array(found.coupling)
        lines.append(
            f"  capsules that it listens to most: {', '.join(f'{i} (c = {c[i]:.4f})' for i in np.argsort(-c)[:5])}"
        )
    lines += [
        f"  then {t.layer}, {t.kind}: {t.formula} = {number(t.result)} (torch {number(t.torch)})" for t in one.then
    ]
    return lines


def _back(one: Unit, most: int | None) -> list[str]:
    found = one.terms
    lines = [f"Back from L, {one.toward}:  dL/dy = {number(one.g)}"]
    if one.told:
        shown = one.told if most is None else one.told[:most]
        rows = [["from", "at", "dL/dr", "dr/dy", "product"]]
        rows += [[t.layer, places(t.at), number(t.g), number(t.slope), number(t.told)] for t in shown]
        lines += _table(rows)
        if len(one.told) > len(shown):
            rest = sum(t.told for t in one.told[len(shown) :])
            lines.append(f"  and {len(one.told) - len(shown):,} more, which add up to {number(rest)}")
        lines.append(f"  sum of {len(one.told):,}: {number(one.g_by_hand)}; autograd has {number(one.g)}")
    elif one.g:
        lines.append("  Nothing reads the unit but L itself.")
    else:
        lines.append("  Nothing that L depends on reads the unit, or all that does is flat there.")
    parameters = {f"{one.layer}.{name}": slope for name, slope in found.parameter_slopes.items()}
    if found.weight_slopes is not None and found.weight_at is not None:
        order = largest(found.weight_slopes, most)
        rows = [["what it adds to", "dL/dy", "dy/dw", "product"]]
        for t in order.tolist():
            slope, name = (
                float(found.weight_slopes[t]),
                f"{one.layer}.{found.weight}[{places(found.weight_at[t].tolist())}]",
            )
            rows.append([name, number(one.g), number(slope), number(one.g * slope)])
        rows += [[name, number(one.g), number(slope), number(one.g * slope)] for name, slope in parameters.items()]
        lines += ["", *_table(rows)]
        if len(found.x) > len(order):
            lines.append(f"  and {len(found.x) - len(order):,} more weights")
    elif parameters:
        rows = [["what it adds to", "dL/dy", "dy/dw", "product"]]
        rows += [[name, number(one.g), number(slope), number(one.g * slope)] for name, slope in parameters.items()]
        lines += ["", *_table(rows)]
    return lines


def largest(values: Array, most: int | None) -> Whole:
    """Which values are the largest in size, in reading order; all, if none is left out."""
    if most is None or len(values) <= most:
        return np.arange(len(values))
    return np.sort(np.argsort(-np.abs(values), kind="stable")[:most])


def number(value: float) -> str:
    """Four digits that count.

    >>> number(0.0), number(-0.123456), number(1234.5), number(1.5e-9)
    ('0', '-0.1235', '1234', '1.5e-09')
    """
    return f"{value + 0.0:.4g}"  # no minus before a zero


def places(at: Sequence[int]) -> str:
    return ",".join(map(str, at))


def _table(rows: list[list[str]]) -> list[str]:
    """Columns: words to the left, numbers to the right; empty columns are left out."""
    deep = max(map(len, rows))
    columns = [[row[c] if c < len(row) else "" for row in rows] for c in range(deep)]
    lines = ["" for _ in rows]
    for column in columns:
        if any(column):
            wide = max(map(len, column))
            words = not _is_number(column[-1])
            lines = [f"{line}  {cell:<{wide}}" if words else f"{line}  {cell:>{wide}}"
                     for line, cell in zip(lines, column, strict=True)]  # fmt: skip
    return [line.rstrip() for line in lines]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
