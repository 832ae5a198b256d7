"""Rectified linear unit, by hand.

    y = max(0, x)

    dL/dx = g where x > 0, else 0               g = dL/dy; element by element

At 0 there is no derivative; 0 is taken, as everywhere.

Source:  Nair & Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """One comparison for each value."""
    return prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape, 0 or more."""
    return np.maximum(x, 0)


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * (x > 0)
