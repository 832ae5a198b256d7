"""A coefficient and a bias for each channel, by hand.

    y[n,c,h,k]     = w[c] * x[n,c,h,k] + b[c]

    dL/dx[n,c,h,k] = g[n,c,h,k] * w[c]                       g = dL/dy
    dL/dw[c]       = sum over n,h,k of  g[n,c,h,k] * x[n,c,h,k]
    dL/db[c]       = sum over n,h,k of  g[n,c,h,k]

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B (S2, S4).
Checked: against torch.autograd in tests/math/test_lenet_1998.py.
"""

from math import prod

from striate.math.arrays import Array


def macs(x_shape: tuple[int, ...]) -> int:
    """One multiply-accumulate for each value."""
    return prod(x_shape)


def forward(x: Array, w: Array, b: Array) -> Array:
    """x (N, C, H, W), w (C,), b (C,) -> y (N, C, H, W)."""
    return x * w[:, None, None] + b[:, None, None]


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """g (N, C, H, W) = dL/dy -> dL/dx (N, C, H, W), dL/dw (C,), dL/db (C,)."""
    return g * w[:, None, None], (g * x).sum(axis=(0, 2, 3)), g.sum(axis=(0, 2, 3))
