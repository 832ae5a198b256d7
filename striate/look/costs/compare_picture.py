"""The picture of a comparison: accuracy against operations, the area of a circle for the parameters."""

from collections.abc import Callable
from itertools import product
from math import ceil, floor, log10

from striate.errors import UsageError
from striate.look.costs.compare import Compared, Comparison
from striate.look.costs.quantities import brief
from striate.look.draw import Box, Circle, Line, Mark, Picture, Words, width_of

WIDE, HIGH = 960.0, 600.0  # pixels, of the whole
LEFT, RIGHT, TOP, BOTTOM = 70.0, 30.0, 62.0, 96.0  # around the plot
LARGEST = 27.0  # radius of the largest circle
LETTERS = 11.0
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
To = Callable[[float], float]  # from data to pixels


def picture(comparison: Comparison) -> Picture:
    """Draw those networks that have a figure.

    Raises: UsageError if none has.
    """
    drawn = comparison.drawn
    if not drawn:
        raise UsageError("none of these networks has a published figure, so there is nothing to draw")
    low, high = log10(min(one.macs for one in drawn)) - 0.12, log10(max(one.macs for one in drawn)) + 0.12
    worst, best = (f(one.reached.top1 for one in drawn if one.reached) for f in (min, max))
    step = next(s for s in (0.5, 1, 2, 5, 10, 20) if (best - worst) / s <= 7)
    bottom, top = floor((worst - 0.3 * step) / step) * step, ceil((best + 0.3 * step) / step) * step

    def x(macs: float) -> float:
        return LEFT + LARGEST + (log10(macs) - low) / (high - low) * (WIDE - LEFT - RIGHT - 2 * LARGEST)

    def y(accuracy: float) -> float:
        return HIGH - BOTTOM - (accuracy - bottom) / (top - bottom) * (HIGH - TOP - BOTTOM)

    marks: list[Mark] = [Box(0, 0, WIDE, HIGH, "paper", 0)]
    marks += _axes(comparison, x, y, (low, high), (bottom, top, step))
    most = max(one.parameters for one in drawn)
    circles = []
    for one in sorted(drawn, key=lambda one: -one.parameters):
        assert one.reached is not None
        radius = max(2.5, LARGEST * (one.parameters / most) ** 0.5)
        circles.append((one, x(one.macs), y(one.reached.top1), radius))
    marks += [Circle(cx, cy, r, "point", _tip(one)) for one, cx, cy, r in circles]
    marks += _labels(circles)
    marks += _scale(most)
    words = "; ".join(_tip(one) for one in drawn)
    return Picture(WIDE, HIGH, f"Top-1 accuracy against multiply-adds, circles by parameters. {words}", marks)


def _axes(
    comparison: Comparison, x: To, y: To, decades: tuple[float, float], steps: tuple[float, float, float]
) -> list[Mark]:
    low, high = decades
    bottom, top, step = steps
    marks: list[Mark] = []
    for i in range(round((top - bottom) / step) + 1):
        at = bottom + i * step
        marks += [Line(((LEFT, y(at)), (WIDE - RIGHT, y(at))), "grid", width=1)]
        marks += [Words(LEFT - 8, y(at) + 4, f"{at:g}", LETTERS, "soft", "end")]
    ticks = [
        digit * 10.0**power
        for power, digit in product(range(floor(low), ceil(high) + 1), (1, 2, 5))
        if low <= log10(digit * 10.0**power) <= high
    ]
    for at in ticks:
        marks += [Line(((x(at), y(bottom)), (x(at), y(top))), "grid", width=1)]
        label = brief(at).replace(".0 ", " ")
        marks += [Words(x(at), y(bottom) + 17, label, LETTERS, "soft", "middle")]
    name = "ImageNet, validation" if comparison.data == "ImageNet" else f"{comparison.data}, test"
    source = "as the papers print it" if comparison.source == "paper" else "of published weights"
    marks += [
        Words(LEFT, 28, f"Top-1 accuracy {source}, {name}", 15, "ink", bold=True),
        Words(LEFT, 46, "against multiply-adds for one test image; the area of a circle: parameters", LETTERS, "soft"),
        Words(20, (y(bottom) + y(top)) / 2 + 40, "top-1 accuracy, %", LETTERS, "soft", turned=True),
        Words((LEFT + WIDE - RIGHT) / 2, y(bottom) + 36, "multiply-adds", LETTERS, "soft", "middle"),
    ]
    notes = " ".join(comparison.notes()[:2])
    line, at = "", y(bottom) + 56
    for word in notes.split():
        if width_of(f"{line} {word}", 9.5) > WIDE - LEFT - RIGHT:
            marks.append(Words(LEFT, at, line, 9.5, "soft"))
            line, at = "", at + 14
        line = f"{line} {word}".strip()
    return [*marks, Words(LEFT, at, line, 9.5, "soft")]


def _scale(most: int) -> list[Mark]:
    """Circles of round numbers, to measure by."""
    powers = [10.0**p * d for p in range(3, 10) for d in (1, 2, 5)]
    largest = max(value for value in powers if value <= most)
    shown = [largest, largest / 5]
    marks: list[Mark] = []
    at = WIDE - RIGHT - 8
    for value in shown:
        radius = max(2.5, LARGEST * (value / most) ** 0.5)
        words = brief(value).replace(".0 ", " ")
        at -= width_of(words, LETTERS)
        marks.append(Words(at, 34, words, LETTERS, "soft"))
        at -= radius + 6
        marks.append(Circle(at, 30, radius, "point"))
        at -= radius + 16
    return marks


def _labels(circles: list[tuple[Compared, float, float, float]]) -> list[Mark]:
    """A name beside each circle, where it is on no other name and, if that can be, on no circle; else with a line."""
    taken: list[Rectangle] = []
    marks: list[Mark] = []
    discs = [(cx - r, cy - r, cx + r, cy + r) for _, cx, cy, r in circles]
    for one, cx, cy, radius in sorted(circles, key=lambda c: c[3]):
        own = (cx - radius, cy - radius, cx + radius, cy + radius)
        others = [disc for disc in discs if disc != own]
        wide = width_of(one.name, LETTERS)
        best = min(
            _places(cx, cy, radius, wide),
            key=lambda place: (_blame(place[0], taken, others), place[1]),
        )
        box = best[0]
        taken.append(box)
        if best[1] > radius + 6:
            near = (min(max(cx, box[0]), box[2]), min(max(cy, box[1]), box[3]))
            marks.append(Line(((cx, cy), near), "flow", width=0.8))
        marks.append(Words(box[0] + 2, box[3] - 4, one.name, LETTERS, "ink"))
    return marks


def _places(cx: float, cy: float, radius: float, wide: float) -> list[tuple[Rectangle, float]]:
    """Rectangles for a name around a circle, with how far they are from its middle."""
    high = LETTERS + 4
    found = []
    for away in (3.0, 10.0, 20.0, 34.0, 50.0, 70.0, 95.0, 125.0):
        reach = radius + away
        for dx, dy in ((1, 0), (0, -1), (-1, 0), (0, 1), (0.75, -0.75), (-0.75, -0.75), (0.75, 0.75), (-0.75, 0.75),
                       (0.4, -0.95), (-0.4, -0.95), (0.4, 0.95), (-0.4, 0.95)):  # fmt: skip
            mx, my = cx + dx * reach, cy + dy * reach
            left = mx if dx > 0.1 else mx - wide - 4 if dx < -0.1 else mx - wide / 2
            up = my - high / 2 if abs(dy) < 0.1 else my - high if dy < 0 else my
            found.append(((left, up, left + wide + 4, up + high), reach))
    return found


def _blame(place: Rectangle, taken: list[Rectangle], discs: list[Rectangle]) -> float:
    """What is wrong with a place: off the plot or on another name, worst; on circles, by the area covered."""
    left, up, right, down = place
    off = left < LEFT - 6 or right > WIDE - 4 or up < TOP - 12 or down > HIGH - BOTTOM + 2
    on_names = sum(_overlap(place, other) > 0 for other in taken)
    return 1e6 * off + 1e4 * on_names + sum(_overlap(place, disc) for disc in discs)


def _overlap(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _tip(one: Compared) -> str:
    r = one.reached
    assert r is not None
    costs = f"{brief(one.macs)} MACs, {brief(one.parameters)} parameters"
    return f"{one.name}: {r.top1:.2f} %, {costs} ({r.publisher} {r.tag})".replace(" )", ")")
