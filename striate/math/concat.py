"""Concatenation over channels, by hand.

    y[n,C1+..+Ci-1 + c,h,k] = xi[n,c,h,k]                  xi has Ci channels

    dL/dxi[n,c,h,k]         = g[n,C1+..+Ci-1 + c,h,k]      g = dL/dy

Source:  Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842, section 4 (depth concatenation).
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(*xs: Array) -> Array:
    """xs (N, Ci, ...) -> y (N, sum of Ci, ...)."""
    return np.concatenate(xs, axis=1)


def backward(g: Array, *xs: Array) -> tuple[Array, ...]:
    """g (N, sum of Ci, ...) = dL/dy -> dL/dxi (N, Ci, ...), one for each."""
    ends = np.cumsum([x.shape[1] for x in xs])
    return tuple(np.split(g, ends[:-1], axis=1))
