"""The picture of an explanation: a row an image, with the map over it, where it points, and how far to trust it."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle
from numpy.typing import NDArray

from striate.look.explain.explained import Explained

INK, SOFT, PAPER, RULE = "#1c1e21", "#5d6269", "#fdfcf9", "#ded8ca"
WARN, ON_WARN, WARN_EDGE = "#fdf0dc", "#7a3b06", "#e0a04e"
BRIGHT, SIGNED, PLACE, HALO = "inferno", "RdBu_r", "#39d0f0", "#0b2b33"
SIDE = 2.75  # inches, of an image
MOST = 0.85  # how much of the image the brightest place covers
Rgb = NDArray[np.float64]


def draw_explained(found: Explained, who: str = "") -> Figure:
    """The figure; `who` says which network it is about."""
    rows = len(found.names)
    warnings = [line for text in found.warnings for line in ("\n".join(textwrap.wrap(f"!  {text}", 116)),)]
    lines = sum(text.count("\n") + 1 for text in warnings)
    tests = found.randomisation is not None or found.faithful is not None
    foot = (0.24 * lines + 0.34 if warnings else 0.0) + (1.95 if tests else 0.0) + 0.2
    top, row = 0.72, SIDE + 0.62
    width, height = 3 * SIDE + 1.1, top + rows * row + foot
    figure = Figure(figsize=(width, height), facecolor=PAPER)  # without pyplot: no window, no global state
    left = 0.45 / width
    figure.text(left, 1 - 0.42 / height, _plain(_headline(found)), fontsize=17, color=INK, weight="bold", va="center")
    figure.text(left, 1 - 0.74 / height, _plain(_subtitle(found, who)), fontsize=10, color=SOFT, va="center")
    grid = figure.add_gridspec(
        rows, 3, left=left, right=1 - left, top=1 - (top + 0.42) / height, bottom=(foot + 0.12) / height, wspace=0.07,
        hspace=0.62 / SIDE,
    )  # fmt: skip
    for i in range(rows):
        _row(figure, [grid[i, j] for j in range(3)], found, i)
    if warnings:
        deep = (0.24 * lines + 0.18) / height
        low = 0.2 / height
        shape = FancyBboxPatch(
            (left, low), 1 - 2 * left, deep, boxstyle="round,pad=0,rounding_size=0.008", facecolor=WARN,
            edgecolor=WARN_EDGE, linewidth=0.9, transform=figure.transFigure, mutation_aspect=width / height,
        )  # fmt: skip
        figure.add_artist(shape)
        figure.text(
            left + 0.14 / width, low + deep / 2, _plain("\n".join(warnings)), fontsize=9.5, color=ON_WARN, va="center",
            linespacing=1.45,
        )  # fmt: skip
    if tests:
        _tests(figure, found, left, (foot - 1.5) / height, 1.05 / height)
    return figure


def over(image: NDArray[np.uint8], map_: NDArray[np.float64]) -> Rgb:
    """An image (H, W, 1 or 3) in gray, with a map (H, W) in 0..1 shining over it, (H, W, 3) in 0..1."""
    gray = image.astype(np.float64).mean(axis=2) / 255
    lifted = np.repeat((0.12 + 0.8 * gray)[:, :, None], 3, axis=2)
    colour = colormaps[BRIGHT](0.25 + 0.7 * map_)[:, :, :3]
    share = MOST * np.clip(map_, 0, 1)[:, :, None]
    mixed: Rgb = lifted * (1 - share) + colour * share
    return mixed


def _headline(found: Explained) -> str:
    classes = sorted(set(found.about))
    return f"{found.title} for “{_short(classes[0], 40)}”" if len(classes) == 1 else found.title


def _subtitle(found: Explained, who: str) -> str:
    parts = [who] if who else []
    if found.layer is not None:
        places = f", {found.grid[0]} × {found.grid[1]} places" if found.grid else ""
        parts.append(f"layer {found.layer}{places}")
    if found.error is not None:
        parts.append(f"sums miss the score by at most {max(map(abs, found.error)):.2g} logits")
    parts.append("the score is the logit of the class")
    return "  ·  ".join(parts)


def _row(figure: Figure, where: list[SubplotSpec], found: Explained, i: int) -> None:
    image, map_ = found.pixels[i], found.maps[i].double().cpu().numpy()
    left, middle, right = (figure.add_subplot(place) for place in where)
    sure = f"{100 * found.probabilities[i]:.1f} %"
    wrong = "" if found.about[i] == found.predicted[i] else f"; predicted: {found.predicted[i]}"
    _show(
        left, image, _short(Path(found.names[i]).name, 34), _short(f"{_short(found.about[i], 24)}: {sure}{wrong}", 44)
    )
    if found.values is None:
        _show(middle, over(image, map_), "where the evidence is", "brighter: more evidence, 1 at the maximum")
        _place(right, found, i, image)
        return
    values = found.values[i].double().cpu().numpy()
    shown, title, said = pattern(values, map_, found.signed)
    _show(middle, shown, title, said)
    size = np.abs(map_)
    strong = float(np.quantile(size, 0.995)) or 1.0
    _show(
        right, over(image, np.clip(size / strong, 0, 1)), "over the image", "the size of each value, whatever its sign"
    )


def pattern(values: Rgb, map_: Rgb, signed: bool) -> tuple[Rgb, str, str]:
    """An attribution (c, H, W) by itself, with the map (H, W) of it: the picture, its title, how to read it."""
    if signed:
        reach = float(np.quantile(np.abs(map_), 0.995)) or 1.0
        return (colormaps[SIGNED](np.clip(map_ / reach, -1, 1) / 2 + 0.5)[:, :, :3],
                "for and against", f"red: for it, blue: against; full at ±{reach:.2g}")  # fmt: skip
    if (values >= 0).all():
        reach = float(np.quantile(map_, 0.995)) or 1.0
        gray = 1 - np.clip(map_ / reach, 0, 1)
        return (
            np.repeat(gray[:, :, None], 3, axis=2),
            "how much each pixel matters",
            f"black: {reach:.2g} logits a unit",
        )
    reach = float(np.quantile(np.abs(values), 0.999)) or 1.0
    shown = np.clip(values / (2 * reach) + 0.5, 0, 1).transpose(1, 2, 0)
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown, "what is handed back", "gray is zero"


def _place(axes: Axes, found: Explained, i: int, image: NDArray[np.uint8]) -> None:
    place = found.places[i]
    if place is None:
        _show(axes, image, "where it points", "nowhere: nothing is positive")
        return
    box = place.box
    said = f"rows {box.top}–{box.top + box.height}, columns {box.left}–{box.left + box.width}"
    _show(axes, image, f"from {100 * place.share:.0f} % of the maximum on", said)
    corner = (box.left - 0.5, box.top - 0.5)
    outline = np.array(place.outline) - 0.5
    for colour, wide in ((HALO, 2.6), (PLACE, 1.3)):
        axes.add_patch(Polygon(outline, closed=True, fill=False, edgecolor=colour, linewidth=wide))
        axes.add_patch(Rectangle(corner, box.width, box.height, fill=False, edgecolor=colour, linewidth=wide,
                                 linestyle=(0, (4, 2.5)) if colour == PLACE else "-"))  # fmt: skip
    axes.plot(place.peak[1], place.peak[0], "o", color=PLACE, markersize=6, markeredgecolor=HALO, markeredgewidth=1.2)


def _show(axes: Axes, image: NDArray[np.generic], title: str, said: str) -> None:
    gray = image.shape[2] == 1
    small = max(image.shape[:2]) < 100
    axes.imshow(image[:, :, 0] if gray else image, cmap="gray", vmin=0, vmax=255 if gray else None,
                interpolation="nearest" if small else "antialiased")  # fmt: skip
    axes.set_title(_plain(title), fontsize=10.5, color=INK, loc="left", pad=5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.set_xlabel(_plain(said), fontsize=8.5, color=SOFT, loc="left", labelpad=4)


def _tests(figure: Figure, found: Explained, left: float, low: float, tall: float) -> None:
    """The tests of the explanation, side by side."""
    wide = (1 - 2 * left - 2 * 0.07) / 3
    boxes = [figure.add_axes((left + 0.03 + k * (wide + 0.055), low, wide, tall)) for k in range(3)]
    if found.randomisation is not None:
        test = found.randomisation
        axes = boxes[0]
        axes.axhspan(0.5, 1.05, xmin=0.5, color=WARN, linewidth=0)
        axes.plot(
            [0, *test.shares],
            [1, *test.means],
            color="#10758c",
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            clip_on=False,
        )
        axes.set_ylim(min(-0.05, *test.means) - 0.02, 1.05)
        axes.set_yticks([0, 0.5, 1])
        _axes(axes, "the map, as weights are lost", "layers randomised, from the top", "rank correlation")
    if found.faithful is not None:
        areas = found.faithful.areas()
        for axes, name, says in (
            (boxes[1], "deletion", "lower is better"),
            (boxes[2], "insertion", "higher is better"),
        ):
            curve = getattr(found.faithful, name).mean(0).numpy()
            chance = getattr(found.faithful, f"{name}_by_chance").mean(0).numpy()
            x = np.linspace(0, 1, len(curve))
            axes.plot(x, chance, color="#a7a297", linewidth=1.2, linestyle="--")
            axes.plot(x, curve, color="#10758c", linewidth=1.6)
            axes.fill_between(x, 0, curve, color="#10758c", alpha=0.12, linewidth=0)
            axes.set_ylim(0, 1.05)
            axes.set_yticks([0, 0.5, 1])
            area, by_chance = float(areas[name].mean()), float(areas[f"{name}_by_chance"].mean())
            _axes(
                axes,
                f"{name}: {area:.2f}, by chance {by_chance:.2f}",
                f"pixels, brightest first ({says})",
                "probability",
            )


def _axes(axes: Axes, title: str, below: str, beside: str) -> None:
    axes.set_facecolor(PAPER)
    axes.set_xlim(0, 1)
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=5)
    axes.set_xlabel(below, fontsize=8, color=SOFT, labelpad=3)
    axes.set_ylabel(beside, fontsize=8, color=SOFT, labelpad=3)
    axes.tick_params(labelsize=7.5, colors=SOFT, length=2.5, color=RULE)
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
    axes.set_xticks([0, 0.5, 1])
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _plain(words: str) -> str:
    return words.replace("$", r"\$")  # a dollar would begin a formula
