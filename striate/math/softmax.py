"""Softmax, by hand: positive numbers that add up to 1.

    y[n,k]     = e^z[n,k] / sum over l of  e^z[n,l]

    dL/dz[n,k] = y[n,k] * (g[n,k] - sum over l of  g[n,l] * y[n,l])                       g = dL/dy

The largest z of each row is subtracted first; y stays the same, and nothing overflows.

Source:  Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
Checked: against torch.autograd in tests/math/test_softmax.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(z_shape: tuple[int, ...]) -> int:
    """A comparison, a subtraction, an exponential, an addition and a division for each value."""
    return 5 * prod(z_shape)


def forward(z: Array, axis: int = -1) -> Array:
    """z -> y of the same shape; y adds up to 1 along the axis."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y


def backward(g: Array, z: Array, axis: int = -1) -> Array:
    """g = dL/dy -> dL/dz, both of the shape of z."""
    y = forward(z, axis)
    dz: Array = y * (g - (g * y).sum(axis=axis, keepdims=True))
    return dz
