"""The pixels of an undoubtful JPEG, straight from libjpeg-turbo: the same as Pillow's, in a third of the time.

Whatever it warns of (data that end early, a marker that is out of place, a sampling that it does not know) is left to
Pillow and the checks around it.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from striate.data.formats.skeleton import Skeleton

_COLOURS = {"L": "GRAY", "RGB": "RGB"}  # CMYK has its own rules
_FILLED = {127, 128}  # the gray of what is missing


def drawn_at_once(skeleton: Skeleton) -> NDArray[np.uint8] | None:
    """(H, W, 1 or 3) as the file stores them; None where another look is needed."""
    if skeleton.mode not in _COLOURS:
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(skeleton.drawing, _COLOURS[skeleton.mode], strict=True)
    except ValueError:
        return None
    if pixels.shape[:2] != (skeleton.height, skeleton.width) or set(pixels[-1, -1].tolist()) <= _FILLED:
        return None
    return pixels
