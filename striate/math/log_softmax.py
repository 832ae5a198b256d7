"""Logarithm of softmax, by hand, computed so that no small probability becomes log 0.

    y[n,k]     = z[n,k] - log(sum over l of  e^z[n,l])

    dL/dz[n,k] = g[n,k] - softmax(z)[n,k] * sum over l of  g[n,l]                       g = dL/dy

Source:  Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
Checked: against torch.autograd in tests/math/test_softmax.py.
"""

from math import prod

import numpy as np

from striate.math import softmax
from striate.math.arrays import Array


def operations(z_shape: tuple[int, ...]) -> int:
    """A comparison, an exponential, an addition and two subtractions for each value."""
    return 5 * prod(z_shape)


def forward(z: Array, axis: int = -1) -> Array:
    """z -> y of the same shape."""
    centred = z - z.max(axis=axis, keepdims=True)
    y: Array = centred - np.log(np.exp(centred).sum(axis=axis, keepdims=True))
    return y


def backward(g: Array, z: Array, axis: int = -1) -> Array:
    """g = dL/dy -> dL/dz, both of the shape of z."""
    dz: Array = g - softmax.forward(z, axis) * g.sum(axis=axis, keepdims=True)
    return dz
