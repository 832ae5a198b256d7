"""The capsule of one class for each image, by hand: all others become zero before an image is drawn from it.

    y[n,j,e]     = v[n,j,e]  where j is the class of image n, else 0

    dL/dv[n,j,e] = g[n,j,e]  there, else 0                       g = dL/dy

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, section 4.1 and figure 2.
Checked: against torch.autograd in tests/math/test_capsules.py.
"""

import numpy as np

from striate.math.arrays import Array, Whole


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(v: Array, labels: Whole) -> Array:
    """v (N, J, E), labels (N,) -> y (N, J, E)."""
    y = np.zeros_like(v)
    n = np.arange(len(v))
    y[n, labels] = v[n, labels]
    return y


def backward(g: Array, labels: Whole) -> Array:
    """g (N, J, E) = dL/dy -> dL/dv (N, J, E)."""
    return forward(g, labels)
