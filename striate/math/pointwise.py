"""Pointwise (1x1) convolution: the same dense layer at every pixel. It mixes channels and sees no neighbours.

    y[n,o,i,j]     = b[o] + sum over c of  x[n,c,i,j] * w[o,c]

    dL/db[o]       = sum over n,i,j of  g[n,o,i,j]                            g = dL/dy
    dL/dw[o,c]     = sum over n,i,j of  g[n,o,i,j] * x[n,c,i,j]
    dL/dx[n,c,i,j] = sum over o of  g[n,o,i,j] * w[o,c]

Source:  Lin, Chen & Yan 2013, "Network in network", arXiv:1312.4400, section 3.1.
Checked: against torch.autograd in tests/math/test_separable.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array


def out_shape(x_shape: Sequence[int], w_shape: Sequence[int]) -> tuple[int, int, int, int]:
    """(N, O, H, W) of y.  Raises: ShapeError."""
    check(x_shape, w_shape)
    return x_shape[0], w_shape[0], x_shape[2], x_shape[3]


def macs(x_shape: Sequence[int], w_shape: Sequence[int]) -> int:
    """Multiply-accumulates for the whole batch.

    >>> macs((1, 3, 8, 8), (128, 3))  # the lectures' pointwise part
    24576
    """
    n, o, i, j = out_shape(x_shape, w_shape)
    return n * o * i * j * w_shape[1]


def forward(x: Array, w: Array, b: Array | None = None) -> Array:
    """x (N, C, H, W), w (O, C), b (O,) or None -> y (N, O, H, W).  Raises: ShapeError."""
    shape = out_shape(x.shape, w.shape)
    y: Array = (w @ x.reshape(*x.shape[:2], -1)).reshape(shape)
    return y if b is None else y + b[:, None, None]


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """g (N, O, H, W) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.  Raises: ShapeError."""
    check(x.shape, w.shape)
    flat = g.reshape(*g.shape[:2], -1)
    dx = (w.T @ flat).reshape(x.shape)
    dw = np.tensordot(g, x, ((0, 2, 3), (0, 2, 3)))
    return dx, dw, g.sum(axis=(0, 2, 3))


def check(x_shape: Sequence[int], w_shape: Sequence[int]) -> None:
    """Say what is wrong with the shapes of x and w, if anything is.

    Raises: ShapeError.
    """
    if len(x_shape) != 4 or len(w_shape) != 2 or x_shape[1] != w_shape[1]:
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, H, W) and (O, C)")
