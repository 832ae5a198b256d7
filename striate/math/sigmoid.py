"""Sigmoid (logistic function), by hand.

    y = 1 / (1 + e^-x)

    dL/dx = g * y * (1 - y)                       g = dL/dy; element by element

Source:  Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors", eq. 2.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """An exponential, an addition and a division for each value."""
    return 3 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape, in 0..1; no x overflows."""
    e = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1, e) / (1 + e)
    return y


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * forward(x) * forward(-x)
