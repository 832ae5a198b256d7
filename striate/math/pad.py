"""A border of one value around maps, by hand; a negative width cuts rows or columns off.

    y[n,c,h,k]     = x[n,c,h-top,k-left]  where that exists, else v

    dL/dx[n,c,h,k] = g[n,c,h+top,k+left]  where that exists, else 0                       g = dL/dy

v is 0 for a convolution ("zero padding"), and -infinity for a max pooling.

Source:  Dumoulin & Visin 2016, arXiv:1603.07285, section 2.
Checked: against torch.autograd in tests/math/test_moves.py.
"""

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array

Border = tuple[int, int, int, int]  # top, bottom, left, right


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, border: Border, v: float = 0.0) -> Array:
    """x (N, C, H, W) -> y (N, C, top + H + bottom, left + W + right).

    Raises: ShapeError if more is cut off than there is.
    """
    top, bottom, left, right = border
    if x.shape[2] + top + bottom < 0 or x.shape[3] + left + right < 0:
        raise ShapeError(f"a border of {border} (top, bottom, left, right) leaves nothing of maps {x.shape[2:]}")
    widths = [(max(0, before), max(0, after)) for before, after in ((0, 0), (0, 0), (top, bottom), (left, right))]
    return _cut(np.pad(x, widths, constant_values=v), border, -1)


def backward(g: Array, border: Border) -> Array:
    """g (N, C, top + H + bottom, left + W + right) = dL/dy -> dL/dx (N, C, H, W)."""
    widths = [(max(0, before), max(0, after)) for before, after in _pairs(border, -1)]
    return _cut(np.pad(g, widths), border, 1)


def _pairs(border: Border, sign: int) -> list[tuple[int, int]]:
    top, bottom, left, right = (sign * side for side in border)
    return [(0, 0), (0, 0), (top, bottom), (left, right)]


def _cut(x: Array, border: Border, sign: int) -> Array:
    """x without the sides whose width has this sign."""
    (top, bottom), (left, right) = ((max(0, a), max(0, b)) for a, b in _pairs(border, sign)[2:])
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
