"""Hard swish, by hand: swish with straight lines in place of the sigmoid.

    y = x * min(max(0, x + 3), 6) / 6

    dL/dx = 0 for x <= -3;  g * (x/3 + 1/2) for -3 < x < 3;  g for x >= 3       g = dL/dy; element by element

Source:  Howard et al. 2019, "Searching for MobileNetV3", arXiv:1905.02244, section 5.2.
Checked: against torch.autograd in tests/math/test_activations.py.
"""

from math import prod

import numpy as np

from striate.math import relu6
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """An addition, two comparisons, a multiplication and a division for each value."""
    return 5 * prod(x_shape)


def forward(x: Array) -> Array:
    """x -> y of the same shape."""
    return x * relu6.forward(x + 3) / 6


def backward(g: Array, x: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    slope = np.where(x <= -3, 0, x / 3 + 0.5)
    return g * np.where(x >= 3, 1, slope).astype(x.dtype)
