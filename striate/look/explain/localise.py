"""From a map to a place: the box and the outline of what is bright in it, and how well they fit a known box.

    bright = the largest connected part of the places where map >= share * maximum

Source: Zhou et al. 2015, arXiv:1512.04150, section 3.2 (largest part, threshold relative to the maximum); the pointing
game: Zhang et al. 2016, arXiv:1608.00507, section 4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from striate.errors import ShapeError, UsageError

SHARE = 0.5  # of the maximum


class Box(NamedTuple):
    """Pixels of an image: as `Preprocess.cut` takes them."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Place:
    """Where a map is bright."""

    box: Box
    outline: tuple[tuple[int, int], ...]  # (x, y) of the corners in pixels, clockwise; the last goes on to the first
    pixels: int  # inside the outline, holes left out
    peak: tuple[int, int]  # (row, column) of the largest value
    share: float  # of the maximum, from which on a place counts as bright


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) at the size (H, W) of the image, interpolated linearly between the middles of their places."""
    return functional.interpolate(maps[:, None].float(), size=size, mode="bilinear")[:, 0]


def locate(map_: NDArray[np.floating], share: float = SHARE) -> Place | None:
    """A map (H, W) -> the place of its largest bright part; None where nothing in it is above zero.

    >>> found = locate(np.array([[0.0, 0.9, 0.1], [0.0, 1.0, 0.0]]))
    >>> found.box, found.outline, found.peak
    (Box(top=0, left=1, height=2, width=1), ((1, 0), (2, 0), (2, 2), (1, 2)), (1, 1))

    Raises: ShapeError for something else than a map; UsageError for a share outside of 0 (excluded) to 1.
    """
    if map_.ndim != 2 or 0 in map_.shape:
        raise ShapeError(f"a map of shape {map_.shape}; expected (H, W)")
    if not 0 < share <= 1:
        raise UsageError(f"share = {share}; expected a part of the maximum, above 0 and at most 1")
    top = float(map_.max())
    if not top > 0:
        return None
    part = _largest_part(map_ >= share * top)
    rows, columns = np.nonzero(part)
    box = Box(
        int(rows.min()), int(columns.min()),
        int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1,
    )  # fmt: skip
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    return Place(box, _outline(part), int(part.sum()), (int(row), int(column)), share)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1.

    >>> iou(Box(0, 0, 2, 2), Box(0, 1, 2, 2))
    0.3333333333333333
    """
    tall = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    wide = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    both = max(0, tall) * max(0, wide)
    return both / (a.height * a.width + b.height * b.width - both)


def points_into(map_: NDArray[np.floating], box: Box, tolerance: int = 0) -> bool:
    """Whether the largest value of a map (H, W) lies in the box, or within `tolerance` pixels of it: the pointing game.

    A map whose largest value is not above zero points nowhere.
    """
    if not map_.max() > 0:
        return False
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    return bool(
        box.top - tolerance <= row < box.top + box.height + tolerance
        and box.left - tolerance <= column < box.left + box.width + tolerance
    )


def _largest_part(bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the parts that hang together by their sides, the one with the most places."""
    left, best = bright.copy(), np.zeros_like(bright)
    while left.any():
        part = np.zeros_like(left)
        part[np.unravel_index(int(left.argmax()), left.shape)] = True
        size = 0
        while size < (size := int(part.sum())):  # grows along rows and columns as far as it goes, until it stands still
            part = _run(_run(part, left).T, left.T).T
        if size > best.sum():
            best = part
        left &= ~part
    return best


def _run(part: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The part, and in each row all that can be reached from it through what is allowed."""
    run = np.cumsum(~allowed, axis=1) + np.arange(len(allowed))[:, None] * (allowed.shape[1] + 1)
    reached = np.zeros(int(run.max()) + 1, bool)  # each stretch of allowed places in a row has a number of its own
    reached[run[part]] = True
    whole: NDArray[np.bool_] = reached[run] & allowed
    return whole


def _outline(part: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """The corners of the longest border of a connected part, which is the outer one, clockwise."""
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, end in _sides(part):
        steps.setdefault(start, []).append(end)
    loops = []
    while steps:
        first = next(iter(steps))
        loop, at, came = [first], first, (0, 0)
        while True:
            ways = steps[at]
            # where two places touch at a corner, turning right stays with the same place
            way = max(ways, key=lambda to: came[0] * (to[1] - at[1]) - came[1] * (to[0] - at[0]))
            ways.remove(way)
            if not ways:
                del steps[at]
            came, at = (way[0] - at[0], way[1] - at[1]), way
            if at == first:
                break
            loop.append(at)
        loops.append(loop)
    loop = max(loops, key=lambda points: max(x for x, _ in points) - min(x for x, _ in points))
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1], strict=True)
    return tuple(b for a, b, c in around if (b[0] - a[0]) * (c[1] - b[1]) != (b[1] - a[1]) * (c[0] - b[0]))


def _sides(part: NDArray[np.bool_]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The sides between the part and what is not, as ((x, y), (x, y)) with the part at the right hand."""
    padded = np.pad(part, 1)
    inside = padded[1:-1, 1:-1]
    for y, x in np.argwhere(inside & ~padded[:-2, 1:-1]).tolist():
        yield (x, y), (x + 1, y)
    for y, x in np.argwhere(inside & ~padded[1:-1, 2:]).tolist():
        yield (x + 1, y), (x + 1, y + 1)
    for y, x in np.argwhere(inside & ~padded[2:, 1:-1]).tolist():
        yield (x + 1, y + 1), (x, y + 1)
    for y, x in np.argwhere(inside & ~padded[1:-1, :-2]).tolist():
        yield (x, y + 1), (x, y)
