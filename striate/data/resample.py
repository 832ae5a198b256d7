"""Resizing of bytes with a filter that widens where the image shrinks: by Pillow, or by torch where that is faster.

Both weigh the same pixels by the same filter, and round once or twice: they are at most 2 of 255 apart, most often 0.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

FILTERS: Mapping[str, Image.Resampling] = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "box", "bilinear", "bicubic", "lanczos")
}
_TORCH = {"bilinear", "bicubic"}  # what torch computes on bytes
_WASTE = 3  # times the pixels that are kept, from which on resizing all of an image to cut its middle out is slower


def resize(image: NDArray[np.uint8], height: int, width: int, interpolation: str) -> NDArray[np.uint8]:
    """(H, W, C) -> (height, width, C)."""
    return cut_out(image, (height, width), (0, 0), (height, width), interpolation)


def cut_out(
    image: NDArray[np.uint8], whole: tuple[int, int], corner: tuple[int, int], size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    """(H, W, 1 or 3), resized to `whole` (height, width) -> of that, `size` from `corner` (top, left) on."""
    (top, left), (h, w) = corner, size
    if image.shape[2] == 3 and interpolation in _TORCH and whole[0] * whole[1] <= _WASTE * h * w:
        planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
        resized = functional.interpolate(planes, whole, mode=interpolation, antialias=True)[0]
        return resized.permute(1, 2, 0).numpy()[top : top + h, left : left + w]
    high, wide = image.shape[:2]
    box = (left * wide / whole[1], top * high / whole[0], (left + w) * wide / whole[1], (top + h) * high / whole[0])
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    done = np.asarray(picture.resize((w, h), FILTERS[interpolation], box=box))
    return done[:, :, None] if done.ndim == 2 else done
