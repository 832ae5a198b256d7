"""Convolution as in signal processing: one of the two is turned around before it slides.

    y[m]      = sum over k of  x[m-k] * w[k]             for every m where the two overlap
    dL/dx[h]  = sum over m of  g[m] * w[m-h]             g = dL/dy
    dL/dw[k]  = sum over m of  g[m] * x[m-k]

Indices stand for one axis or for several: m = (m1, m2). It is commutative, and associative, so two filters one after
the other are one filter. What CNN libraries call convolution is `correlation`: nothing is turned around there, and as
weights are learnt, nothing is lost by it.

Source:  Dumoulin & Visin 2016, arXiv:1603.07285, page 6; Goodfellow, Bengio & Courville 2016, "Deep Learning", eq. 9.4.
Checked: against scipy.signal, autograd and finite differences in tests/math/test_signals.py.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array


def out_shape(x_shape: Sequence[int], w_shape: Sequence[int]) -> tuple[int, ...]:
    """Sizes of y: every position where x and w overlap.

    >>> out_shape((7, 7), (3, 3))
    (9, 9)

    Raises: ShapeError if x and w have not the same number of axes, or one has no values.
    """
    if len(x_shape) != len(w_shape) or 0 in (*x_shape, *w_shape):
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected as many axes in both, none empty")
    return tuple(h + k - 1 for h, k in zip(x_shape, w_shape, strict=True))


def macs(x_shape: Sequence[int], w_shape: Sequence[int]) -> int:
    """Multiply-accumulates: each value of x meets each of w once.

    >>> macs((7, 7), (3, 3))
    441
    """
    out_shape(x_shape, w_shape)
    return prod(x_shape) * prod(w_shape)


def forward(x: Array, w: Array) -> Array:
    """x (H, ...), w (K, ...) -> y (H + K - 1, ...).

    >>> forward(np.array([1.0, 2, 3]), np.array([1.0, 0, -1])).tolist()
    [1.0, 2.0, 2.0, -2.0, -3.0]
    """
    y = np.zeros(out_shape(x.shape, w.shape), np.result_type(x, w))
    for tap in np.ndindex(w.shape):
        y[tuple(slice(k, k + h) for k, h in zip(tap, x.shape, strict=True))] += x * w[tap]
    return y


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """g = dL/dy -> dL/dx, dL/dw, each of the shape of x, w."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for tap in np.ndindex(w.shape):
        met = g[tuple(slice(k, k + h) for k, h in zip(tap, x.shape, strict=True))]
        dx += met * w[tap]
        dw[tap] = (met * x).sum()
    return dx, dw
