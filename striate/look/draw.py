"""Pictures made of boxes, lines, circles and words: as SVG that follows light and dark, or as PNG.

A picture is a list of marks in pixels, y downwards; each has a kind, whose colours stand in one table below. Nothing
here knows of networks or accuracies: `diagrams` and `costs.compare` say what stands where.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as File
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Circle as Disc
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from PIL import ImageFont

from striate.look.markup import Markup, raw, tag

Point = tuple[float, float]
SANS = '"DejaVu Sans", Verdana, "Segoe UI", system-ui, sans-serif'  # words are measured in the first
LINE = 1.4  # pixels
BEND = 9.0  # radius of the corners of a line


@dataclass(frozen=True)
class Colours:
    """Of a kind: by day and by night."""

    fill: tuple[str, str] = ("none", "none")
    stroke: tuple[str, str] = ("none", "none")


KINDS: dict[str, Colours] = {
    "paper":  Colours(("#fdfcf9", "#15181b")),
    "ink":    Colours(("#1c1e21", "#e8e6e1")),
    "soft":   Colours(("#5d6269", "#a2a8af")),
    "flow":   Colours(stroke=("#7d8288", "#8b929a")),
    "skip":   Colours(stroke=("#c2621b", "#ff9558")),
    "grid":   Colours(stroke=("#e5e1d8", "#31373d")),
    "frame":  Colours(("#f6f3ec", "#1b1f23"), ("#ded8ca", "#353c43")),
    "repeat": Colours(("none", "none"), ("#a39b88", "#6d757d")),
    "badge":  Colours(("#5d6269", "#c9ced3"), ("none", "none")),
    "onbadge": Colours(("#ffffff", "#15181b")),
    "conv":   Colours(("#d6ebf0", "#17414c"), ("#4f9fb1", "#3d8799")),
    "depth":  Colours(("#dcefe0", "#1d4030"), ("#64a578", "#4f8f68")),
    "linear": Colours(("#e6def3", "#382f52"), ("#8f7bbf", "#7f6cae")),
    "pool":   Colours(("#fbe6c8", "#4d3a17"), ("#cf9a45", "#b18438")),
    "act":    Colours(("#f8dcd2", "#50291d"), ("#cf7d5f", "#b56b50")),
    "other":  Colours(("#eceae5", "#2b3137"), ("#a7a297", "#6d757d")),
    "join":   Colours(("#ffffff", "#20262b"), ("#5d6269", "#a2a8af")),
    "dashed": Colours(("none", "none"), ("#a39b88", "#6d757d")),
    "point":  Colours(("#10758c", "#58c0d8"), ("#0b5566", "#9adbea")),
}  # fmt: skip
DASHED = {"dashed", "repeat"}
PALE = {"point": 0.35}  # how much of the fill is seen


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    kind: str
    round: float = 6.0
    tip: str = ""


@dataclass(frozen=True)
class Circle:
    x: float
    y: float
    radius: float
    kind: str
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """Straight from point to point, corners rounded; with an arrow's head at its end."""

    points: tuple[Point, ...]
    kind: str = "flow"
    arrow: bool = False
    width: float = LINE


@dataclass(frozen=True)
class Curve:
    """From the first point to the last, bent by the two between them; with an arrow's head at its end."""

    points: tuple[Point, Point, Point, Point]
    kind: str = "flow"
    arrow: bool = False
    width: float = LINE


@dataclass(frozen=True)
class Words:
    """One line; y is its base line."""

    x: float
    y: float
    words: str
    size: float = 12.0
    kind: str = "ink"
    anchor: str = "start"
    bold: bool = False
    turned: bool = False  # upwards


Mark = Box | Circle | Line | Curve | Words


@dataclass
class Picture:
    """Marks on paper, the later above the earlier; `label` says in words what they show."""

    width: float
    height: float
    label: str
    marks: list[Mark] = field(default_factory=list)

    def svg(self) -> str:
        """A file of its own; in a page, too."""
        box = f"0 0 {self.width:g} {self.height:g}"
        body = raw(tag("style", Markup(_style())), tag("title", self.label), *(_element(mark) for mark in self.marks))
        return tag(
            "svg", body, xmlns="http://www.w3.org/2000/svg", viewBox=box, width=f"{self.width:g}",
            height=f"{self.height:g}", role="img", class_="drawn",
        )  # fmt: skip

    def _repr_svg_(self) -> str:
        return self.svg()

    def png(self, scale: float = 2.0) -> bytes:
        """In the colours of the day, `scale` dots to a pixel."""
        figure = Figure(figsize=(self.width / 100, self.height / 100), dpi=100 * scale)
        figure.patch.set_facecolor(KINDS["paper"].fill[0])
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        for level, mark in enumerate(self.marks):
            _paint(axes, mark, level)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=100 * scale, metadata={"Software": None})
        return content.getvalue()


def width_of(words: str, size: float, bold: bool = False) -> float:
    """Pixels that a line of words takes."""
    return float(_font(bold).getlength(words)) * size / 100


@cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(File(matplotlib.get_data_path(), "fonts", "ttf", name), 100)


def _style() -> str:
    def rules(night: bool) -> str:
        return "".join(
            f".drawn .{kind}{{fill:{c.fill[night]};stroke:{c.stroke[night]}}}" for kind, c in KINDS.items()
        )  # fmt: skip

    pale = "".join(f".drawn .{kind}{{fill-opacity:{share:g}}}" for kind, share in PALE.items())
    dashed = "".join(f".drawn .{kind}{{stroke-dasharray:5 4}}" for kind in sorted(DASHED))
    fixed = (
        f".drawn text{{font-family:{SANS};stroke:none}}.drawn .head{{stroke:none}}"
        ".drawn path:not(.head){fill:none}"
    )  # fmt: skip
    heads = "".join(
        f".drawn .head.{kind}{{fill:{KINDS[kind].stroke[0]}}}" for kind in ("flow", "skip", "dashed")
    )  # fmt: skip
    night_heads = "".join(f".drawn .head.{kind}{{fill:{KINDS[kind].stroke[1]}}}" for kind in ("flow", "skip", "dashed"))
    night = f"@media screen and (prefers-color-scheme:dark){{{rules(True)}{fixed}{night_heads}}}"
    return f"{rules(False)}{dashed}{pale}{fixed}{heads}{night}"


def _element(mark: Mark) -> Markup:
    match mark:
        case Box():
            tip = tag("title", mark.tip) if mark.tip else None
            where = {"x": mark.x, "y": mark.y, "width": mark.width, "height": mark.height, "rx": mark.round}
            return tag("rect", tip, class_=mark.kind, **{key: float(value) for key, value in where.items()})
        case Circle():
            tip = tag("title", mark.tip) if mark.tip else None
            return tag("circle", tip, cx=float(mark.x), cy=float(mark.y), r=float(mark.radius), class_=mark.kind)
        case Words():
            weight = "bold" if mark.bold else None
            turned = f"rotate(-90 {mark.x:.2f} {mark.y:.2f})" if mark.turned else None
            return tag(
                "text", mark.words, x=float(mark.x), y=float(mark.y), font_size=float(mark.size), class_=mark.kind,
                text_anchor=None if mark.anchor == "start" else mark.anchor, font_weight=weight, transform=turned,
            )  # fmt: skip
        case Line():
            steps = " ".join(
                " ".join([letter, *(f"{_number(x)} {_number(y)}" for x, y in points)])
                for letter, points in _rounded(mark.points)
            )
        case Curve():
            start, *bent = mark.points
            steps = f"M {_number(start[0])} {_number(start[1])} C " + " ".join(
                f"{_number(x)} {_number(y)}" for x, y in bent
            )
    path = tag("path", d=steps, class_=mark.kind, stroke_width=f"{mark.width:g}")
    if not mark.arrow:
        return path
    corners = "L".join(f"{_number(x)} {_number(y)}" for x, y in _head(*mark.points[-2:]))
    return raw(path, tag("path", d=f"M{corners}Z", class_=f"head {mark.kind}"))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rounded(points: Sequence[Point]) -> list[tuple[str, list[Point]]]:
    """Steps of a path: M and L to points, Q around a corner."""
    steps: list[tuple[str, list[Point]]] = [("M", [points[0]])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(BEND, _distance(before, corner) / 2, _distance(corner, after) / 2)
        steps.append(("L", [_towards(corner, before, reach)]))
        steps.append(("Q", [corner, _towards(corner, after, reach)]))
    return [*steps, ("L", [points[-1]])]


def _distance(a: Point, b: Point) -> float:
    return float(((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5)


def _towards(a: Point, b: Point, reach: float) -> Point:
    far = _distance(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * reach / far, a[1] + (b[1] - a[1]) * reach / far


def _head(before: Point, end: Point) -> list[Point]:
    """The corners of an arrow's head."""
    back = _towards(end, before, 7.0)
    across = ((end[1] - back[1]) / 2, (back[0] - end[0]) / 2)
    return [end, (back[0] + across[0], back[1] + across[1]), (back[0] - across[0], back[1] - across[1])]


def _paint(axes: "matplotlib.axes.Axes", mark: Mark, level: int) -> None:
    colours = KINDS[mark.kind]
    fill, stroke = colours.fill[0], colours.stroke[0]
    style = "--" if mark.kind in DASHED else "-"
    points_to_pixels = 0.72  # of a line's or a letter's size, at 100 pixels an inch
    match mark:
        case Box():
            inside = min(mark.round, mark.width / 2, mark.height / 2)
            patch = FancyBboxPatch(
                (mark.x + inside, mark.y + inside), mark.width - 2 * inside, mark.height - 2 * inside,
                boxstyle=f"round,pad={inside},rounding_size={inside}", facecolor=fill, edgecolor=stroke,
                linewidth=points_to_pixels, linestyle=style, zorder=level,
            )  # fmt: skip
            axes.add_patch(patch)
        case Circle():
            disc = Disc((mark.x, mark.y), mark.radius, edgecolor=stroke, linewidth=points_to_pixels, zorder=level)
            disc.set_facecolor((fill, PALE.get(mark.kind, 1.0)) if fill != "none" else fill)
            axes.add_patch(disc)
        case Words():
            where = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
            axes.text(
                mark.x, mark.y, mark.words.replace("$", r"\$"), fontsize=mark.size * points_to_pixels, color=fill,
                ha="left" if mark.turned else where, va="baseline", rotation=90 if mark.turned else 0,
                rotation_mode="anchor", zorder=level, family="DejaVu Sans", weight="bold" if mark.bold else "normal",
            )  # fmt: skip
        case Line() | Curve():
            codes, vertices = _codes(mark)
            axes.add_patch(
                PathPatch(
                    Path(vertices, codes), facecolor="none", edgecolor=stroke, zorder=level, linestyle=style,
                    linewidth=mark.width * points_to_pixels, capstyle="butt",
                )
            )  # fmt: skip
            if mark.arrow:
                corners = _head(*mark.points[-2:])
                shape = Path([*corners, corners[0]], [Path.MOVETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY])
                axes.add_patch(PathPatch(shape, facecolor=stroke, edgecolor="none", zorder=level))


def _codes(mark: Line | Curve) -> tuple[list[Any], list[Point]]:
    if isinstance(mark, Curve):
        return [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4], list(mark.points)
    codes: list[Any] = []
    vertices: list[Point] = []
    for letter, points in _rounded(mark.points):
        codes += [{"M": Path.MOVETO, "L": Path.LINETO, "Q": Path.CURVE3}[letter]] * len(points)
        vertices += points
    return codes, vertices
