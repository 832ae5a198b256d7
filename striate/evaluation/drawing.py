"""What the card's pictures are drawn with: SVG in the colours of the page (card.css), so they follow light and dark.

Every picture says in words what it shows (its `aria-label`), and each mark has a tooltip.
"""

from dataclasses import dataclass

from striate.look.markup import Child, Markup, tag


@dataclass(frozen=True)
class Scale:
    """A line from data to picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def picture(width: float, height: float, kind: str, label: str, *children: Child, fixed: bool = False) -> Markup:
    """An SVG of that many units. `fixed`: never smaller than drawn (its box scrolls), for small print."""
    size = {"width": f"{width:g}", "height": f"{height:g}"} if fixed else {"style": f"max-width:{width:g}px"}
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *children, class_=f"chart {kind}", viewBox=box, role="img", aria_label=label, **size)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """From one place to another."""
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=kind)


def box(x: float, y: float, width: float, height: float, kind: str, *children: Child, round_: float = 0) -> Markup:
    """A rectangle with its upper left corner at (x, y)."""
    return tag(
        "rect",
        *children,
        x=float(x),
        y=float(y),
        width=float(width),
        height=float(height),
        rx=float(round_),
        class_=kind,
    )


def dot(x: float, y: float, radius: float, *children: Child) -> Markup:
    """A point of data."""
    return tag("circle", *children, cx=float(x), cy=float(y), r=float(radius), class_="dot")


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: float = 11,
    kind: str = "",
    full: str = "",
    turn: int = 0,
) -> Markup:
    """Words at a place; `full` is what a tooltip shows where they were cut."""
    tooltip = tag("title", full) if full and full != words else None
    turned = f"rotate({turn} {x:.2f} {y:.2f})" if turn else None
    where = {"x": float(x), "y": float(y), "font_size": float(size)}
    return tag("text", tooltip, words, text_anchor=anchor, class_=kind or None, transform=turned, **where)


def clip(name: str, most: int = 16) -> str:
    """A name on one line, cut inside where it is long: names that look like files differ at both ends.

    >>> clip("cats"), clip("photograph_of_a_cat_0017")
    ('cats', 'photograph_…0017')
    """
    flat = " ".join(name.split()) or "␣"
    return flat if len(flat) <= most else f"{flat[: most - 5]}…{flat[-4:]}"
