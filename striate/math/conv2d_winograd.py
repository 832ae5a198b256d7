"""2-D convolution with 3x3 kernels and stride 1 by Winograd's minimal filtering F(2x2, 3x3).

A tile of 4x4 pixels d gives 2x2 outputs. Instead of 36 products for each tile, channel and filter, 16:

    y = A^T [ sum over c of  (G w G^T) * (B^T d B) ] A               * is element by element

           [1  0 -1  0]          [ 1    0    0 ]
    B^T  = [0  1  1  0]     G  = [1/2  1/2  1/2]     A^T = [1  1  1  0]
           [0 -1  1  0]          [1/2 -1/2  1/2]           [0  1 -1 -1]
           [0  1  0 -1]          [ 0    0    1 ]

The transforms are additions (and halves): 32 a tile and channel for d, 24 a tile and filter for y, 35 operations a
kernel for w. They pay when there are many channels and filters to share them. Tiles overlap by two pixels, so 16 values
of them stand for 4 of x.

In float32 an element is off by at most (C / groups + 8) eps times the largest value of |x| convolved with |w|, where a
sum of K products in any order is within K/2 eps; measured, both stay far below (2.7 and 5.4 for 64 channels).

There is no backward here: dL/dx is one more forward pass with the kernels rotated (`rotated_gradients`), and dL/dw has
no 3x3 kernel.

Source:  Winograd 1980, "Arithmetic Complexity of Computations"; Lavin & Gray 2015, arXiv:1509.09308, section 4.1.
Checked: against `conv2d`, its operations by counting and its memory by measuring, in tests/math/test_algorithms.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.geometry import Padding, zeros_per_axis
from striate.math.operations import Operations
from striate.math.patches import pad, patches

ONCE = (1, 1)


def operations(x_shape: Sequence[int], w_shape: Sequence[int], padding: Padding = 0) -> Operations:
    """Of one forward pass with bias, the transform of the kernels included.

    >>> operations((1, 1, 4, 4), (1, 1, 3, 3)).multiplications  # 16, and 14 halves for the kernel
    30

    Raises: ShapeError.
    """
    tiles, (n, o, i, j) = _tiles(x_shape, w_shape, padding), conv2d.out_shape(x_shape, w_shape, 1, padding)
    channels, each = x_shape[1], w_shape[1]
    return (
        o * each * Operations(14, 21)
        + tiles * channels * Operations(0, 32)
        + 16 * tiles * o * Operations(each, each - 1)
        + tiles * o * Operations(0, 24)
        + n * o * i * j * Operations(0, 1)
    )


def memory(x_shape: Sequence[int], w_shape: Sequence[int], padding: Padding = 0) -> int:
    """Values of the transformed tiles, kernels and outputs.  Raises: ShapeError."""
    tiles = _tiles(x_shape, w_shape, padding)
    return 16 * (tiles * x_shape[1] + w_shape[0] * w_shape[1] + tiles * w_shape[0])


def forward(x: Array, w: Array, b: Array | None = None, padding: Padding = 0, groups: int = 1) -> Array:
    """x (N, C, H, W), w (O, C / groups, 3, 3), b (O,) or None -> y (N, O, I, J).

    Raises: ShapeError, also for another kernel.
    """
    conv2d.check(x.shape, w.shape, groups)
    tiles = _tiles(x.shape, w.shape, padding)
    n, o, i, j = conv2d.out_shape(x.shape, w.shape, 1, padding)
    each = w.shape[1]
    x = pad(x, zeros_per_axis(x.shape[2:], w.shape[2:], ONCE, padding, ONCE))
    x = pad(x, ((0, i % 2), (0, j % 2)))  # whole tiles
    d = patches(x, (4, 4), (2, 2), ONCE).transpose(4, 5, 1, 0, 2, 3).reshape(4, 4, groups, each, tiles)
    kernels = w.transpose(2, 3, 0, 1).reshape(3, 3, groups, o // groups, each)
    products = _of_kernel(kernels) @ _of_tile(d)
    y = _of_product(products).reshape(2, 2, o, n, (i + 1) // 2, (j + 1) // 2)
    y = y.transpose(3, 2, 4, 0, 5, 1).reshape(n, o, i + i % 2, j + j % 2)[:, :, :i, :j]
    return np.ascontiguousarray(y) if b is None else y + b[:, None, None]


def _tiles(x_shape: Sequence[int], w_shape: Sequence[int], padding: Padding) -> int:
    """Tiles of the batch: 2x2 outputs each, those at the end perhaps half empty."""
    if tuple(w_shape[2:]) != (3, 3):
        raise ShapeError(f"w is {tuple(w_shape)}; F(2x2, 3x3) is for kernels of 3 x 3, others go through conv2d")
    n, _, i, j = conv2d.out_shape(x_shape, w_shape, 1, padding)
    return n * ((i + 1) // 2) * ((j + 1) // 2)


def _of_tile(d: Array) -> Array:
    """B^T d B over the first two axes."""
    for _ in (0, 1):
        d = np.stack((d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3])).swapaxes(0, 1)
    return d


def _of_kernel(w: Array) -> Array:
    """G w G^T over the first two axes."""
    for _ in (0, 1):
        ends = w[0] + w[2]
        w = np.stack((w[0], (ends + w[1]) * 0.5, (ends - w[1]) * 0.5, w[2])).swapaxes(0, 1)
    return w


def _of_product(m: Array) -> Array:
    """A^T m A over the first two axes."""
    for _ in (0, 1):
        m = np.stack((m[0] + m[1] + m[2], m[1] - m[2] - m[3])).swapaxes(0, 1)
    return m
