"""Global average pooling, by hand: one number a map, its mean.

    y[n,c]         = 1/(H*W) * sum over h,k of  x[n,c,h,k]

    dL/dx[n,c,h,k] = g[n,c] / (H*W)                       g = dL/dy

Source:  Lin, Chen & Yan 2013, "Network in Network", arXiv:1312.4400, section 3.2.
Checked: against torch.autograd in tests/math/test_pooling.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """Additions, and one division a map."""
    return prod(x_shape)


def forward(x: Array) -> Array:
    """x (N, C, H, W) -> y (N, C, 1, 1)."""
    mean: Array = x.mean(axis=(2, 3), keepdims=True)
    return mean


def backward(g: Array, x: Array) -> Array:
    """g (N, C, 1, 1) = dL/dy -> dL/dx (N, C, H, W)."""
    return np.broadcast_to(g / (x.shape[2] * x.shape[3]), x.shape).astype(x.dtype)
