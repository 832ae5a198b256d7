"""Small curves in the colours of the page (report.css), so that they follow light and dark and print."""

from collections.abc import Sequence
from dataclasses import dataclass

from striate.look.markup import Markup, raw, tag

WIDTH, HEIGHT = 264.0, 168.0
LEFT, RIGHT, TOP, BOTTOM = 42.0, 8.0, 10.0, 36.0  # around the plot


@dataclass(frozen=True)
class Curve:
    """Points from left to right; `kind` names its colours: main, chance."""

    points: Sequence[tuple[float, float]]
    kind: str = "main"
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; `ticks` are drawn where they are; `percent` says how they are written."""

    words: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.5, 1.0)
    percent: bool = True
    names: tuple[str, ...] = ()  # of the ticks, in place of their numbers

    def written(self, tick: float) -> str:
        if self.names:
            return self.names[self.ticks.index(tick)]
        return f"{100 * tick:.0f} %" if self.percent else f"{tick:g}".replace("-", "−")

    def share(self, value: float) -> float:
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)


def chart(
    curves: Sequence[Curve], across: Axis, up: Axis, says: str, *, doubt: tuple[float, float] | None = None
) -> Markup:
    """The curves on their axes; `says` is for those who can't see it, `doubt` (x, y) a corner that is shaded."""

    def x(value: float) -> float:
        return LEFT + across.share(value) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - up.share(value) * (HEIGHT - TOP - BOTTOM)

    marks = []
    if doubt is not None:
        marks.append(tag("rect", x=x(doubt[0]), y=y(up.high), width=x(across.high) - x(doubt[0]),
                         height=y(doubt[1]) - y(up.high), class_="doubt"))  # fmt: skip
    for tick in up.ticks:
        marks.append(tag("line", x1=x(across.low), x2=x(across.high), y1=y(tick), y2=y(tick), class_="grid"))
        marks.append(tag("text", up.written(tick), x=LEFT - 6, y=y(tick) + 3.5, text_anchor="end"))
    for i, tick in enumerate(across.ticks):
        anchor = "start" if i == 0 else "end" if i == len(across.ticks) - 1 else "middle"
        marks.append(tag("text", across.written(tick), x=x(tick), y=HEIGHT - BOTTOM + 15, text_anchor=anchor))
    middle = bool(across.names)  # the words stand between the names
    where = (
        {"x": x((across.low + across.high) / 2), "y": HEIGHT - BOTTOM + 15}
        if middle
        else {"x": x(across.low), "y": HEIGHT - 5}
    )
    marks.append(tag("text", across.words, text_anchor="middle" if middle else None, class_="axis", **where))
    for curve in curves:
        points = [(x(a), y(b)) for a, b in curve.points]
        marks.append(_line(points, curve.kind))
        if curve.dots:
            marks += [tag("circle", cx=a, cy=b, r=3.0, class_=curve.kind) for a, b in points]
    return tag("svg", *marks, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=says, class_="chart")


def legend(*entries: tuple[str, str]) -> Markup:
    """What the lines mean: (kind, words)."""
    return tag("p", *(raw(tag("span", class_=f"key {kind}"), words, "  ") for kind, words in entries), class_="legend")


def _line(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    return tag("polyline", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in points), class_=kind)
