"""Adaptive pooling, by hand: as many windows as are asked for, as even as they can be.

Window i of I along an axis of H positions begins at floor(i*H/I) and ends before ceil((i+1)*H/I); windows may share
positions. With A[i,h] = 1/(length of window i) where window i sees h, else 0, and B likewise for the columns:

    y[n,c,i,j]     = sum over h,k of  A[i,h] * x[n,c,h,k] * B[j,k]

    dL/dx[n,c,h,k] = sum over i,j of  A[i,h] * g[n,c,i,j] * B[j,k]                       g = dL/dy

`forward_max` takes the largest value under each window instead; its gradient goes to the first of the largest.

Source:  He et al. 2014, "Spatial pyramid pooling in deep convolutional networks", arXiv:1406.4729, section 2.3.
Checked: against torch.autograd in tests/math/test_pooling.py.
"""

from collections.abc import Iterator

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array, Pair, pair


def ends(size: int, windows: int) -> list[tuple[int, int]]:
    """Where each window begins, and where it has ended.

    >>> ends(7, 3)
    [(0, 3), (2, 5), (4, 7)]
    """
    return [(i * size // windows, -(-(i + 1) * size // windows)) for i in range(windows)]


def operations(x_shape: tuple[int, ...], out: Pair) -> int:
    """Additions and divisions for the whole batch: one for each position under each window."""
    rows, cols = (sum(b - a for a, b in ends(size, n)) for size, n in zip(x_shape[2:], pair(out), strict=True))
    return x_shape[0] * x_shape[1] * rows * cols


def forward(x: Array, out: Pair) -> Array:
    """x (N, C, H, W), out (I, J) -> y (N, C, I, J), the means."""
    a, b = _shares(x, out)
    y: Array = a @ x @ b.T
    return y


def backward(g: Array, x: Array, out: Pair) -> Array:
    """g (N, C, I, J) = dL/dy -> dL/dx (N, C, H, W)."""
    a, b = _shares(x, out)
    dx: Array = a.T @ g @ b
    return dx


def forward_max(x: Array, out: Pair) -> Array:
    """x (N, C, H, W), out (I, J) -> y (N, C, I, J), the largest values."""
    y = np.empty((*x.shape[:2], *pair(out)), x.dtype)
    for (i, j), rows, cols in _windows(x, out):
        y[:, :, i, j] = x[:, :, rows, cols].max(axis=(2, 3))
    return y


def backward_max(g: Array, x: Array, out: Pair) -> Array:
    """g (N, C, I, J) = dL/dy of `forward_max` -> dL/dx (N, C, H, W)."""
    dx = np.zeros_like(x)
    n, c = np.ogrid[: x.shape[0], : x.shape[1]]
    for (i, j), rows, cols in _windows(x, out):
        seen = x[:, :, rows, cols]
        u, v = np.divmod(seen.reshape(*x.shape[:2], -1).argmax(-1), seen.shape[3])
        dx[n, c, rows.start + u, cols.start + v] += g[:, :, i, j]
    return dx


def _shares(x: Array, out: Pair) -> tuple[Array, Array]:
    matrices = []
    for size, windows in zip(_sides(x), pair(out), strict=True):
        share = np.zeros((windows, size), x.dtype)
        for i, (start, end) in enumerate(ends(size, windows)):
            share[i, start:end] = 1 / (end - start)
        matrices.append(share)
    return matrices[0], matrices[1]


def _windows(x: Array, out: Pair) -> Iterator[tuple[tuple[int, int], slice, slice]]:
    (h, w), (rows, cols) = _sides(x), pair(out)
    for i, (top, bottom) in enumerate(ends(h, rows)):
        for j, (left, right) in enumerate(ends(w, cols)):
            yield (i, j), slice(top, bottom), slice(left, right)


def _sides(x: Array) -> tuple[int, int]:
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"x has the shape {x.shape}; expected maps (N, C, H, W) with at least one position")
    return x.shape[2], x.shape[3]
