"""Pictures of the result: where the accuracy lies, every image as a mark, a row of the class table."""

from collections.abc import Sequence
from math import ceil, floor

from striate.evaluation.drawing import Scale, box, clip, dot, line, picture
from striate.evaluation.metrics import ClassScore, Share
from striate.evaluation.words import interval, percent
from striate.look.markup import Markup, raw, tag

MARKS = 1200  # in the field of images; more images than that share marks


def accuracy_line(share: Share, baseline: float, name: str) -> Markup:
    """0 to 100 %: what guessing the most frequent class gives, and where the network is, with its interval.

    Drawn in per cent of the width, so that its words keep their size on a narrow screen.
    """
    left = baseline < 0.5
    low, value, guess = _across(share.low), _across(share.value), _across(baseline)
    guessing = f"always “{clip(name, 18)}”: {percent(baseline)}"
    anchor = "start" if left else "end"
    said = f"Accuracy {percent(share.value)}, interval {interval(share)}; always answering the most frequent class: "
    return tag(
        "svg",
        tag("line", x1=_across(0), y1=32, x2=_across(1), y2=32, class_="track"),
        tag("rect", x=_across(0), y=29, width=_wide(share.value), height=6, class_="gain", rx=3),
        tag("line", x1=guess, y1=20, x2=guess, y2=44, class_="guess"),
        tag("text", guessing, x=guess, y=14, dx=-4 if left else 4, font_size=12, text_anchor=anchor),
        tag(
            "rect",
            tag("title", f"95 % interval: {interval(share)} %"),
            x=low, y=24, width=_wide(share.high - share.low), height=16, class_="band", rx=4,
        ),
        tag("circle", tag("title", percent(share.value)), cx=value, cy=32, r=6, class_="dot"),
        tag("text", "0 %", x=_across(0), y=62, font_size=12),
        tag("text", "100 %", x=_across(1), y=62, text_anchor="end", font_size=12),
        class_="chart line", role="img", height=68, aria_label=said + percent(baseline),
    )  # fmt: skip


def field_of_images(confidences: Sequence[float], mistakes: Sequence[bool]) -> Markup:
    """One mark an image, surest first, the wrong ones in another colour; many images share marks."""
    n, wrong = len(mistakes), sum(mistakes)
    share = ceil(n / MARKS)
    groups = [range(i, min(n, i + share)) for i in range(0, n, share)]
    columns = 60 if len(groups) > 240 else 40
    side = 900 / columns
    size = side * 0.78
    marks = []
    for i, group in enumerate(groups):
        x, y = (i % columns) * side, (i // columns) * side
        missed = sum(mistakes[j] for j in group) / len(group)
        if missed < 1:
            marks.append(box(x, y, size, size, "hit", round_=size / 5))
        if missed:
            tall = max(size * missed, size / 5)
            tooltip = tag("title", _group(confidences, group, missed))
            marks.append(box(x, y + size - tall, size, tall, "miss", tooltip, round_=min(size / 5, tall / 2)))
    height = ceil(len(groups) / columns) * side - (side - size)
    return picture(900, height, "field", f"{n:,} images, the surest first; {wrong:,} of them wrong", raw(*marks))


def whisker(share: Share | None, low: float) -> Markup:
    """One row of the class table: the value and its interval, on an axis from `low` to 100 %."""
    if share is None:
        return raw()
    x = Scale(low, 1, 6, 174)
    ticks = [line(6 + 42 * t, 6, 6 + 42 * t, 12, "tick") for t in range(5)]
    start = x(max(share.low, low))
    band = box(start, 5, max(1.5, x(share.high) - start), 8, "band", round_=4)
    row = raw(line(6, 9, 174, 9, "track"), *ticks, band, dot(x(max(share.value, low)), 9, 4))
    return tag("svg", row, viewBox="0 0 180 18", class_="whisker", aria_hidden="true")


def axis_from(scores: Sequence[ClassScore]) -> float:
    """Where the axis of the class table begins: a round number below every interval of recall."""
    lowest = min((score.recall.low for score in scores if score.recall is not None), default=0.0)
    return max(0.0, floor(lowest * 5 - 0.01) / 5)


def _across(share: float) -> str:
    """A place on the accuracy line, which leaves room for the dot at both ends."""
    return f"{1 + 98 * share:.3f}%"


def _wide(share: float) -> str:
    return f"{98 * share:.3f}%"


def _group(confidences: Sequence[float], group: range, missed: float) -> str:
    first, last = confidences[group[0]], confidences[group[-1]]
    if len(group) == 1:
        return f"wrong, and {percent(first)} sure"
    return f"{round(missed * len(group))} of {len(group)} wrong, {percent(last)} to {percent(first)} sure"
