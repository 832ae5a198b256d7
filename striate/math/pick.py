"""Some of the channels, by hand, in the order asked for; one may be asked for twice.

    y[n,o,h,k]     = x[n,m[o],h,k]

    dL/dx[n,c,h,k] = sum over o with m[o] = c of  g[n,o,h,k]                       g = dL/dy

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", table I (what a map of C3 sees).
Checked: against torch.autograd in tests/math/test_moves.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, m: Sequence[int]) -> Array:
    """x (N, C, ...), m of length O -> y (N, O, ...).

    Raises: ShapeError if m names a channel that x does not have.
    """
    if any(not 0 <= channel < x.shape[1] for channel in m):
        raise ShapeError(f"channels {tuple(m)} are asked for; x {x.shape} has 0 to {x.shape[1] - 1}")
    return x[:, list(m)]


def backward(g: Array, x: Array, m: Sequence[int]) -> Array:
    """g (N, O, ...) = dL/dy -> dL/dx (N, C, ...)."""
    dx = np.zeros_like(x)
    for o, channel in enumerate(m):
        dx[:, channel] += g[:, o]
    return dx
