"""Squash, by hand: a vector keeps its direction and gets a length below 1.

    q         = sum over d of  s[..,d]^2
    h         = sqrt(q) / (1 + q)
    v[..,d]   = s[..,d] * h                               so |v| = q / (1 + q)

    dL/ds[..,d] = g[..,d] * h + 2 * s[..,d] * h' * sum over e of  g[..,e] * s[..,e]             g = dL/dv
    h'          = dh/dq = 1 / (2 sqrt(q) (1 + q)) - sqrt(q) / (1 + q)^2

1e-12 is added to q under the roots, so that a vector of zeros has a derivative.

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, eq. 1.
Checked: against torch.autograd and finite differences in tests/math/test_capsules.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array

TINY = 1e-12


def operations(s_shape: tuple[int, ...]) -> int:
    """A square, an addition and a multiplication for each value, four operations for each vector."""
    return 3 * prod(s_shape) + 4 * prod(s_shape[:-1])


def forward(s: Array) -> Array:
    """s (..., D) -> v (..., D), of length below 1.

    >>> forward(np.array([3.0, 4.0])).round(4)  # length 25/26
    array([0.5769, 0.7692])
    """
    q, root = _length(s)
    return s * (root / (1 + q))


def backward(g: Array, s: Array) -> Array:
    """g (..., D) = dL/dv -> dL/ds (..., D)."""
    q, root = _length(s)
    slope = 1 / (2 * root * (1 + q)) - root / (1 + q) ** 2
    ds: Array = g * (root / (1 + q)) + 2 * s * slope * (g * s).sum(axis=-1, keepdims=True)
    return ds


def _length(s: Array) -> tuple[Array, Array]:
    q = (s * s).sum(axis=-1, keepdims=True)
    return q, np.sqrt(q + TINY)
