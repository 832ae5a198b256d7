"""Hyperbolic tangent, by hand.

    y = (e^x - e^-x) / (e^x + e^-x)

    dL/dx = g * (1 - y^2)                       g = dL/dy; element by element

Source:  LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.4.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """Two exponentials, an addition, a subtraction and a division for each value."""
    return 5 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape, in -1..1."""
    return np.tanh(x)


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    dx: Array = g * (1 - np.tanh(x) ** 2)
    return dx
