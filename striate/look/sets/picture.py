"""Pictures of whole sets: the map of an embedding, confused pairs, probes against depth."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image, ImageDraw

from striate.data.wording import plural
from striate.look.cells import fit, fitted, framed, rgb
from striate.look.explain.picture import INK, PAPER, RULE, SOFT
from striate.look.sets.embedding import Embedding
from striate.look.sets.pairs import Pairs
from striate.look.sets.probes import IMAGE, Probes
from striate.look.sheet import font_of, wrapped

# Okabe & Ito 2008, "Color Universal Design", without black and with the yellow darkened for light paper
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a100")
SHAPES = ("o", "^", "s")  # in turn, like the colours: neighbours in the legend differ in both
COLOURED = 14  # classes; of more, the most frequent
REST = "#c9c4b6"
TITLES = {"pca": "principal components", "tsne": "t-SNE", "umap": "UMAP"}
CELL, GAP, EDGE, MIDDLE = 104, 10, 22, 34  # pixels, of the pairs
THUMBNAILS = 0.34  # inches
BAR, CHANCE = "#10758c", "#8a8577"


def draw_embedding(found: Embedding, who: str = "", *, thumbnails: bool = False) -> Figure:
    """Each image a point in the colour and shape of its class, or the image itself where there is room."""
    split, classes = found.features.split, found.features.classes
    counts = np.bincount(split.labels, minlength=len(classes))
    frequent = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    named = sorted(frequent[:COLOURED])
    left_out = len(frequent) - len(named)
    figure = Figure(figsize=(10.4, 7.9), facecolor=PAPER)  # without pyplot: no window, no global state
    figure.text(0.035, 0.955, f"Images as the network sees them, {TITLES[found.method]}", fontsize=17, color=INK,
                weight="bold", va="center")  # fmt: skip
    about = textwrap.wrap("  ·  ".join(w for w in (who, *_how(found)) if w), 118)[:2]
    figure.text(0.035, 0.93, _plain("\n".join(about)), fontsize=10, color=SOFT, va="top", linespacing=1.4)
    axes = figure.add_axes((0.035, 0.07, 0.72, 0.81))
    _ground(axes, found)
    rest = ~np.isin(split.labels, named)
    if rest.any():
        axes.scatter(found.points[rest, 0], found.points[rest, 1], s=9, color=REST, linewidths=0, zorder=1)
    size = 26 if len(split) < 1000 else 13 if len(split) < 3000 else 7
    handles = []
    for place, label in enumerate(named):
        colour, shape = COLOURS[place % len(COLOURS)], SHAPES[place % len(SHAPES)]
        chosen = split.labels == label
        axes.scatter(
            found.points[chosen, 0],
            found.points[chosen, 1],
            s=size,
            color=colour,
            marker=shape,
            alpha=0.75,
            linewidths=0,
            zorder=2,
        )
        words = _plain(f"{_begin(classes[label], 17)}  ({int(counts[label]):,})")
        handles.append(Line2D([], [], color=colour, marker=shape, linestyle="", markersize=7, label=words))
    if thumbnails:
        _thumbnails(axes, found, named)
    if left_out:
        words = f"{left_out:,} others  ({int(rest.sum()):,})"
        handles.append(Line2D([], [], color=REST, marker="o", linestyle="", markersize=5, label=words))
    legend = figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.765, 0.885), frameon=False, fontsize=10,
        labelcolor=INK, handletextpad=0.4, labelspacing=0.55, borderpad=0,
    )  # fmt: skip
    legend.set_in_layout(False)
    warn = {
        "pca": "Distances are true as far as the shares of the variance go.",
        "tsne": "Neighbours are alike; sizes of clusters and distances between them say nothing.",
        "umap": "Neighbours are alike; sizes of clusters and distances between them say nothing.",
    }[found.method]
    if left_out:
        warn = f"{warn} The {len(named)} most frequent classes have a colour."
    figure.text(0.035, 0.03, warn, fontsize=9, color=SOFT, va="center")
    return figure


def draw_pairs(found: Pairs, who: str = "") -> Image.Image:
    """A row a pair: images of the first class that were called the second, and the other way."""
    title, strong, text, small = font_of(22), font_of(15), font_of(14), font_of(11)
    across = max((len(way.examples) for pair in found.pairs for way in pair.ways), default=1)
    across = max(3, across)
    half = across * (CELL + GAP) - GAP
    width = 2 * EDGE + 2 * half + MIDDLE
    wrong = found.images - found.right
    about = f"{wrong:,} of {plural(found.images, 'image')} called something else"
    head = [line for line in wrapped("  ·  ".join(w for w in (who, about) if w), text, width - 2 * EDGE)]
    top, row = EDGE + 38 + 21 * len(head) + 10, CELL + 76
    sheet = Image.new("RGB", (width, top + max(1, len(found.pairs)) * row + 4), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((EDGE, EDGE - 4), "Taken for each other most", INK, title)
    for i, line in enumerate(head):
        draw.text((EDGE, EDGE + 32 + 21 * i), line, SOFT, text)
    if not found.pairs:
        draw.text((EDGE, top + 20), "No image was called anything else than it is.", INK, strong)
    for r, pair in enumerate(found.pairs):
        y = top + r * row
        draw.line((EDGE, y, width - EDGE, y), RULE)
        for side, way in enumerate(pair.ways):
            x = EDGE + side * (half + MIDDLE)
            room = (half - round(strong.getlength("“” called “”"))) // 2
            words = f"“{fit(way.truth, strong, room)}” called “{fit(way.predicted, strong, room)}”"
            draw.text((x, y + 8), words, INK, strong)
            draw.text((x, y + 28), f"{way.count:,} of {way.images:,}", SOFT, small)
            for i, (image, sure) in enumerate(zip(way.examples, way.probabilities, strict=True)):
                at = x + i * (CELL + GAP)
                framed(sheet, fitted(found.split.images.read(image), CELL), at, y + 48, CELL)
                draw.text((at, y + 48 + CELL + 4), f"{100 * sure:.0f} % sure", SOFT, small)
    return sheet


def draw_probes(found: Probes, who: str = "") -> Figure:
    """Accuracy against depth, with its interval; dashed, always saying the most frequent class."""
    n = len(found.probes)
    figure = Figure(figsize=(max(7.4, 2.2 + 0.95 * n), 4.7), facecolor=PAPER)
    width, height = figure.get_size_inches()
    figure.text(0.35 / width, 1 - 0.4 / height, "What a linear classifier can read off each step", fontsize=17,
                color=INK, weight="bold", va="center")  # fmt: skip
    about = (f"trained on {plural(found.trained_on, 'image')}, tested on {found.images:,} ({found.role})",
             f"{len(found.classes):,} classes")  # fmt: skip
    figure.text(0.35 / width, 1 - 0.72 / height, _plain("  ·  ".join(w for w in (who, *about) if w)), fontsize=10,
                color=SOFT, va="center")  # fmt: skip
    axes = figure.add_axes((0.75 / width, 0.72 / height, 1 - 1.15 / width, 1 - 1.92 / height))
    shares = [probe.accuracy for probe in found.probes]
    values = [100 * share.value for share in shares]
    errors = [[100 * (s.value - s.low) for s in shares], [100 * (s.high - s.value) for s in shares]]
    axes.axhline(100 * found.chance.value, color=CHANCE, linewidth=1.2, linestyle="--", zorder=1)
    axes.errorbar(range(n), values, yerr=errors, color=BAR, linewidth=1.8, marker="o", markersize=6, capsize=4,
                  elinewidth=1.2, zorder=2)  # fmt: skip
    for i, value in enumerate(values):
        high = value + errors[1][i]
        axes.annotate(f"{value:.1f}", (i, high), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9,
                      color=INK)  # fmt: skip
    low, high = min(100 * found.chance.value, *(100 * s.low for s in shares)), max(100 * s.high for s in shares)
    room = max(2.0, high - low)
    axes.set_ylim(max(-2.0, low - 0.08 * room), high + 0.16 * room)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_xticks(range(n))
    axes.set_xticklabels([_plain(_label(probe.step, probe.features)) for probe in found.probes], fontsize=8.5)
    said = "accuracy in %, with 95 % intervals;  dashed: always the most frequent class"
    axes.set_title(said, fontsize=9.5, color=INK, loc="left", pad=8)
    _axes(axes)
    return figure


def _how(found: Embedding) -> tuple[str, ...]:
    features = found.features
    n = len(features.split)
    chosen = (
        plural(n, "image") if n == features.of else f"{n:,} of {features.of:,} images, drawn with seed {found.seed}"
    )
    return chosen, f"{features.values.shape[1]:,} features, the input of {features.head}"


def _ground(axes: Axes, found: Embedding) -> None:
    axes.set_facecolor("#ffffff")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(RULE)
    if found.shares is not None:
        axes.set_xlabel(f"first component, {100 * found.shares[0]:.1f} % of the variance", fontsize=9, color=SOFT)
        axes.set_ylabel(f"second component, {100 * found.shares[1]:.1f} %", fontsize=9, color=SOFT, labelpad=3)
    axes.margins(0.04)


def _thumbnails(axes: Axes, found: Embedding, named: Sequence[int]) -> None:
    """The images themselves, in stored order, each where it covers none of those before."""
    figure = axes.figure
    box = axes.get_position()
    width, height = figure.get_size_inches()  # type: ignore[union-attr]
    low, high = found.points.min(0), found.points.max(0)
    size = np.array([box.width * width, box.height * height]) * 0.92
    places = (found.points - low) / np.maximum(high - low, 1e-12) * size
    taken: set[tuple[int, int]] = set()
    put: list[np.ndarray] = []
    for i, place in enumerate(places):
        cell = (int(place[0] // THUMBNAILS), int(place[1] // THUMBNAILS))
        if cell in taken or any(np.abs(place - other).max() < THUMBNAILS * 1.08 for other in put):
            continue
        taken.add(cell)
        put.append(place)
        label = int(found.features.split.labels[i])
        colour = COLOURS[named.index(label) % len(COLOURS)] if label in named else REST
        picture = rgb(found.features.split.images.read(i))
        picture.thumbnail((96, 96))
        shown = OffsetImage(np.asarray(picture), zoom=72 * THUMBNAILS / max(picture.size))
        frame = AnnotationBbox(shown, tuple(found.points[i]), pad=0.06, bboxprops={"edgecolor": colour, "lw": 1.6})
        frame.set_zorder(3)
        axes.add_artist(frame)


def _label(step: str, features: int) -> str:
    return f"{_cut(step, 14)}\n{features:,} numbers" if step != IMAGE else f"{step}\n{features:,} numbers"


def _axes(axes: Axes) -> None:
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=SOFT, labelsize=8.5, color=RULE, length=2.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)


def _cut(words: str, most: int) -> str:
    """Of a long name the end, which is what tells steps apart."""
    return words if len(words) <= most else f"…{words[1 - most :]}"


def _begin(words: str, most: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _plain(words: str) -> str:
    return words.replace("$", r"\$")  # a dollar would begin a formula
