"""Binary cross-entropy of logits, by hand: two classes, one output.

    p[n]     = sigmoid(z[n])
    E        = -1/N * sum over n of  t[n] * log p[n] + (1 - t[n]) * log(1 - p[n])
             =  1/N * sum over n of  max(z[n], 0) - z[n] * t[n] + log(1 + e^-|z[n]|)        the same, without overflow

    dE/dz[n] = 1/N * (p[n] - t[n])

Source:  Bishop 1995, "Neural networks for pattern recognition", section 6.7.
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math import sigmoid
from striate.math.arrays import Array


def operations(z_shape: tuple[int, ...]) -> int:
    """A comparison, two multiplications, an exponential, a logarithm and four additions for each logit."""
    return 9 * prod(z_shape)


def forward(z: Array, t: Array) -> float:
    """z logits, t in 0..1 of the same shape -> E, the mean over all.

    Raises: ShapeError if they differ in shape.
    """
    if z.shape != t.shape:
        raise ShapeError(f"logits have the shape {z.shape}; expected that of the targets, {t.shape}")
    return float((np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean())


def backward(g: float, z: Array, t: Array) -> Array:
    """g = dL/dE -> dL/dz of the shape of z."""
    return g / z.size * (sigmoid.forward(z) - t)
