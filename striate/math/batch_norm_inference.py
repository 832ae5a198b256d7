"""Batch normalisation, by hand, as it is after training: fixed averages, so a scale and a shift for each channel.

    r[n,c,h,k] = (x[n,c,h,k] - running_mean[c]) / sqrt(running_var[c] + eps)
    y[n,c,h,k] = w[c] * r[n,c,h,k] + b[c]

    dL/db[c]   = sum over n,h,k of  g[n,c,h,k]                           g = dL/dy
    dL/dw[c]   = sum over n,h,k of  g[n,c,h,k] * r[n,c,h,k]
    dL/dx[..]  = g[..] * w[c] / sqrt(running_var[c] + eps)

Source:  Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 2.
Checked: against torch.autograd in tests/math/test_batch_norm.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """A multiplication and an addition for each value, once scale and shift are known."""
    return 2 * prod(x_shape)


def forward(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float = 1e-5) -> Array:
    """x (N, C, ...), all others (C,) -> y of the shape of x."""
    return _along(w, x) * _normalised(x, mean, var, eps) + _along(b, x)


def backward(g: Array, x: Array, w: Array, mean: Array, var: Array, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """g = dL/dy of the shape of x -> dL/dx, dL/dw (C,), dL/db (C,)."""
    axes = (0, *range(2, x.ndim))
    dx = g * _along(w / np.sqrt(var + eps), x)
    return dx, (g * _normalised(x, mean, var, eps)).sum(axis=axes), g.sum(axis=axes)


def _normalised(x: Array, mean: Array, var: Array, eps: float) -> Array:
    return (x - _along(mean, x)) * _along(1 / np.sqrt(var + eps), x)


def _along(values: Array, x: Array) -> Array:
    return values.reshape(-1, *[1] * (x.ndim - 2))
