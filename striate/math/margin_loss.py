"""Margin loss of capsule lengths, by hand: each class has its own loss, so that several may be there at once.

    E        = 1/N * sum over n,k of  t[n,k] * max(0, 0.9 - l[n,k])^2 + 0.5 * (1 - t[n,k]) * max(0, l[n,k] - 0.1)^2

    dE/dl[n,k] = 1/N * (-2 t[n,k] * max(0, 0.9 - l[n,k]) + (1 - t[n,k]) * max(0, l[n,k] - 0.1))

l are the lengths of the capsules, t is 1 for classes that are there.

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, eq. 4 (m+ = 0.9, m- = 0.1, lambda = 0.5).
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array

PRESENT, ABSENT, DOWN = 0.9, 0.1, 0.5


def operations(l_shape: tuple[int, ...]) -> int:
    """Two terms of two additions, a comparison and three multiplications for each length."""
    return 12 * prod(l_shape)


def forward(length: Array, t: Array) -> float:
    """length (N, K) in 0..1, t (N, K) of 0 and 1 -> E.

    >>> round(forward(np.array([[0.7, 0.3]]), np.array([[1.0, 0.0]])), 4)  # 0.2^2 + 0.5 * 0.2^2
    0.06

    Raises: ShapeError if they differ in shape.
    """
    if length.shape != t.shape:
        raise ShapeError(f"lengths have the shape {length.shape}; expected that of the targets, {t.shape}")
    low, high = np.maximum(0, PRESENT - length), np.maximum(0, length - ABSENT)
    return float((t * low**2 + DOWN * (1 - t) * high**2).sum() / len(length))


def backward(g: float, length: Array, t: Array) -> Array:
    """g = dL/dE -> dL/dl (N, K)."""
    low, high = np.maximum(0, PRESENT - length), np.maximum(0, length - ABSENT)
    dl: Array = 2 * g / len(length) * (DOWN * (1 - t) * high - t * low)
    return dl
