"""Group normalisation, by hand; one group is layer normalisation, a group for each channel instance normalisation.

    mean[n,q]  = 1/m * sum over c in q, h, k of  x[n,c,h,k]                       m = C/Q*H*W values a group
    var[n,q]   = 1/m * sum over c in q, h, k of  (x[n,c,h,k] - mean[n,q])^2       q = the group of c
    r[n,c,h,k] = (x[n,c,h,k] - mean[n,q]) / sqrt(var[n,q] + eps)
    y[n,c,h,k] = w[c] * r[n,c,h,k] + b[c]

    dL/db[c]   = sum over n,h,k of  g[n,c,h,k]                                    g = dL/dy
    dL/dw[c]   = sum over n,h,k of  g[n,c,h,k] * r[n,c,h,k]
    dL/dr[..]  = g[n,c,h,k] * w[c] =: d
    dL/dx[..]  = (d[..] - 1/m * sum of d over the group - r[..] / m * sum of d*r over the group) / sqrt(var[n,q] + eps)

Nothing depends on the other images, and nothing is remembered: training and evaluation are the same.

Source:  Wu & He 2018, arXiv:1803.08494, equations 1 to 5; layer: Ba, Kiros & Hinton 2016, arXiv:1607.06450; instance:
         Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
Checked: against torch.autograd and finite differences in tests/math/test_group_norm.py.
"""

from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """For each value: an addition for the mean, three operations for the variance, two to normalise, two to scale."""
    return 8 * prod(x_shape)


def forward(x: Array, w: Array, b: Array, groups: int, eps: float = 1e-5) -> Array:
    """x (N, C, ...), w (C,), b (C,) -> y of the shape of x.

    Raises: ShapeError if the channels are not whole groups.
    """
    return _along(w, x) * _normalised(x, groups, eps)[0] + _along(b, x)


def backward(g: Array, x: Array, w: Array, groups: int, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """g = dL/dy of the shape of x -> dL/dx, dL/dw (C,), dL/db (C,)."""
    r, scale = _normalised(x, groups, eps)
    axes = (0, *range(2, x.ndim))
    d, r_grouped = _grouped(g * _along(w, x), groups), _grouped(r, groups)
    dx = (d - d.mean(axis=2, keepdims=True) - r_grouped * (d * r_grouped).mean(axis=2, keepdims=True)) * scale
    return dx.reshape(x.shape), (g * r).sum(axis=axes), g.sum(axis=axes)


def _normalised(x: Array, groups: int, eps: float) -> tuple[Array, Array]:
    """r of the shape of x, and 1/sqrt(var + eps) (N, Q, 1)."""
    parts = _grouped(x, groups)
    centred = parts - parts.mean(axis=2, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axis=2, keepdims=True) + eps)
    return (centred * scale).reshape(x.shape), scale


def _grouped(x: Array, groups: int) -> Array:
    """(N, C, ...) -> (N, Q, m)"""
    if x.ndim < 2 or x.shape[1] % groups:
        raise ShapeError(f"x {x.shape} can't be normalised in {groups} groups; expected (N, C, ...), whole groups")
    return x.reshape(x.shape[0], groups, -1)


def _along(values: Array, x: Array) -> Array:
    """(C,) as it meets x (N, C, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))
