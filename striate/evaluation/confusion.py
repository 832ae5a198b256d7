"""The confusion matrix as a picture that can be read with 2, 10 and 100 classes, and its cells in words."""

from math import sqrt

from striate.evaluation.drawing import box, clip, line, picture, text
from striate.evaluation.metrics import Confusion, Metrics
from striate.look.markup import Markup, raw, tag

MOST = 120  # classes that are drawn; of more, FOCUS are
FOCUS = 40


def confusion_map(metrics: Metrics) -> Markup:
    """Rows: what it is. Columns: what it was called. With more classes cells shrink and labels stay."""
    chosen = in_focus(metrics)
    names = [metrics.classes[i].name for i in chosen]
    k = len(chosen)
    cell, font = _sizes(k)
    label = max(len(clip(name)) for name in names) * font * 0.6
    turned = label > cell * 0.9
    left, top = max(34.0, 12 + label), 16 + (14 + label if turned else 24)
    right, bottom = left + k * cell, top + k * cell
    marks: list[Markup] = []
    for r, row in enumerate(metrics.confusion[chosen][:, chosen].tolist()):
        images = metrics.classes[chosen[r]].images
        for c, count in enumerate(row):
            if count:
                marks += _cell(Confusion(names[r], names[c], count, images), left + c * cell, top + r * cell, cell)
    labels: list[Markup] = []
    for i, name in enumerate(names):
        middle, short = i * cell + cell / 2, clip(name)
        labels.append(text(left - 6, top + middle + font * 0.35, short, anchor="end", size=font, full=name))
        if turned:
            labels.append(text(left + middle + font * 0.35, top - 6, short, size=font, full=name, turn=-90))
        else:
            labels.append(text(left + middle, top - 6, short, anchor="middle", size=font, full=name))
    ground = [box(left, top, k * cell - 1, k * cell - 1, "ground", round_=3)]
    for i in range(5, k if k > 11 else 0, 5):  # for the eye to keep its row
        at = i * cell - 0.5
        ground += [line(left, top + at, right, top + at, "guide"), line(left + at, top, left + at, bottom, "guide")]
    axes = [text(left, 11, "called →", kind="axis"), text(left - 6, top - 5, "is ↓", anchor="end", kind="axis")]
    worst = "; ".join(in_words(one) for one in metrics.confusions()[:3]) or "No image was called anything else"
    said = f"Confusion matrix of {k} classes. {worst}"
    return picture(right + 4, bottom + 4, "confusion", said, raw(*ground, *marks, *labels, *axes), fixed=k > 11)


def in_focus(metrics: Metrics) -> list[int]:
    """All classes, or where there are too many those that are confused most, in their order."""
    k = len(metrics.classes)
    if k <= MOST:
        return list(range(k))
    place = {score.name: i for i, score in enumerate(metrics.classes)}
    chosen: set[int] = set()
    for one in metrics.confusions():
        chosen |= {place[one.truth], place[one.predicted]}
        if len(chosen) >= FOCUS:
            break
    return sorted(chosen) or list(range(FOCUS))


def in_words(one: Confusion) -> str:
    """A cell of the matrix.

    >>> in_words(Confusion("8", "1", 3, 36))
    '3 of 36 “8” were called “1”'
    """
    was = "was" if one.images == 1 else "were"
    called = "that" if one.truth == one.predicted else f"“{one.predicted}”"
    return f"{one.count:,} of {one.images:,} “{one.truth}” {was} called {called}"


def _cell(one: Confusion, x: float, y: float, side: float) -> list[Markup]:
    share, right = one.count / one.images, one.truth == one.predicted
    # a root, so that one mistake among hundreds can be seen
    strength = 0.15 + 0.85 * share if right else 0.3 + 0.7 * sqrt(share)
    tooltip, place = tag("title", in_words(one)), {"x": float(x), "y": float(y), "width": side - 1, "height": side - 1}
    mark = tag(
        "rect", tooltip, class_="hit" if right else "miss", rx=min(4.0, side / 6), fill_opacity=strength, **place
    )
    if side < 30:
        return [mark]
    words = f"{one.count}"
    size = min(17.0, side * 0.36, (side - 6) / (0.62 * len(words)))
    kind = "count on" if strength > 0.88 else "count mid" if strength > 0.55 else "count"
    return [mark, text(x + (side - 1) / 2, y + side / 2 + size * 0.34, words, anchor="middle", size=size, kind=kind)]


def _sizes(classes: int) -> tuple[float, float]:
    """Sides of a cell and of the labels' letters."""
    for most, cell, font in ((2, 112, 13), (4, 84, 13), (11, 46, 13), (24, 32, 13), (50, 18, 11)):
        if classes <= most:
            return float(cell), float(font)
    return 11.0, 9.0
