"""SiLU (swish), by hand: x times its own sigmoid.

    y = x * s(x)                                s(x) = 1 / (1 + e^-x)

    dL/dx = g * s(x) * (1 + x * (1 - s(x)))     g = dL/dy; element by element

Source:  Elfwing, Uchibe & Doya 2017, arXiv:1702.03118, eq. 5; Ramachandran, Zoph & Le 2017, arXiv:1710.05941.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

from striate.math import sigmoid
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """One multiplication more than sigmoid, for each value."""
    return 4 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape."""
    return x * sigmoid.forward(x)


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * (sigmoid.forward(x) * (1 + x * sigmoid.forward(-x)))
