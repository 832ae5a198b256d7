"""The pictures of the page of results: SVG in words and numbers, light and dark, the same bytes for the same data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Literal

from striate.look.markup import Child, Markup, raw, tag
from striate.reproduce.result import Outcome, Result

Scale = Callable[[float], float]  # from data to picture

WIDTH, HEIGHT = 720.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 190.0, 16.0, 46.0
COLOURS = ("#2f74d0", "#d9730d", "#159a6c", "#c2489a", "#8a6fd1", "#b08900", "#c8403a", "#3a9fb5", "#7a7f87")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.axis{fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.bar{stroke-width:3}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#9aa4af}.grid{stroke:#3a424c}}"
)


@dataclass(frozen=True)
class Line:
    """A curve: x and y of its points, and the lowest and highest y of its runs where there are several."""

    name: str
    colour: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()


def error_curves(result: Result, images: Literal["train", "test"]) -> Markup | None:
    """Error, per cent on a logarithmic axis, over epochs: the mean of the seeds, and their range as a band."""
    least = 100 / result.images / 2  # half an image: no error has no logarithm
    pairs = zip(result.outcomes, _colours(result), strict=True)
    found = [_error_line(one, colour, least, f"{images}_accuracy") for one, colour in pairs]
    lines = [line for line in found if line is not None]
    if not lines:
        return None
    what = {"train": "training error", "test": "test error"}[images]
    return line_chart(lines, "epoch", f"{what}, %", f"{what.capitalize()} of {result.name} over epochs")


def gradient_curves(result: Result) -> Markup | None:
    """How large the gradient is at each convolution before the first step; the mean (geometric) of the seeds."""
    lines = []
    for one, colour in zip(result.outcomes, _colours(result), strict=True):
        found: list[Mapping[str, float]] = [run.details["gradients"] for run in one.runs if "gradients" in run.details]
        if not found:
            return None
        sizes = [[max(each[name], 1e-30) for each in found] for name in found[0]]
        points = [(float(i), 10 ** (sum(map(log10, row)) / len(row))) for i, row in enumerate(sizes, start=1)]
        lines.append(Line(one.name, colour, tuple(points)))
    said = f"Size of gradients over the convolutions of {result.name}"
    return line_chart(lines, "convolution, from the image on", "gradient before the first step", said)


def trade(result: Result, unit: str) -> Markup | None:
    """The metric over millions of multiply-adds, both where they are counted."""
    counted = [one for one in result.outcomes if "macs" in one.runs[0].details]
    if len(counted) < 2:
        return None
    points = sorted((one.runs[0].details["macs"] / 1e6, one.mean.mean, one.name) for one in counted)
    low, high = floor(min(v for _, v, _ in points) / 10) * 10, ceil(max(v for _, v, _ in points) / 10) * 10
    x_low, x_high = 10 ** floor(log10(points[0][0])), 10 ** ceil(log10(points[-1][0]))

    def x(value: float) -> float:
        return LEFT + (log10(value / x_low)) / log10(x_high / x_low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    marks = [*_level([(v, f"{v:g}") for v in range(int(low), int(high) + 1, 10)], y)]
    decades = [10.0**k for k in range(round(log10(x_low)), round(log10(x_high)) + 1)]
    marks += _upright([(v, _number(v)) for v in decades], x)
    marks.append(_path([(x(a), y(b)) for a, b, _ in points], COLOURS[0]))
    for a, b, name in points:
        marks.append(tag("circle", cx=x(a), cy=y(b), r=4.5, fill=COLOURS[0]))
        marks.append(_text(x(a) + 9, y(b) + 16, name))
    return _picture(raw(*marks, *_titles("millions of multiply-adds", unit)), f"{unit} over multiply-adds")


def line_chart(lines: Sequence[Line], x_title: str, y_title: str, said: str) -> Markup:
    """Lines over whole numbers, with a logarithmic y axis; each is named at its right end, none over another."""
    values = [v for line in lines for _, v in (*line.points, *line.band)] + [b for line in lines for b, _ in line.band]
    first = min(p[0] for line in lines for p in line.points)
    last = max(p[0] for line in lines for p in line.points)
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], min(values)), max(ticks[-1], max(values))

    def x(value: float) -> float:
        return LEFT + (value - first) / max(1.0, last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - log10(value / low) / log10(high / low) * (HEIGHT - TOP - BOTTOM)

    step = max(1, ceil((last - first) / 10))
    opacity = 0.15 if len(lines) <= 4 else 0.07  # many bands lie over each other
    marks = [*_level([(v, _number(v)) for v in ticks], y)]
    marks += _upright([(float(v), str(v)) for v in range(int(first), int(last) + 1, step)], x)
    for line in lines:
        if line.band:
            xs = [a for a, _ in line.points]
            edge = [(x(a), y(b)) for a, (b, _) in zip(xs, line.band, strict=True)]
            edge += [(x(a), y(t)) for a, (_, t) in reversed(list(zip(xs, line.band, strict=True)))]
            marks.append(tag("path", d=_d(edge) + "Z", fill=line.colour, fill_opacity=opacity))
        marks.append(_path([(x(a), y(b)) for a, b in line.points], line.colour))
    ends = _apart([y(line.points[-1][1]) for line in lines])
    for line, at in zip(lines, ends, strict=True):
        end_x, end_y = x(line.points[-1][0]), y(line.points[-1][1])
        marks.append(_path([(end_x + 3, end_y), (end_x + 16, at)], line.colour, 1.0))
        marks.append(_text(end_x + 20, at + 4, line.name))
    return _picture(raw(*marks, *_titles(x_title, y_title)), said)


def _error_line(one: Outcome, colour: str, least: float, column: str) -> Line | None:
    """Of the runs that came to their end; None where there is none."""
    whole = [run.curve for run in one.runs if run.curve and not run.diverged]
    if not whole:
        return None
    rows = list(zip(*whole, strict=True))
    errors = [[max(least, 100 * (1 - row[column])) for row in each] for each in rows]
    epochs = [each[0]["epoch"] for each in rows]
    band = tuple((min(e), max(e)) for e in errors) if len(whole) > 1 else ()
    lost = len(one.runs) - len(whole)
    name = f"{one.name} ({lost} diverged)" if lost else one.name
    return Line(name, colour, tuple((x, sum(e) / len(e)) for x, e in zip(epochs, errors, strict=True)), band)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... around the values; decades alone, and of many only some, where the range is wide."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    narrow = len(decades) < 5 and low >= 1e-3
    kept: list[float] = []
    for steps in ((1, 2, 5), range(1, 10)) if narrow else ((1,),):  # finer ones where two would be all
        found = [m * 10.0**k for k in decades for m in steps]
        below, above = [v for v in found if v <= low], [v for v in found if v >= high]
        kept = [v for v in found if (below or found)[-1 if below else 0] <= v <= (above or found)[0 if above else -1]]
        if len(kept) > 2:
            break
    if len(kept) < 2:  # all values are one and the same
        return [kept[0] / 2, kept[0], kept[0] * 2]
    return kept[:: ceil(len(kept) / 7)] if len(decades) >= 5 else kept


def _number(value: float) -> str:
    """A tick in few signs.

    >>> [_number(v) for v in (1e-12, 0.001, 0.5, 1000.0)]
    ['10⁻¹²', '0.001', '0.5', '1,000']
    """
    if value < 1e-3:
        return "10" + str(round(log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _apart(places: Sequence[float], gap: float = 16.0) -> list[float]:
    """Places moved as little as is needed to stand a gap apart, inside the picture.

    Those that come too near become one block, which stands where its members wished to be on average.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[int]] = []

    def start(block: list[int]) -> float:
        wished = sum(places[i] - k * gap for k, i in enumerate(block)) / len(block)
        return min(max(wished, TOP), HEIGHT - BOTTOM - (len(block) - 1) * gap)

    for i in order:
        block = [i]
        while blocks and start(blocks[-1]) + len(blocks[-1]) * gap > start(block):
            block = blocks.pop() + block
        blocks.append(block)
    found = {i: start(block) + k * gap for block in blocks for k, i in enumerate(block)}
    return [found[i] for i in range(len(places))]


def _colours(result: Result) -> list[str]:
    """The same for an arm in every picture of its recipe."""
    return [COLOURS[i % len(COLOURS)] for i in range(len(result.outcomes))]


def _level(ticks: Sequence[tuple[float, str]], y: Scale) -> list[Markup]:
    marks = []
    for value, words in ticks:
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="grid"))
        marks.append(_text(LEFT - 8, y(value) + 4, words, "end", "axis"))
    return marks


def _upright(ticks: Sequence[tuple[float, str]], x: Scale) -> list[Markup]:
    return [_text(x(value), HEIGHT - BOTTOM + 18, words, "middle", "axis") for value, words in ticks]


def _titles(x_title: str, y_title: str) -> list[Markup]:
    middle = (LEFT + WIDTH - RIGHT) / 2
    up = (TOP + HEIGHT - BOTTOM) / 2
    turned = tag("text", y_title, x=14.0, y=up, text_anchor="middle", class_="axis", transform=f"rotate(-90 14 {up:g})")
    return [_text(middle, HEIGHT - 8, x_title, "middle", "axis"), turned]


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> Markup:
    return tag("text", words, x=float(x), y=float(y), text_anchor=anchor, class_=kind or None)


def _path(points: Sequence[tuple[float, float]], colour: str, width: float = 2.0) -> Markup:
    return tag("path", d=_d(points), class_="line", stroke=colour, stroke_width=width if width != 2.0 else None)


def _d(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _picture(content: Child, said: str) -> Markup:
    style = tag("style", Markup(STYLE))
    return tag(
        "svg", style, content, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        width=WIDTH, height=HEIGHT, role="img", aria_label=said,
    )  # fmt: skip
