"""One unit of the first convolution, down to its sum: the pixels it reads, the kernel, the products."""

import shlex

import numpy as np

from striate.data.wording import plural
from striate.look.labels import PLAIN
from striate.look.markup import Markup, raw, tag
from striate.look.report import pictures
from striate.look.report.looked import Looked, Refused, Subject
from striate.look.report.parts import absent, figure, section
from striate.look.units.text import number, places
from striate.look.units.unit import Unit
from striate.math.arrays import Array

MOST = 4  # channels drawn
WRITTEN = 5  # cells a side, up to which each has its number
LOW, ZERO, HIGH = (33, 102, 172), (247, 247, 245), (178, 24, 43)
Rgb = tuple[int, int, int]


def one_unit(looked: Looked, subject: Subject) -> Markup:
    """The most active unit of the first convolution."""
    found, title = looked.unit, "One unit, down to its sum"
    if isinstance(found, Refused):
        return section(title, absent(found, "A single unit"))
    maps, rows, columns = found.shape if len(found.shape) == 3 else (found.shape[0], 1, 1)
    terms = len(found.terms.x)
    return section(
        title,
        tag("p", f"All of this is sums. The first convolution, {found.layer}, makes {plural(maps, 'map')} of "
            f"{rows} × {columns} units. The most active of them all stands in map {found.at[0]}"
            f"{f', row {found.at[1]}, column {found.at[2]}' if len(found.at) == 3 else ''}. It multiplies the "
            f"{plural(terms, 'value')} it reads with the {plural(terms, 'weight')} of its kernel, and adds up."),
        tag("div", _reads(looked, found), _cells(found, looked.seen.shape[2]), _sum(found), class_="unit"),
        tag("p", "Every unit of every layer can be taken apart like this: ",
            tag("code", command(looked, subject, found)), class_="notes"),
    )  # fmt: skip


def command(looked: Looked, subject: Subject, found: Unit) -> str:
    """What to type to see it with all its terms, and the way back."""
    at = places(found.at)
    if subject.words is None:
        return f'unit(module, x, "{found.layer}", ({at}))'
    return f"striate look unit {subject.words} {shlex.quote(looked.name)} --layer {found.layer} --at {at}"


def _reads(looked: Looked, found: Unit) -> Markup | None:
    """The image with the pixels that the unit sees, and these enlarged."""
    box, (height, width) = found.box, looked.seen.shape[:2]
    if box is None:
        return None
    h, w = box.size
    around = 0.035 * max(height, width)  # a window of 3 pixels is too small to be found
    frame = pictures.box(box.left - around, box.top - around, w + 2 * around, h + 2 * around, "frame")
    image = pictures.picture(looked.seen, f"Where unit {places(found.at)} of {found.layer} looks")
    rows, columns = np.arange(box.top, box.bottom + 1), np.arange(box.left, box.right + 1)
    inside = looked.seen[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    beyond = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))
    said = f"rows {box.top} to {box.bottom}, columns {box.left} to {box.right}"
    padding = "; what lies beyond the image is padding" if beyond.any() else ""
    return tag(
        "div",
        figure(pictures.marked(image, (height, width), frame), "Where it looks:", f"{said}{padding}."),
        figure(pictures.picture(inside, f"The {h} × {w} pixels that the unit reads"), f"Its {h} × {w} pixels,",
               "enlarged."),
        class_="reads",
    )  # fmt: skip


def _cells(found: Unit, colours: int) -> Markup | None:
    """Patch times kernel is products, a row a channel."""
    if found.patch is None or found.terms.w is None:
        return None
    c, u, v = found.patch
    some = _largest(found.terms.values.reshape(found.patch))
    grids = [part.reshape(found.patch)[some] for part in (found.terms.x, found.terms.w, found.terms.values)]
    titles = ("patch x", "kernel w", "products w·x")
    side = 36.0 if max(u, v) <= 3 else 27.0 if max(u, v) <= WRITTEN else max(8.0, 100.0 / max(u, v))
    left, top, gap, between = 46.0, 24.0, 12.0, 34.0
    wide, tall = v * side, u * side
    names = ("red", "green", "blue") if colours == 3 == c else tuple(f"in {i}" for i in some)
    marks: list[Markup] = []
    for k, (grid, title) in enumerate(zip(grids, titles, strict=True)):
        x = left + k * (wide + between)
        marks.append(tag("text", title, x=x, y=13.0, class_="title"))
        for row, one in enumerate(grid):
            y = top + row * (tall + gap)
            marks.append(_grid(one, x, y, side, float(np.abs(grid).max())))
            if k:
                sign = "×" if k == 1 else "="
                middle = x - between / 2
                marks.append(tag("text", sign, x=middle, y=y + tall / 2 + 5, text_anchor="middle", class_="sign"))
    for row, name in enumerate(names):
        marks.append(tag("text", name, x=left - 8, y=top + row * (tall + gap) + tall / 2 + 4, text_anchor="end"))
    width, height = left + 3 * wide + 2 * between + 2, top + len(some) * (tall + gap)
    less = "" if len(some) == c else f" {len(some)} of {c} channels are drawn, those that add most."
    drawn = tag(
        "svg", *marks, viewBox=f"0 0 {width:g} {height:g}", role="img", class_="cells",
        aria_label=f"The patch, the kernel and their products, {c} channels of {u} by {v}",
    )  # fmt: skip
    lightest = "Red is positive, blue negative, the strongest colour the largest value of its column."
    return figure(drawn, "Patch times kernel.", f"{lightest}{less}", class_="wide")


def _largest(values: Array) -> list[int]:
    """The channels (C, U, V) whose products are largest, in reading order."""
    order = np.argsort(-np.abs(values).sum(axis=(1, 2)), kind="stable")[:MOST]
    return sorted(int(i) for i in order)


def _grid(values: Array, x: float, y: float, side: float, most: float) -> Markup:
    marks = []
    written = max(values.shape) <= WRITTEN
    for (row, column), value in np.ndenumerate(values):
        share = float(value) / most if most else 0.0
        left, top = x + column * side, y + row * side
        marks.append(
            tag("rect", x=left, y=top, width=side - 1, height=side - 1, fill=_colour(share), rx=2.0 if written else 0.0)
        )
        if written:
            ground = "on" if abs(share) > 0.55 else "in"
            kind = ground if side > 30 else f"{ground} fine"
            middle = (left + (side - 1) / 2, top + side / 2 + 3.4)
            marks.append(tag("text", _short(float(value)), x=middle[0], y=middle[1], text_anchor="middle", class_=kind))
    return raw(*marks)


def _colour(share: float) -> str:
    """From -1 to 1."""
    end: Rgb = HIGH if share > 0 else LOW
    mixed = [round(a + (b - a) * min(1.0, abs(share))) for a, b in zip(ZERO, end, strict=True)]
    return f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def _short(value: float) -> str:
    words = f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return words.replace("-", "−") if float(words) else "0"


def _sum(found: Unit) -> Markup:
    """From the products to the unit, and what the next steps make of it."""
    terms = found.terms
    rows: list[tuple[str, str, str | None]] = []
    if terms.total is not None:
        rows.append((f"sum of {len(terms.x)} products", number(terms.total), None))
    if terms.bias is not None:
        rows.append(("+ bias", number(terms.bias), None))
    rows += [(f"{what}", number(value), None) for what, value in terms.lines]
    rows.append(("= the unit, by hand", number(terms.result), "result"))
    rows.append(("torch has computed", number(found.torch), "soft"))
    rows += [(f"then {PLAIN.get(one.kind, one.kind)}", number(one.result), None) for one in found.then]
    return figure(
        tag("table", tag("tbody", *(_row(*row) for row in rows))),
        "The sum.",
        _back(found),
        class_="sum",
    )


def _row(what: str, value: str, kind: str | None) -> Markup:
    return tag("tr", tag("th", what, scope="row"), tag("td", value.replace("-", "−"), class_="n"), class_=kind)


def _back(found: Unit) -> str:
    slope = number(found.g).replace("-", "−")
    if found.g == 0:
        return f"A little more of it would not change {found.toward}: some step behind it is flat there, its slope 0."
    return f"One more of it would change {found.toward} by {slope}, as long as the slope holds."
