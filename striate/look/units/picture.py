"""One unit as a picture: the image with what the unit sees, its terms, the sum, and below it the way back.

A window is drawn as patch, kernel and products; a layer of one number as its curve; all else as bars, a term each.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import nn

from striate.look.units.panels import (
    INCHES,
    INK,
    MARK,
    PALE,
    PLAIN,
    RULE,
    SEEN,
    SIGNED,
    SMALL,
    bare,
    list_numbers,
    plain,
    row_of_bars,
    tiles,
)
from striate.look.units.text import largest, number, places
from striate.look.units.unit import IMAGE, Unit
from striate.look.units.values import activation
from striate.math.arrays import Whole

CHANNELS, BARS = 12, 10  # of a window, of a list


def draw_unit(one: Unit, picture: NDArray[np.uint8], layer: nn.Module | None = None) -> Figure:
    """The figure; `picture` is what the network sees, (H, W, 1 or 3); of an activation, `layer` draws its curve."""
    figure = Figure(figsize=INCHES, facecolor="white")  # without pyplot: no window, no global state
    figure.text(0.03, 0.955, f"{one.layer}, unit {places(one.at)}", fontsize=17, color=INK, weight="bold", va="center")
    figure.text(0.03, 0.912, plain(f"{one.kind} of {'×'.join(map(str, one.shape))}:   {one.terms.formula}"),
                fontsize=11, color=PALE, va="center")  # fmt: skip
    rows = figure.add_gridspec(2, 1, left=0.03, right=0.97, top=0.85, bottom=0.07, hspace=0.42, height_ratios=(1.2, 1))
    forward = GridSpecFromSubplotSpec(1, 5, rows[0], wspace=0.16, width_ratios=(1.1, 1, 1, 1, 1.02))
    _image(figure.add_subplot(forward[0]), one, picture)
    middle = [figure.add_subplot(forward[i]) for i in (1, 2, 3)]
    channels = _channels(one)
    if channels is not None and one.terms.winner is None:
        _window(middle, one, channels)
    else:
        for spare in middle:
            spare.remove()
        wide = figure.add_subplot(forward[1:4])
        if channels is not None:
            _winners(wide, one, channels)
        elif not _curve(wide, one, layer):
            _bars(wide, one)
    _sum(figure.add_subplot(forward[4]), one)
    figure.text(0.03, 0.445, plain(f"Back from L, {one.toward}"), fontsize=13, color=INK, weight="bold")
    back = GridSpecFromSubplotSpec(1, 4, rows[1], wspace=0.2, width_ratios=(1.75, 1.1, 1.1, 1.02))
    _told(figure.add_subplot(back[0]), one)
    left, right = figure.add_subplot(back[1]), figure.add_subplot(back[2])
    _handed_on(left, right, one, channels)
    _learnt(figure.add_subplot(back[3]), one)
    return figure


def _image(axes: Axes, one: Unit, picture: NDArray[np.uint8]) -> None:
    gray = picture.shape[2] == 1
    axes.imshow(picture[:, :, 0] if gray else picture, cmap="gray" if gray else None, vmin=0, vmax=255,
                interpolation="nearest" if max(picture.shape[:2]) < 100 else "antialiased")  # fmt: skip
    height, width = picture.shape[:2]
    axes.set_anchor("NW")
    if one.box is None:
        bare(axes, "the image", "which pixels the unit sees\ncan't be followed")
        return
    (h, w), box = one.box.size, one.box
    axes.add_patch(Rectangle((box.left - 0.5, box.top - 0.5), w, h, fill=False, edgecolor=SEEN, linewidth=2.2))
    edge = 0.02 * max(height, width)
    axes.set_xlim(min(-0.5, box.left - 0.5 - edge), max(width - 0.5, box.right + 0.5 + edge))
    axes.set_ylim(max(height - 0.5, box.bottom + 0.5 + edge), min(-0.5, box.top - 0.5 - edge))
    axes.set_facecolor("#eef1f4")
    bare(axes, f"what it sees: {h}×{w} pixels", f"rows {box.top} to {box.bottom}, columns {box.left} to {box.right}")


def _channels(one: Unit) -> Whole | None:
    """Of a window: which of its channels are drawn, those with the largest products; None if it is none."""
    if one.patch is None or one.patch[1] * one.patch[2] < 2:  # of one position, bars say more
        return None
    sums = np.abs(one.terms.values.reshape(one.patch)).sum(axis=(1, 2))
    chosen: Whole = np.sort(np.argsort(-sums, kind="stable")[:CHANNELS])
    return chosen


def _window(axes: Sequence[Axes], one: Unit, channels: Whole) -> None:
    assert one.patch is not None
    found = one.terms
    x, products = found.x.reshape(one.patch)[channels], found.values.reshape(one.patch)[channels]
    shown = (
        "" if len(channels) == one.patch[0] else f"\n{len(channels)} of {one.patch[0]} channels: those that add most"
    )
    colours = PLAIN if one.sources[0] == IMAGE or x.min() >= 0 else SIGNED
    c, u, v = one.patch
    size = f"{c}×{u}×{v}" if c > 1 else f"{u}×{v}"
    tiles(
        axes[0],
        x,
        colours,
        f"patch of {one.sources[0]}, {size}",
        f"{number(found.x.min())} to {number(found.x.max())}{shown}",
    )
    if found.weight and found.w is not None:
        tiles(axes[1], found.w.reshape(one.patch)[channels], SIGNED, "×  kernel w")
    else:
        axes[1].set_axis_off()
        if found.w is not None:
            bare(axes[1], f"×  {number(float(found.w[0]))} each")
    tiles(axes[2], products, SIGNED, f"=  {found.word}")


def _winners(axes: Axes, one: Unit, channels: Whole) -> None:
    found = one.terms
    assert one.patch is not None
    assert found.winner is not None
    x = found.x.reshape(one.patch)[channels]
    tiles(axes, x, PLAIN if x.min() >= 0 else SIGNED, f"patch of {one.sources[0]}: the largest is handed on",
           "the others are told nothing on the way back")  # fmt: skip
    _, row, column = np.unravel_index(found.winner, one.patch)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=MARK, linewidth=3))


def _curve(axes: Axes, one: Unit, layer: nn.Module | None) -> bool:
    """Of a layer that makes one number of one: its curve, the point, the slope there."""
    found = one.terms
    if len(found.x) != 1 or found.source is not None or found.w is not None or (layer is None and not found.lines):
        return False
    x, y, slope = float(found.x[0]), found.result, float(found.slopes[0])
    outer, axes = axes, axes.inset_axes((0.06, 0.1, 0.9, 0.9))
    known = dict(found.lines)
    if "mean μ" in known:
        middle, deviation = known["mean μ"], known["√(σ² + ε)"]
        reach = max(3.2 * deviation, 1.15 * abs(x - middle))
        xs = np.linspace(middle - reach, middle + reach, 200)
        ys = known["gain γ"] * (xs - middle) / deviation + (found.bias or 0.0)
        bell = np.exp(-(((xs - middle) / deviation) ** 2) / 2)
        axes.fill_between(xs, ys.min(), ys.min() + 0.6 * np.ptp(ys) * bell, color="#dfe7ef", linewidth=0)
        axes.axvline(middle, color=PALE, linewidth=0.8, linestyle=":")
        title = "the line, and how this channel's values usually lie (mean μ, variance σ²)"
    else:
        assert layer is not None
        reach = max(1.3 * abs(x), 3.0)
        xs = np.linspace(-reach, reach, 241)
        ys = np.array([activation(layer, float(value))[0] for value in xs])
        title = "the curve, and its slope at x"
    axes.plot(xs, ys, color="#1f6feb", linewidth=2)
    axes.set_xlim(xs.min(), xs.max())
    wide = 0.18 * np.ptp(xs)
    axes.plot([x - wide, x + wide], [y - slope * wide, y + slope * wide], color=MARK, linewidth=1.2, linestyle="--")
    axes.plot([x], [y], "o", color=MARK, markersize=8)
    outer.set_axis_off()
    outer.set_title(title, fontsize=10, color=INK, loc="left", pad=6)
    axes.set_xlabel(
        plain(f"x = {number(x)}, from {one.sources[0]} {places(found.at[0].tolist())}"), loc="left", **SMALL
    )
    axes.tick_params(labelsize=8, colors=PALE)
    low, high = float(min(ys.min(), y)), float(max(ys.max(), y))
    axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    axes.grid(color=RULE, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return True


def _bars(axes: Axes, one: Unit) -> None:
    """The largest terms, each with what it is made of."""
    found = one.terms
    chosen = largest(found.values, BARS)
    several = len(set(one.sources)) > 1
    left = len(found.values) - len(chosen)
    rest = "" if not left else f"and {left:,} more, which add up to {number(np.delete(found.values, chosen).sum())}"
    origin = f"from {one.sources[0]}" if not several else "at the same place"
    row_of_bars(axes, _names(one, chosen), found.values[chosen], f"{found.word}, {origin}", rest)


def _names(one: Unit, chosen: Whole) -> list[str]:
    """Where the chosen terms read; with the name of what made them, if they are of several."""
    found, several = one.terms, len(set(one.sources)) > 1
    sources = [one.sources[0 if found.source is None else int(found.source[t])] for t in chosen.tolist()]
    at = [places(found.at[t].tolist()) for t in chosen.tolist()]
    return [f"{source} {place}" if several else place for source, place in zip(sources, at, strict=True)]


def _sum(axes: Axes, one: Unit) -> None:
    found = one.terms
    lines: list[tuple[str, str, str]] = []
    if found.total is not None and len(found.x) > 1:
        lines.append((f"sum of {len(found.x):,}", number(found.total), INK))
    if found.bias is not None and found.word == "w·x":
        lines.append(("+ bias b", number(found.bias), INK))
    lines += [(what, number(value), PALE) for what, value in found.lines]
    if found.winner is not None:
        lines.append(("at", places(found.at[found.winner].tolist()), PALE))
    lines += [("y by hand", number(found.result), MARK), ("torch", number(one.torch), INK),
              ("difference", f"{one.difference:.0e}", PALE)]  # fmt: skip
    for t in one.then:
        lines.append((f"then {t.kind}", number(t.result), INK))
    list_numbers(axes, "the sum" if found.total is not None else "the value", lines)


def _told(axes: Axes, one: Unit) -> None:
    if not one.told:
        axes.set_axis_off()
        said = (
            "L is this unit"
            if one.g == 1
            else "Nothing reads it but L itself"
            if one.g
            else "L does not depend on this unit here"
        )
        axes.set_title(f"{said}:  dL/dy = {number(one.g)}", fontsize=10, color=INK, loc="left", pad=6)
        return
    shown = one.told[:BARS]
    rest = sum(t.told for t in one.told[len(shown) :])
    more = (
        f"and {len(one.told) - len(shown):,} more, which add up to {number(rest)}" if len(one.told) > len(shown) else ""
    )
    names, values = [f"{t.layer} {places(t.at)}" for t in shown], np.array([t.told for t in shown])
    by = f"{len(one.told):,} unit{'s' if len(one.told) > 1 else ''}"
    row_of_bars(axes, names, values, f"dL/dy = {number(one.g)}, told by {by}: dL/dr · dr/dy", more)


def _handed_on(left: Axes, right: Axes, one: Unit, channels: Whole | None) -> None:
    """What the unit tells its inputs, and what it adds to its weights."""
    found = one.terms
    to_input = one.g * found.slopes
    to_weight = None if found.weight_slopes is None else one.g * found.weight_slopes
    if channels is not None and one.patch is not None:
        tiles(left, to_input.reshape(one.patch)[channels], SIGNED, "to the inputs")
        if to_weight is None:
            right.set_axis_off()
        else:
            tiles(right, to_weight.reshape(one.patch)[channels], SIGNED, "added to the kernel: dL/dy · x")
        return
    if len(found.x) == 1:
        left.set_axis_off()
        right.set_axis_off()
        return
    few = largest(to_input, BARS)
    row_of_bars(left, _names(one, few), to_input[few], "to the inputs", "")
    if to_weight is None or found.weight_at is None:
        right.set_axis_off()
        return
    few = largest(to_weight, BARS)
    names = [places(found.weight_at[t].tolist()) for t in few.tolist()]
    row_of_bars(right, names, to_weight[few], "added to the weights", "")


def _learnt(axes: Axes, one: Unit) -> None:
    lines = [("dL/dy", number(one.g), MARK)]
    lines += [("sum of what it is told", number(one.g_by_hand), INK)] if one.told else []
    if len(one.terms.x) == 1:
        lines.append(("to its input", number(float(one.g * one.terms.slopes[0])), INK))
        if one.terms.weight_slopes is not None and one.terms.weight_at is not None:
            where = places(one.terms.weight_at[0].tolist())
            lines.append((f"to {one.terms.weight}[{where}]", number(float(one.g * one.terms.weight_slopes[0])), INK))
    lines += [(f"to {name}", number(one.g * slope), INK) for name, slope in one.terms.parameter_slopes.items()]
    if one.terms.weight_slopes is not None and len(one.terms.x) > 1:
        changed = np.abs(one.g * one.terms.weight_slopes)
        lines.append(("to the kernel, at most", number(float(changed.max())), PALE))
    list_numbers(axes, "what it learns" if len(lines) > 1 else "the gradient", lines)
