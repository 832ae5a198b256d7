"""ReLU6, by hand: ReLU that stops at 6.

    y = min(max(0, x), 6)

    dL/dx = g where 0 < x < 6, else 0           g = dL/dy; element by element

Source:  Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10"; MobileNet, arXiv:1801.04381, section 3.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """Two comparisons for each value."""
    return 2 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape, in 0..6."""
    return np.minimum(np.maximum(x, 0), 6)


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * ((x > 0) & (x < 6))
