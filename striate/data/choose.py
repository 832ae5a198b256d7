"""The preprocessing that fits a data set and a network, where the user has not said.

The rule looks at shapes only, so that it can be explained in a sentence; mean and deviation are computed from the
training images, exactly (in whole numbers), so that they do not depend on who adds up first.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Interpolation, Order, Preprocess, Resize


@dataclass(frozen=True)
class Choice:
    """A preprocessing and why it was chosen."""

    preprocess: Preprocess
    why: str


def choose(
    train: Split,
    sizes: NDArray[np.int64],
    *,
    size: tuple[int, int],
    channels: int,
    resize: Resize | None = None,
    interpolation: Interpolation = "bilinear",
) -> Choice:
    """A rule for images of `sizes` (N, 2) height and width, and a network that sees `size` with `channels`."""
    order: Order = "gray" if channels == 1 else "rgb"
    if resize is None:
        resize, why = _resize(sizes, size)
    else:
        why = "as asked for"
    blank = (0.0,) * channels, (1.0,) * channels
    fixed = Preprocess(size=size, resize=resize, interpolation=interpolation, order=order, mean=blank[0], std=blank[1])
    mean, std = statistics(train, fixed)
    return Choice(replace(fixed, mean=mean, std=std), why)


def statistics(split: Split, preprocess: Preprocess, most: int = 2000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel, of pixels in 0..1 after resizing, to four digits.

    Taken over at most `most` images, evenly spread. A channel of one value everywhere gets deviation 1.
    """
    step = max(1, -(-len(split) // most)) if not isinstance(split.images, ArrayImages) else 1
    chosen = range(0, len(split), step)
    counts = np.zeros((preprocess.channels, 256), dtype=np.int64)
    at_once = preprocess.all_pixels(split.images.pixels) if isinstance(split.images, ArrayImages) else None
    for c in range(preprocess.channels):
        if at_once is not None:
            counts[c] = np.bincount(at_once[:, c].ravel(), minlength=256)
    if at_once is None:
        for i in chosen:
            planes = preprocess.pixels(split.images.read(i))
            for c in range(preprocess.channels):
                counts[c] += np.bincount(planes[c].ravel(), minlength=256)
    values = np.arange(256) / 255
    n = counts.sum(axis=1)
    mean = (counts * values).sum(axis=1) / n
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / n)
    std = np.where(std < 1e-3, 1.0, std)
    return tuple(round(float(m), 4) for m in mean), tuple(round(float(s), 4) for s in std)


def _resize(sizes: NDArray[np.int64], size: tuple[int, int]) -> tuple[Resize, str]:
    heights, widths = sizes[:, 0], sizes[:, 1]
    h, w = size
    if (heights == heights[0]).all() and (widths == widths[0]).all():
        height, width = int(heights[0]), int(widths[0])
        if (height, width) == size:
            return "stretch", "the images have the size that the network sees"
        if 0.8 * h <= height <= h and 0.8 * w <= width <= w:
            return "pad", f"all images are {width}x{height} px, a little smaller than the network's {w}x{h}"
        return "stretch", f"all images are {width}x{height} px"
    aspect = (widths / heights) / (w / h)
    spread = float(np.quantile(np.maximum(aspect, 1 / aspect), 0.9))
    if spread <= 1.1:
        return "stretch", f"nine of ten images have the network's shape within {spread - 1:.0%}"
    if spread <= 1.8:
        return "crop", f"nine of ten images are at most {spread:.2f} times longer than the network's shape"
    return (
        "letterbox",
        f"one image in ten is more than {spread:.2f} times longer than the network's shape, and a crop would cut it",
    )
