"""Dropout, by hand, in its first form: units are left out in training, and scaled down by the share kept afterwards.

    training    y[..] = x[..] * z[..]                      z[..] is 0 with probability p, else 1
    inference   y[..] = x[..] * (1 - p)                    the mean of y over all masks

    dL/dx[..]   = g[..] * z[..]                            g = dL/dy

For a unit a = w1 x1 + w2 x2 and p = 1/2 the mean over the four masks is (w1 x1 + w2 x2) / 2: `expected` counts them.
The factor is the probability of keeping a unit, not of dropping it; only for p = 1/2 are they the same.

Source:  Hinton et al. 2012, "Improving neural networks by preventing co-adaptation of feature detectors",
         arXiv:1207.0580.
Checked: expectation over all masks in tests/math/test_dropout.py.
"""

from collections.abc import Callable
from itertools import product
from math import prod

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """One multiplication for each value."""
    return prod(x_shape)


def forward(x: Array, z: Array) -> Array:
    """x, z of one shape -> y of that shape."""
    return x * z


def backward(g: Array, z: Array) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * z


def inference(x: Array, p: float) -> Array:
    """x scaled by the probability of keeping a unit."""
    return x * (1 - p)


def expected(function: Callable[[Array], Array], x: Array, p: float) -> Array:
    """The mean of function(x * z) over all masks z of x (I,), each weighted by its probability: 2^I calls.

    >>> w = np.array([3.0, 5.0])
    >>> expected(lambda units: (w * units).sum(keepdims=True), np.array([1.0, 2.0]), p=0.5)  # (3*1 + 5*2) / 2
    array([6.5])
    """
    total: Array = np.zeros(())
    for bits in product((0.0, 1.0), repeat=x.size):
        z = np.array(bits, x.dtype).reshape(x.shape)
        kept = sum(bits)
        total = total + (1 - p) ** kept * p ** (x.size - kept) * function(forward(x, z))
    return total
