"""Flatten, by hand: maps become a row of features, channel by channel, row by row.

    y[n,(c*H + h)*W + k] = x[n,c,h,k]

    dL/dx[n,c,h,k]       = g[n,(c*H + h)*W + k]                       g = dL/dy

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", from C5 on.
Checked: against torch.autograd in tests/math/test_moves.py.
"""

from math import prod

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array) -> Array:
    """x (N, C, ...) -> y (N, C*...)."""
    return x.reshape(x.shape[0], prod(x.shape[1:]))


def backward(g: Array, x: Array) -> Array:
    """g (N, C*...) = dL/dy -> dL/dx (N, C, ...)."""
    return g.reshape(x.shape)
