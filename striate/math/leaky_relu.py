"""Leaky rectified linear unit, by hand: a small slope s where ReLU has none.

    y = x where x > 0, else s * x

    dL/dx = g where x > 0, else s * g           g = dL/dy; element by element

Source:  Maas, Hannun & Ng 2013, "Rectifier nonlinearities improve neural network acoustic models" (s = 0.01).
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """A comparison and a multiplication for each value."""
    return 2 * prod(x_shape)


def forward(x: Array, s: float = 0.01) -> Array:
    """x -> y of the same shape."""
    return np.where(x > 0, x, s * x)


def backward(g: Array, x: Array, s: float = 0.01) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return np.where(x > 0, g, s * g)
