"""Rectangles to cut out of the source, to cover, to fill with noise: top, left, height, width, in pixels."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.augment.draw import Draw, Floats, each

Boxes = NDArray[np.int64]  # (N, 4)

ATTEMPTS = 10  # to find a rectangle that fits, as torchvision
ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)


def source_boxes(draw: Draw, sizes: ArrayLike, scale: float, ratio: tuple[float, float]) -> Floats:
    """The part to cut out of each source: sizes (N, 2) of height, width -> (N, 4), whole numbers.

    Its share of the area lies evenly in scale .. 1, the logarithm of width / height evenly over its range. Where ten
    attempts do not fit into the image, it is the largest part in the middle that respects the ratio.

    Source: Szegedy et al. 2015, "Going deeper with convolutions", section 6; torchvision's RandomResizedCrop.
    """
    side = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
    heights, widths, fits = _rectangles(draw, "resized_crop", side, (scale, 1.0), ratio)
    lacks = ~fits
    tall, wide = side[:, 0], side[:, 1]
    heights = np.where(lacks, np.minimum(tall, np.maximum(1, np.rint(wide / ratio[0]))), heights)
    widths = np.where(lacks, np.minimum(wide, np.maximum(1, np.rint(tall * ratio[1]))), widths)
    place = draw.uniform("resized_crop/place", 2)
    top = np.where(lacks, np.floor((tall - heights) / 2), np.floor(place[:, 0] * (tall - heights + 1)))
    left = np.where(lacks, np.floor((wide - widths) / 2), np.floor(place[:, 1] * (wide - widths + 1)))
    return np.stack([top, left, heights, widths], axis=1)


def cutout_boxes(draw: Draw, side: float, height: int, width: int) -> Boxes:
    """Squares about a centre anywhere in the image, so that some of them are cut off by its border: (N, 4)."""
    pixels = max(1, round(side * min(height, width) if side < 1 else side))
    middle = np.floor(draw.uniform("cutout", 2) * [height, width]).astype(np.int64)
    start = np.maximum(middle - pixels // 2, 0)
    end = np.minimum(middle - pixels // 2 + pixels, [height, width])
    return np.concatenate([start, end - start], axis=1)


def erased_boxes(draw: Draw, probability: float, height: int, width: int) -> Boxes:
    """Rectangles of 2 to 33 % of the area, whole inside the image; of height 0 where nothing is erased: (N, 4).

    Source: Zhong et al. 2020, "Random erasing data augmentation", algorithm 1; torchvision's ranges.
    """
    side = np.tile([float(height), float(width)], (len(draw), 1))
    heights, widths, fits = _rectangles(draw, "erasing/size", side, ERASED_AREA, ERASED_RATIO)
    asked = draw.uniform("erasing")[:, 0] < probability
    place = draw.uniform("erasing/place", 2)
    boxes = np.stack(
        [np.floor(place[:, 0] * (height - heights + 1)), np.floor(place[:, 1] * (width - widths + 1)), heights, widths],
        axis=1,
    )
    return np.where((fits & asked)[:, None], boxes, 0).astype(np.int64)


def _rectangles(
    draw: Draw, stream: str, side: Floats, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The first of ten random rectangles that fits: heights, widths, and whether one did, (N,) each."""
    u = draw.uniform(stream, 2 * ATTEMPTS).reshape(len(draw), ATTEMPTS, 2)
    size = (side[:, 0] * side[:, 1])[:, None] * (area[0] + (area[1] - area[0]) * u[:, :, 0])
    log_low, log_high = math.log(ratio[0]), math.log(ratio[1])
    shape = each(math.exp, log_low + (log_high - log_low) * u[:, :, 1])
    heights, widths = np.rint(np.sqrt(size / shape)), np.rint(np.sqrt(size * shape))
    fits = (heights >= 1) & (widths >= 1) & (heights <= side[:, 0:1]) & (widths <= side[:, 1:2])
    first = (np.arange(len(draw)), fits.argmax(axis=1))
    return heights[first], widths[first], fits[first]
