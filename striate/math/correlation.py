"""Cross-correlation: how well w fits x when it is laid on it, for each shift. A CNN's layer computes this.

    y[l]      = sum over k of  x[l+k] * w[k]             for every shift l where the two overlap, from -(K-1) to H-1
    dL/dx[h]  = sum over l of  g[l] * w[h-l]             g = dL/dy
    dL/dw[k]  = sum over l of  g[l] * x[l+k]

Indices stand for one axis or for several. y[0] of the array is the shift -(K-1). It is the `convolution` of x with w
rotated by 180 degrees; unlike that one it is not commutative: changing x for w turns y around.

Source:  Goodfellow, Bengio & Courville 2016, "Deep Learning", eq. 9.6.
Checked: against scipy.signal, autograd and finite differences in tests/math/test_signals.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.math import convolution
from striate.math.arrays import Array


def out_shape(x_shape: Sequence[int], w_shape: Sequence[int]) -> tuple[int, ...]:
    """Sizes of y: every shift at which x and w overlap.  Raises: ShapeError."""
    return convolution.out_shape(x_shape, w_shape)


def macs(x_shape: Sequence[int], w_shape: Sequence[int]) -> int:
    """Multiply-accumulates: each value of x meets each of w once.  Raises: ShapeError."""
    return convolution.macs(x_shape, w_shape)


def forward(x: Array, w: Array) -> Array:
    """x (H, ...), w (K, ...) -> y (H + K - 1, ...).

    >>> forward(np.array([1.0, 2, 3]), np.array([1.0, 0, -1])).tolist()
    [-1.0, -2.0, -2.0, 2.0, 3.0]
    """
    return convolution.forward(x, np.flip(w))


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """g = dL/dy -> dL/dx, dL/dw, each of the shape of x, w."""
    dx, dw = convolution.backward(g, x, np.flip(w))
    return dx, np.flip(dw)
