"""Batch normalisation, by hand, as it is in training; `batch_norm_inference` is what it is afterwards.

    mean[c]    = 1/m * sum over n,h,k of  x[n,c,h,k]                     m = N*H*W values a channel
    var[c]     = 1/m * sum over n,h,k of  (x[n,c,h,k] - mean[c])^2
    r[n,c,h,k] = (x[n,c,h,k] - mean[c]) / sqrt(var[c] + eps)
    y[n,c,h,k] = w[c] * r[n,c,h,k] + b[c]

    dL/db[c]   = sum over n,h,k of  g[n,c,h,k]                           g = dL/dy
    dL/dw[c]   = sum over n,h,k of  g[n,c,h,k] * r[n,c,h,k]
    dL/dx[..]  = w[c] / sqrt(var[c] + eps) * (g[..] - dL/db[c] / m - r[..] * dL/dw[c] / m)

mean and var depend on x, so every value of a channel has a share in every gradient of it. x may be (N, C) or have any
number of axes after C. Running averages, for inference, follow with momentum a; their variance is divided by m - 1:

    running_mean <- (1 - a) * running_mean + a * mean
    running_var  <- (1 - a) * running_var + a * var * m/(m-1)

Source:  Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1 and the gradients after it; m/(m-1): algorithm 2.
Differs: the paper averages the statistics of many batches after training; a running average is what everybody uses.
Checked: against torch.autograd and finite differences in tests/math/test_batch_norm.py.
"""

from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """For each value: an addition for the mean, three operations for the variance, two to normalise, two to scale."""
    return 8 * prod(x_shape)


def statistics(x: Array) -> tuple[Array, Array]:
    """x (N, C, ...) -> mean (C,) and var (C,), divided by m.

    Raises: ShapeError if there is only one value a channel: it would be normalised to zero.
    """
    if x.ndim < 2 or x.size <= x.shape[1]:
        raise ShapeError(f"x {x.shape} has no two values a channel to take a variance of; expected (N, C, ...)")
    axes = _all_but_channels(x)
    mean = x.mean(axis=axes)
    centred = x - _along(mean, x)
    return mean, (centred * centred).mean(axis=axes)


def forward(x: Array, w: Array, b: Array, eps: float = 1e-5) -> Array:
    """x (N, C, ...), w (C,), b (C,) -> y of the shape of x."""
    return _along(w, x) * _normalised(x, eps)[0] + _along(b, x)


def backward(g: Array, x: Array, w: Array, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """g = dL/dy of the shape of x -> dL/dx, dL/dw (C,), dL/db (C,)."""
    r, scale = _normalised(x, eps)
    axes, m = _all_but_channels(x), x.size // x.shape[1]
    db, dw = g.sum(axis=axes), (g * r).sum(axis=axes)
    dx = _along(w * scale, x) * (g - _along(db / m, x) - r * _along(dw / m, x))
    return dx, dw, db


def update(running_mean: Array, running_var: Array, x: Array, momentum: float = 0.1) -> tuple[Array, Array]:
    """Running averages (C,), (C,) after a batch x (N, C, ...); momentum is the weight of the new batch, as in torch."""
    mean, var = statistics(x)
    m = x.size // x.shape[1]
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var * m / (m - 1)


def _normalised(x: Array, eps: float) -> tuple[Array, Array]:
    """r of the shape of x, and 1/sqrt(var + eps) (C,)."""
    mean, var = statistics(x)
    scale = 1 / np.sqrt(var + eps)
    return (x - _along(mean, x)) * _along(scale, x), scale


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _along(values: Array, x: Array) -> Array:
    """(C,) as it meets x (N, C, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))
