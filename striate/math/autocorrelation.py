"""Autocorrelation: how like itself x is when it is shifted. Its largest value is at no shift at all.

    y[l]      = sum over k of  x[l+k] * x[k]             for every shift l, from -(H-1) to H-1;  y[-l] = y[l]
    dL/dx[h]  = sum over l of  g[l] * (x[h-l] + x[h+l])  g = dL/dy

Indices stand for one axis or for several. y[0] of the array is the shift -(H-1).

Source:  Bracewell 2000, "The Fourier Transform and Its Applications", chapter 3.
Checked: against scipy.signal, autograd and finite differences in tests/math/test_signals.py.
"""

from collections.abc import Sequence

from striate.math import correlation
from striate.math.arrays import Array


def out_shape(x_shape: Sequence[int]) -> tuple[int, ...]:
    """Sizes of y: every shift at which x overlaps itself.

    >>> out_shape((4, 3))
    (7, 5)
    """
    return correlation.out_shape(x_shape, x_shape)


def macs(x_shape: Sequence[int]) -> int:
    """Multiply-accumulates: each value meets each once."""
    return correlation.macs(x_shape, x_shape)


def forward(x: Array) -> Array:
    """x (H, ...) -> y (2H - 1, ...).

    >>> import numpy as np
    >>> forward(np.array([1.0, 2, 3])).tolist()
    [3.0, 8.0, 14.0, 8.0, 3.0]
    """
    return correlation.forward(x, x)


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx."""
    as_first, as_second = correlation.backward(g, x, x)
    return as_first + as_second
