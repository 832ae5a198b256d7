"""Unpooling with switches, by hand: each value goes back to where max pooling found it, zeros elsewhere.

    y[n,c,h,k]     = x[n,c,i,j]  where the switch of (n,c,i,j) points to (h,k), else 0

    dL/dx[n,c,i,j] = g[n,c,h,k]  there                       g = dL/dy

Where overlapping windows have the same winner, the last in reading order is written, and all of them read g.

Source:  Zeiler & Fergus 2013, "Visualizing and understanding convolutional networks", arXiv:1311.2901, section 2.1.
Checked: against torch's max_unpool2d in tests/math/test_unpooling.py; overlapping windows against a slow loop.
"""

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array, Whole


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, switches: Whole, size: tuple[int, int]) -> Array:
    """x (N, C, I, J), switches of the same shape (`max_pool.switches`), size (H, W) -> y (N, C, H, W).

    >>> forward(np.array([[[[5.0]]]]), np.array([[[[2]]]]), (2, 2)).tolist()
    [[[[0.0, 0.0], [5.0, 0.0]]]]

    Raises: ShapeError if switches have another shape than x, or point outside of the maps.
    """
    _check(x, switches, size)
    y = np.zeros((*x.shape[:2], size[0] * size[1]), x.dtype)
    np.put_along_axis(y, switches.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), axis=2)
    return y.reshape(*x.shape[:2], *size)


def backward(g: Array, x: Array, switches: Whole) -> Array:
    """g (N, C, H, W) = dL/dy -> dL/dx (N, C, I, J)."""
    flat = g.reshape(*g.shape[:2], -1)
    dx: Array = np.take_along_axis(flat, switches.reshape(*x.shape[:2], -1), axis=2)
    return dx.reshape(x.shape)


def _check(x: Array, switches: Whole, size: tuple[int, int]) -> None:
    if switches.shape != x.shape:
        raise ShapeError(f"switches have the shape {switches.shape}; expected that of x, {x.shape}")
    if x.size and (switches.min() < 0 or switches.max() >= size[0] * size[1]):
        raise ShapeError(f"switches point to {switches.min()} to {switches.max()}; maps of {size} have 0 to "
                         f"{size[0] * size[1] - 1}")  # fmt: skip
