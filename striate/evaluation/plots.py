"""Pictures with two axes: how reliable the probabilities are, and how training went."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from striate.evaluation.calibration import Bin
from striate.evaluation.drawing import Scale, box, dot, line, picture, text
from striate.evaluation.words import brief, interval, percent
from striate.look.markup import Child, Markup, raw, tag

FEW = 10  # images of a bin below which it is drawn pale
Row = Mapping[str, float | None]


def reliability(bins: Sequence[Bin]) -> Markup:
    """What was claimed against what was kept, above a histogram of the claims."""
    x, y = Scale(0, 1, 44, 384), Scale(0, 1, 350, 10)
    h = Scale(0, max(b.images for b in bins), 446, 386)
    grid: list[Markup] = []
    for t in (0, 0.25, 0.5, 0.75, 1):
        grid += [line(x(0), y(t), x(1), y(t), "grid"), line(x(t), y(0), x(t), y(1), "grid")]
        grid += [
            text(x(0) - 6, y(t) + 4, f"{100 * t:.0f}", anchor="end"),
            text(x(t), 462, f"{100 * t:.0f}", anchor="middle"),
        ]
    frame = [line(x(0), y(0), x(1), y(1), "diagonal"), line(x(0), h(0), x(1), h(0), "track")]
    axes = [
        text(x(0.5), 484, "how sure it said it was, %", anchor="middle", kind="axis"),
        text(13, 180, "how often it was right, %", anchor="middle", kind="axis", turn=-90),
    ]
    said = "; ".join(_bin_in_words(b) for b in bins if b.images)
    marks = [_bin(b, x, y, h) for b in bins]
    return picture(400, 492, "reliability", f"Reliability diagram. {said}", raw(*grid, *frame, *marks, *axes))


def _bin(b: Bin, x: Scale, y: Scale, h: Scale) -> Markup:
    if b.right is None or b.confidence is None:
        return raw()
    left, wide = x(b.low) + 1, x(b.high) - x(b.low) - 2
    at, tall = x(b.confidence), h(0) - h(b.images)
    marks: list[Child] = [tag("title", _bin_in_words(b))]
    if b.images >= FEW:
        low, high = sorted((b.right.value, b.confidence))
        marks.append(
            box(left, y(high), wide, y(low) - y(high), "gap short" if b.right.value < b.confidence else "gap over")
        )
    marks += [line(at, y(b.right.low), at, y(b.right.high), "range"), dot(at, y(b.right.value), 4.5)]
    marks += [box(left, h(b.images), wide, max(1.0, tall), "bar", round_=1.5)]
    marks += [text(left + wide / 2, h(b.images) - 3, _short(b.images), anchor="middle", size=8.5)]
    return tag("g", *marks, class_="bin" if b.images >= FEW else "bin few")


def _bin_in_words(b: Bin) -> str:
    assert b.right is not None
    assert b.confidence is not None
    claim = f"{b.images:,} {'image' if b.images == 1 else 'images'} about {percent(b.confidence)} sure"
    return f"{claim}: right on {percent(b.right.value)} (interval {interval(b.right)})"


def curves(rows: Sequence[Row], quantity: str, title: str) -> Markup | None:
    """`train_<quantity>` and `val_<quantity>` over epochs, the kept one marked; None where there is nothing to draw."""
    series = {kind: _points(rows, f"{kind}_{quantity}") for kind in ("train", "val")}
    series = {kind: points for kind, points in series.items() if points}
    if len(rows) < 2 or not series:
        return None
    values = [value for points in series.values() for _, value in points]
    shares = quantity == "accuracy"
    logs = not shares and min(values) > 0 and max(values) / min(values) > 20
    ticks = _share_ticks(min(values)) if shares else _ticks(min(values), max(values), logs)
    low, high = min(*ticks, *values), max(*ticks, *values)
    linear = Scale(log10(low), log10(high), 200, 26) if logs else Scale(low, high, 200, 26)

    def y(value: float) -> float:
        return linear(log10(value) if logs else value)

    x = Scale(_epoch(rows[0]), _epoch(rows[-1]), 46, 330)
    parts: list[Child] = [text(46, 14, title + (", %" if shares else ""), kind="title")]
    for t in ticks:
        words = f"{100 * t:.0f}" if shares else brief(t, 2)
        parts += [line(46, y(t), 330, y(t), "grid"), text(40, y(t) + 4, words, anchor="end")]
    parts += _kept(rows, x)
    for kind, points in series.items():
        path = " ".join(f"{'L' if i else 'M'}{x(e):.1f} {y(v):.1f}" for i, (e, v) in enumerate(points))
        parts.append(tag("path", d=path, class_=f"curve {kind}"))
    last = _apart([(y(points[-1][1]), kind) for kind, points in series.items()])
    parts += [text(336, at + 4, kind, kind=f"name {kind}") for at, kind in last]
    middle = round((x.low + x.high) / 2)
    parts += [text(x(e), 218, f"{e:g}", anchor="middle") for e in sorted({x.low, middle, x.high})]
    parts.append(text(188, 236, "epoch", anchor="middle", kind="axis"))
    told = [f"{kind} from {brief(points[0][1])} to {brief(points[-1][1])}" for kind, points in series.items()]
    return picture(376, 240, "curves", f"{title} over {len(rows)} epochs: {'; '.join(told)}", *parts)


def _points(rows: Sequence[Row], key: str) -> list[tuple[float, float]]:
    return [(_epoch(row), value) for row in rows if (value := row.get(key)) is not None]


def _epoch(row: Row) -> float:
    return row.get("epoch") or 0.0


def _kept(rows: Sequence[Row], x: Scale) -> list[Child]:
    """The epoch whose weights were kept."""
    best = [_epoch(row) for row in rows if row.get("best")]
    if not best:
        return []
    at, late = x(best[-1]), best[-1] > (x.low + x.high) / 2
    words = text(at + (-5 if late else 5), 196, f"kept: {best[-1]:g}", anchor="end" if late else "start", kind="axis")
    return [line(at, 200, at, 26, "kept"), words]


def _apart(labels: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Two labels that would lie on each other, moved apart."""
    labels = sorted(labels)
    if len(labels) == 2 and labels[1][0] - labels[0][0] < 13:
        middle = (labels[0][0] + labels[1][0]) / 2
        return [(middle - 6.5, labels[0][1]), (middle + 6.5, labels[1][1])]
    return labels


def _share_ticks(low: float) -> list[float]:
    """Tens of per cent up to 100, from below the lowest value."""
    tens = list(range(min(9, floor(low * 10)), 11))
    step = 2 if len(tens) > 6 else 1
    return [ten / 10 for ten in reversed(tens[::-1][::step])]


def _ticks(low: float, high: float, logs: bool) -> list[float]:
    if logs:
        return [10.0**p for p in range(floor(log10(low)), ceil(log10(high)) + 1)]
    if high <= 0:
        return [0.0, 1.0]
    step = 10.0 ** floor(log10(high))
    while high / step < 3:
        step /= 2
    return [i * step for i in range(ceil(high / step) + 1)]


def _short(n: int) -> str:
    return f"{n}" if n < 1000 else f"{n / 1000:.1f}k" if n < 10_000 else f"{n / 1000:.0f}k"
