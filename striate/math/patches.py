"""The patches under a sliding window, and the way back: what overlapping patches add up to.

    patches      p[..., i, j, u, v] = x[..., i*s + u*d, j*s + v*d]
    overlap_add  x[..., h, k]       = sum over i,j,u,v with i*s + u*d = h, j*s + v*d = k of  p[..., i, j, u, v]

Each is the other's transpose, so one is the gradient of the other. Axes are as many as there are numbers in k, and the
last ones of x. `windows` is the same for pools, which go tap by tap.

Source:  Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document processing";
         Dumoulin & Visin 2016, arXiv:1603.07285, section 4 (the transpose).
Checked: one is the other's transpose in tests/math/test_conv2d.py.
"""

from collections.abc import Sequence
from itertools import product
from types import EllipsisType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from striate.math.arrays import Array
from striate.math.geometry import Sides, span

Index = tuple[EllipsisType | slice | int, ...]


def pad(x: Array, sides: Sequence[Sides]) -> Array:
    """x with zeros before and after its last axes; x itself where there are none to add."""
    if not any(before or after for before, after in sides):
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - len(sides)) + list(sides))


def crop(x: Array, sides: Sequence[Sides]) -> Array:
    """What `pad` was given, of what it made: a view.

    >>> crop(pad(np.ones((2, 3)), [(1, 0), (2, 2)]), [(1, 0), (2, 2)]).shape
    (2, 3)
    """
    kept = [slice(before, size - after) for size, (before, after) in zip(x.shape[-len(sides) :], sides, strict=True)]
    at: Index = (..., *kept)
    return x[at]


def patches(x: Array, k: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """x (..., H, W) -> (..., I, J, U, V): the patch at each position; a view, nothing is copied.

    >>> patches(np.arange(5.0), (3,), (2,), (1,)).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    axes = tuple(range(x.ndim - len(k), x.ndim))
    covers = tuple(span(u, d) for u, d in zip(k, dilation, strict=True))
    everywhere = sliding_window_view(x, covers, axes)
    at: Index = (..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))
    return everywhere[at]


def overlap_add(p: Array, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """p (..., I, J, U, V) -> (..., H, W) of the given size: each tap added where it was looked at.

    >>> overlap_add(np.ones((2, 3)), (5,), (2,), (1,)).tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
    """
    axes = len(size)
    positions, k = p.shape[p.ndim - 2 * axes : p.ndim - axes], p.shape[p.ndim - axes :]
    x = np.zeros((*p.shape[: p.ndim - 2 * axes], *size), p.dtype)
    for tap in product(*map(range, k)):
        seen = [
            slice(u * d, u * d + (n - 1) * s + 1, s)
            for u, d, n, s in zip(tap, dilation, positions, stride, strict=True)
        ]
        to: Index = (..., *seen)
        of: Index = (..., *tap)
        x[to] += p[of]
    return x
