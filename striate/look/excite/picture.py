"""Pictures of what excites units, and of their receptive fields."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from striate.data.dataset import Pixels
from striate.data.wording import plural
from striate.look.cells import at_least_one, fit, fitted, framed, rgb
from striate.look.excite.effective import Effective
from striate.look.excite.exciting import Exciting, as_seen
from striate.look.excite.sources import in_source
from striate.look.excite.top import Top
from striate.look.explain.picture import HALO, INK, PAPER, PLACE, RULE, SOFT
from striate.look.sheet import font_of, wrapped

ROWS = 32  # channels on a page
CELL, GAP, LEFT, EDGE = 104, 10, 132, 22  # pixels: a picture, between them, for the names, the border
BEYOND = "#e9e4d8"  # what lies outside of the image
ODD = "#9a3412"
THEORY, EFFECT = "#8a8577", "#10758c"


class Read(NamedTuple):
    """What is kept of an image while a page is drawn; the original may be large."""

    seen: Pixels  # by the network
    small: Image.Image
    size: tuple[int, int]  # H, W of the original


def pages(one: Top, rows: int = ROWS) -> list[range]:
    """The rows of a step that stand together on a page."""
    return [range(first, min(first + rows, len(one.channels))) for first in range(0, len(one.channels), rows)]


def draw_top(found: Exciting, one: Top, *, rows: Sequence[int] | None = None, who: str = "") -> Image.Image:
    """A row a channel: the patch that a unit saw, below it the image that the patch is from."""
    rows = range(len(one.channels)) if rows is None else rows
    whole = one.seen.whole
    across = max(one.values.shape[1], 5)
    caption, row_height = 17, (CELL if whole else 2 * CELL + 4) + 17 + 2 * GAP
    title, text, small = font_of(22), font_of(14), font_of(11)
    width = EDGE + LEFT + across * (CELL + GAP) - GAP + EDGE
    under = [line for words in _about(found, one, who) for line in wrapped(words, text, width - 2 * EDGE)]
    head = EDGE + 34 + 21 * len(under) + 12
    sheet = Image.new("RGB", (width, head + max(1, len(rows)) * row_height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((EDGE, EDGE - 4), fit(f"What excites {one.layer} most", title, width - 2 * EDGE), INK, title)
    for i, line in enumerate(under):
        draw.text((EDGE, EDGE + 32 + 21 * i), line, SOFT, text)
    read: dict[int, Read] = {}
    for r, row in enumerate(rows):
        y = head + r * row_height
        draw.line((EDGE, y - GAP + 2, width - EDGE, y - GAP + 2), RULE)
        values = one.values[row].tolist()
        draw.text((EDGE, y + 2), f"{one.channels[row]}", INK, title)
        draw.text((EDGE, y + 32), f"{_number(values[0])} to {_number(values[-1])}", SOFT, small)
        ties = int(one.ties[row])
        if values[0] <= 0:
            draw.text((EDGE, y + 48), "never above 0", ODD, small)
        elif ties > len(values):
            draw.text((EDGE, y + 48), f"{_number(values[0])} in {ties:,} images:", ODD, small)
            draw.text((EDGE, y + 62), "the first are shown", ODD, small)
        for i, value in enumerate(values):
            x, image = EDGE + LEFT + i * (CELL + GAP), int(one.images[row, i])
            if image not in read:
                read[image] = _read(found, image)
            place = (int(one.places[row, i, 0]), int(one.places[row, i, 1]))
            if not whole:
                _patch(sheet, one, read[image].seen, place, x, y)
            _image(sheet, found, one, read[image], place, x, y if whole else y + CELL + 4)
            below, number = y + row_height - 2 * GAP - caption + 2, _number(value)
            draw.text((x + CELL, below), number, SOFT, small, anchor="ra")
            name = found.classes[int(found.split.labels[image])]
            draw.text((x, below), fit(name, small, CELL - round(small.getlength(number)) - 8), INK, small)
    return sheet


def draw_fields(found: Sequence[Effective], image: Pixels, who: str = "") -> Figure:
    """A panel a step: what its middle unit may see, and what changes it; then both against depth."""
    across = min(5, len(found))
    down = -(-len(found) // across)
    cell, side, deep = 2.65, 2.45, 3.05  # inches: a panel with its gap, a panel, a row with its words
    width, top, foot = cell * max(across, 3) + 0.5, 0.95, (2.7 if len(found) > 1 else 0.1)
    height = top + down * deep + foot
    figure = Figure(figsize=(width, height), facecolor=PAPER)  # without pyplot: no window, no global state
    left = 0.35 / width
    figure.text(left, 1 - 0.4 / height, "What a unit sees", fontsize=17, color=INK, weight="bold", va="center")
    over = f"the middle unit of each step, over {plural(found[0].images, 'image')}"
    figure.text(left, 1 - 0.72 / height, _plain("  ·  ".join(w for w in (who, over) if w)), fontsize=10, color=SOFT,
                va="center")  # fmt: skip
    for i, one in enumerate(found):
        row, column = divmod(i, across)
        bottom = 1 - (top + (row + 1) * deep - 0.34) / height
        place = (left + column * cell / width, bottom, side / width, side / height)
        _field(figure.add_axes(place), one, image)
    if len(found) > 1:
        axes = figure.add_axes((left + 0.45 / width, 0.5 / height, 1 - 2 * left - 0.5 / width, (foot - 1.15) / height))
        _curve(axes, found)
    return figure


def _about(found: Exciting, one: Top, who: str) -> list[str]:
    size = one.seen.field.size if one.seen.field else None
    maps = f", maps of {one.seen.grid[0]} × {one.seen.grid[1]} places" if one.seen.grid else ""
    if size is None:
        seen = "it is not known which pixels a unit sees: the whole image is shown"
    elif one.seen.whole:
        seen = "a unit may see the whole image" + ("; the dot is its middle" if _has_middle(one) else "")
    else:
        how = " (measured)" if one.seen.how == "measured" else ""
        seen = f"above, the {size[0]} × {size[1]} pixels that the unit sees{how}; below, the image they are in"
    first = "  ·  ".join(w for w in (who, f"{plural(len(found.split), 'image')} searched{maps}") if w)
    return [first, f"A row a channel, the strongest first. {seen[0].upper()}{seen[1:]}."]


def _read(found: Exciting, image: int) -> Read:
    source = found.split.images.read(image)
    return Read(as_seen(found.preprocess, source), fitted(source, CELL), (source.shape[0], source.shape[1]))


def _has_middle(one: Top) -> bool:
    return one.seen.grid not in (None, (1, 1)) and one.seen.field is not None and not one.seen.field.merged


def _patch(sheet: Image.Image, one: Top, seen: Pixels, place: tuple[int, int], x: int, y: int) -> None:
    """The pixels of the field at the same scale in every cell; what is outside of the image is left blank."""
    window, box = one.seen.window(place), one.seen.box(place)
    if window is None or box is None:
        return
    scale = CELL / max(window.height, window.width)
    frame = Image.new("RGB", (at_least_one(window.width * scale), at_least_one(window.height * scale)), BEYOND)
    cut = seen[box.top : box.top + box.height, box.left : box.left + box.width]
    kind = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    left, top = round((box.left - window.left) * scale), round((box.top - window.top) * scale)
    right = round((box.left + box.width - window.left) * scale)
    bottom = round((box.top + box.height - window.top) * scale)
    frame.paste(rgb(cut).resize((at_least_one(right - left), at_least_one(bottom - top)), kind), (left, top))
    framed(sheet, frame, x, y, CELL)


def _image(sheet: Image.Image, found: Exciting, one: Top, read: Read, place: tuple[int, int], x: int, y: int) -> None:
    """The whole image with a frame around what the unit sees of it, or a dot in its middle."""
    height, width = read.size
    scale, small = CELL / max(height, width), read.small.copy()
    draw = ImageDraw.Draw(small)
    box = one.seen.box(place)
    if box is not None and not one.seen.whole:
        top, left, bottom, right = (v * scale for v in in_source(found.preprocess, (height, width), box))
        corners = (
            round(left),
            round(top),
            max(round(right) - 1, round(left) + 3),
            max(round(bottom) - 1, round(top) + 3),
        )
        draw.rectangle((corners[0] - 1, corners[1] - 1, corners[2] + 1, corners[3] + 1), outline=HALO)
        draw.rectangle(corners, outline=PLACE, width=2)
    elif _has_middle(one):
        window = one.seen.window(place)
        assert window is not None
        middle = (window.top + window.height // 2, window.left + window.width // 2, 1, 1)
        top, left, bottom, right = (v * scale for v in in_source(found.preprocess, (height, width), middle))
        cx, cy = (left + right) / 2, (top + bottom) / 2
        draw.ellipse((cx - 5, cy - 5, cx + 5, cy + 5), fill=HALO)
        draw.ellipse((cx - 3.5, cy - 3.5, cx + 3.5, cy + 3.5), fill=PLACE)
    framed(sheet, small, x, y, CELL)


def _field(axes: Axes, one: Effective, image: Pixels) -> None:
    gray = image.astype(np.float64).mean(axis=2) / 255
    share = np.clip(one.map.double().cpu().numpy() / max(float(one.map.max()), 1e-30), 0, 1) ** 0.5
    lifted = np.repeat((0.2 + 0.75 * gray)[:, :, None], 3, axis=2)
    colour = colormaps["inferno"](0.2 + 0.75 * share)[:, :, :3]
    mixed = lifted * (1 - 0.85 * share[:, :, None]) + colour * 0.85 * share[:, :, None]
    axes.imshow(np.clip(mixed, 0, 1), interpolation="nearest")
    window = one.seen.window(one.place) if one.seen.field else None
    if window is not None:
        for colour_, thick in ((HALO, 3.4), (PLACE, 1.6)):
            axes.add_patch(Rectangle((window.left - 0.5, window.top - 0.5), window.width, window.height, fill=False,
                                     edgecolor=colour_, linewidth=thick, clip_on=True))  # fmt: skip
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(RULE)
    channel = "" if one.channel is None else f", channel {one.channel}"
    axes.set_title(_plain(_cut(f"{one.layer}{channel}", 30)), fontsize=10.5, color=INK, loc="left", pad=5)
    size = one.seen.field.size if one.seen.field else None
    theory = "in theory unknown" if size is None else f"{size[0]} × {size[1]} px {one.seen.how}"
    effect = f"in effect {one.side:.0f}" if one.area else "dead: nothing changes it"
    axes.set_xlabel(f"{theory}; {effect}", fontsize=8.5, color=SOFT, labelpad=5, loc="left")


def _curve(axes: Axes, found: Sequence[Effective]) -> None:
    x = range(len(found))
    theory = [max(one.seen.field.size) if one.seen.field else np.nan for one in found]
    axes.plot(x, theory, color=THEORY, linewidth=1.4, linestyle="--", marker="o", markersize=4)
    axes.plot(x, [one.side for one in found], color=EFFECT, linewidth=2, marker="o", markersize=5)
    limit = max(found[0].seen.image)
    axes.axhline(limit, color=RULE, linewidth=1, zorder=0)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes.set_title("side in pixels:  dashed, in theory;  full, in effect;  the line across, the image", fontsize=9.5,
                   color=INK, loc="left", pad=6)  # fmt: skip
    axes.set_facecolor(PAPER)
    axes.set_xticks(list(x))
    names = [_cut(one.layer, max(8, 84 // len(found))) for one in found]
    axes.set_xticklabels([_plain(name) for name in names], fontsize=8)
    if len(found) > 9:
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))
        axes.xaxis.set_major_formatter(lambda at, _: names[int(at)] if 0 <= at < len(names) else "")
    axes.tick_params(colors=SOFT, labelsize=8, color=RULE, length=2.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _cut(words: str, most: int) -> str:
    """Of a long name the end, which is what tells steps apart."""
    return words if len(words) <= most else f"…{words[1 - most :]}"


def _plain(words: str) -> str:
    return words.replace("$", r"\$")  # a dollar would begin a formula
