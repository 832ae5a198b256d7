"""2-D convolution by seven loops: the formula of `conv2d`, index by index.

Slow in Python (about a million times a second through the innermost line), and the one to read first. It needs no
memory beyond its input and output.

Operations: one product and one sum for every (n, o, i, j, c, u, v); the sum begins at b[o]. Zeros of the padding are
multiplied like everything else.

Source:  LeCun, Bottou, Bengio & Haffner 1998.
Checked: against `conv2d`, and its operations by counting them, in tests/math/test_algorithms.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding, per_axis, zeros_per_axis
from striate.math.operations import Operations
from striate.math.patches import crop, pad


def operations(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Operations:
    """Of one forward pass with bias.

    >>> operations((1, 1, 4, 4), (1, 1, 3, 3))
    Operations(multiplications=36, additions=36)
    """
    macs = conv2d.macs(x_shape, w_shape, stride, padding, dilation)
    return Operations(macs, macs)


def memory(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Values kept besides x, w and y: none. (The zeros around x could be looked up; here they are laid.)"""
    conv2d.out_shape(x_shape, w_shape, stride, padding, dilation)
    return 0


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, H, W), w (O, C / groups, U, V), b (O,) or None -> y (N, O, I, J).  Raises: ShapeError."""
    conv2d.check(x.shape, w.shape, groups)
    y = np.empty(conv2d.out_shape(x.shape, w.shape, stride, padding, dilation), np.result_type(x, w))
    (s, t), (d, e) = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    x = pad(x, zeros_per_axis(x.shape[2:], w.shape[2:], (s, t), padding, (d, e)))
    channels, k_rows, k_cols = w.shape[1:]
    for n, o, i, j in np.ndindex(y.shape):
        first = o // (w.shape[0] // groups) * channels
        total = 0 if b is None else b[o]
        for c in range(channels):
            for u in range(k_rows):
                for v in range(k_cols):
                    total = total + x[n, first + c, i * s + u * d, j * t + v * e] * w[o, c, u, v]
        y[n, o, i, j] = total
    return y


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/db: each product of the forward pass hands g to both its factors."""
    conv2d.check(x.shape, w.shape, groups)
    (s, t), (d, e) = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    sides = zeros_per_axis(x.shape[2:], w.shape[2:], (s, t), padding, (d, e))
    x = pad(x, sides)
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(w[:, 0, 0, 0])
    channels, k_rows, k_cols = w.shape[1:]
    for n, o, i, j in np.ndindex(g.shape):
        first = o // (w.shape[0] // groups) * channels
        db[o] += g[n, o, i, j]
        for c in range(channels):
            for u in range(k_rows):
                for v in range(k_cols):
                    at = n, first + c, i * s + u * d, j * t + v * e
                    dx[at] += g[n, o, i, j] * w[o, c, u, v]
                    dw[o, c, u, v] += g[n, o, i, j] * x[at]
    return crop(dx, sides), dw, db
