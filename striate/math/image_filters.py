"""Classical filters: kernels that somebody wrote down before networks learnt theirs.

    y[n,c,i,j] = sum over u,v of  x[n,c,i+u-1,j+v-1] * w[u,v]        laid on the image as it is printed (correlation)

Each is a true convolution's kernel in its source; whether it is turned around first matters for the two Sobel kernels
alone, whose answer changes its sign.

Source:  Sobel & Feldman 1968 (in Duda & Hart 1973, page 271); Gonzalez & Woods 2018, "Digital Image Processing",
         section 3.6 (Laplacian, sharpening); the lectures (curve detector).
Checked: against scipy.ndimage and by hand-made images in tests/math/test_image_filters.py.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from striate.errors import ShapeError, UnknownName, suggest
from striate.math import convolution, depthwise
from striate.math.arrays import Array

KERNELS: Mapping[str, tuple[tuple[int, ...], ...]] = MappingProxyType({
    "identity":  ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "sobel_x":   ((1, 0, -1), (2, 0, -2), (1, 0, -1)),       # dark beside bright: vertical edges
    "sobel_y":   ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),       # horizontal edges
    "sharpen":   ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),      # the image minus its Laplacian
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),         # edges of every direction, four neighbours
    "edge":      ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),  # the same with eight, and the other sign
    "curve":     ((0, 0, 0, 0, 0, 30, 0), (0, 0, 0, 0, 30, 0, 0), (0, 0, 0, 30, 0, 0, 0), (0, 0, 0, 30, 0, 0, 0),
                  (0, 0, 0, 30, 0, 0, 0), (0, 0, 0, 30, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0)),
})  # fmt: skip


def kernel(name: str) -> Array:
    """The kernel called so, (U, V) in float64.

    >>> kernel("sobel_x").tolist()
    [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]

    Raises: UnknownName.
    """
    if name not in KERNELS:
        every = f"there are {', '.join(KERNELS)}"
        raise UnknownName(f"no filter is called {name!r}{suggest(name, KERNELS, every)}")
    return np.array(KERNELS[name], np.float64)


def correlated(x: Array, w: Array) -> Array:
    """x (N, C, H, W) with w (U, V) laid on every pixel of every channel, zeros around -> y of the same shape.

    The sides of w are odd. Lectures and networks mean this.  Raises: ShapeError.
    """
    if x.ndim != 4 or w.ndim != 2 or not (w.shape[0] % 2 and w.shape[1] % 2):
        raise ShapeError(f"x is {x.shape} and w is {w.shape}; expected (N, C, H, W) and (U, V) with odd sides")
    every = np.broadcast_to(w.astype(x.dtype), (x.shape[1], *w.shape))
    return depthwise.forward(x, every, None, 1, (w.shape[0] // 2, w.shape[1] // 2))


def convolved(x: Array, w: Array) -> Array:
    """The same with w turned by 180 degrees: what image processing means.  Raises: ShapeError."""
    return correlated(x, w[::-1, ::-1])


def sobel(x: Array) -> tuple[Array, Array]:
    """x (N, C, H, W) -> how steep it is, and in which direction, in radians from the x axis: both of the same shape.

    The direction is the one in which the image gets brighter, y counted downwards.  Raises: ShapeError.
    """
    # laid on the image as they are printed, the kernels subtract right from left and below from above
    along_x, along_y = -correlated(x, kernel("sobel_x")), -correlated(x, kernel("sobel_y"))
    return np.hypot(along_x, along_y), np.arctan2(along_y, along_x)


def in_sequence(first: Array, second: Array) -> Array:
    """The one kernel that does what two do one after the other, away from the border (U + K - 1 a side).

    >>> in_sequence(np.array([[1.0, 2, 1]]), np.array([[1.0], [0], [-1]])).tolist()  # Sobel's, smoothing x difference
    [[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]]
    """
    return convolution.forward(first, second)
