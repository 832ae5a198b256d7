"""How much of the image one value sees, stage by stage; and the windows that the first convolution looks through."""

import numpy as np
from numpy.typing import NDArray

from striate.data.wording import plural
from striate.look.excite.effective import Effective
from striate.look.explain.picture import over
from striate.look.filters.kernels import Kernels
from striate.look.markup import Markup, tag
from striate.look.report import pictures
from striate.look.report.looked import Refused
from striate.look.report.parts import absent, figure

ACROSS = 16  # kernels in a row


def fields(found: tuple[Effective, ...] | Refused, seen: NDArray[np.uint8]) -> Markup:
    """The field of the middle unit of each stage, drawn on the first image."""
    title = tag("h3", "How much of the image one value sees")
    if isinstance(found, Refused):
        return tag("section", title, absent(found, "Receptive fields"))
    return tag(
        "section",
        title,
        tag("p", "A value in the middle of each stage can depend on the pixels in the frame, and on no others. The "
            "glow is how much it does: the gradient in each pixel. Mostly that is a hill, smaller than the frame."),
        tag("div", *(_field(one, seen) for one in found), class_="five"),
    )  # fmt: skip


def _field(one: Effective, seen: NDArray[np.uint8]) -> Markup:
    map_ = one.map.double().cpu().numpy()
    glow = map_ / map_.max() if map_.max() > 0 else map_
    shown = pictures.picture(over(seen, glow), f"What the middle unit of {one.layer} depends on")
    box, field = one.seen.box(one.place), one.seen.field
    marks = [] if box is None else [pictures.box(box.left, box.top, box.width, box.height, "frame")]
    theory = "an unknown window" if field is None else f"{field.size[0]} × {field.size[1]} pixels {one.seen.how}"
    grid = f", {one.seen.grid[0]} × {one.seen.grid[1]} places" if one.seen.grid else ""
    return figure(
        pictures.marked(shown, (seen.shape[0], seen.shape[1]), *marks),
        f"{one.layer}{grid}:",
        f"{theory}; in effect about {one.side:.0f} × {one.side:.0f}.",
    )


def first_kernels(found: Kernels | Refused) -> Markup | None:
    """The kernels of the first convolution, where they can be seen as pictures of the image's own kind."""
    if isinstance(found, Refused) or not (found.colour or found.weights.shape[1] == 1):
        return None
    shown = found.pictures()
    tiles = shown if found.colour else shown[:, 0, :, :, None].repeat(3, axis=3)
    count, high, wide = tiles.shape[:3]
    return tag(
        "section",
        tag("h3", "What its first layer looks for"),
        figure(
            pictures.picture(_grid(tiles), f"The {count} kernels of {found.layer}"),
            f"{plural(count, 'kernel')} of {high} × {wide} pixels, layer {found.layer}.",
            "Gray is zero, each on a scale of its own. A kernel answers most to a patch that looks like it: stripes "
            "find edges, blots find colours; what looks like noise has learnt little.",
            class_="kernels",
        ),
    )


def _grid(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tiles (N, h, w, 3) in rows, a clear pixel between them."""
    count, high, wide = tiles.shape[:3]
    across = min(count, ACROSS)
    rows = -(-count // across)
    grid = np.zeros((rows * (high + 1) - 1, across * (wide + 1) - 1, 4), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // across * (high + 1), i % across * (wide + 1)
        grid[top : top + high, left : left + wide] = np.dstack([tile, np.full((high, wide), 255, np.uint8)])
    return grid
