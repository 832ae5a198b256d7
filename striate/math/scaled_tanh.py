"""LeNet's scaled hyperbolic tangent, by hand: f(1) = 1, f(-1) = -1, and the steepest slopes lie between them.

    y = A * tanh(S * x)                         A = 1.7159, S = 2/3

    dL/dx = g * A * S * (1 - tanh(S * x)^2)     g = dL/dy; element by element

Source:  LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition", appendix A.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array

A, S = 1.7159, 2 / 3


def operations(x_shape: tuple[int, ...]) -> int:
    """Two multiplications more than tanh, for each value."""
    return 7 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape, in -1.7159..1.7159.

    >>> round(float(forward(np.array(1.0))), 4)
    1.0
    """
    y: Array = A * np.tanh(S * x)
    return y


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    dx: Array = g * (A * S * (1 - np.tanh(S * x) ** 2))
    return dx
