"""2-D locally connected layer: a convolution whose weights are not shared, each position has its own.

    y[n,o,i,j]         = b[o,i,j] + sum over c,u,v of  x[n,c,i*s+u*d,j*s+v*d] * w[i,j,o,c,u,v]

    dL/db[o,i,j]       = sum over n of  g[n,o,i,j]                               g = dL/dy
    dL/dw[i,j,o,c,u,v] = sum over n of  g[n,o,i,j] * x[n,c,i*s+u*d,j*s+v*d]
    dL/dx[n,c,h,k]     = sum over o,i,j,u,v with i*s+u*d = h, j*s+v*d = k of  g[n,o,i,j] * w[i,j,o,c,u,v]

As many multiply-adds as the convolution, I·J times its weights, and what it has learnt at one place it doesn't know at
another.

Source:  LeCun 1989, "Generalization and network design strategies"; Taigman et al. 2014, "DeepFace", section 2.2.
Checked: against unfold and autograd in torch, loops and finite differences in tests/math/test_locally_connected.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding, per_axis, zeros_per_axis
from striate.math.patches import crop, overlap_add, pad, patches


def weights_shape(
    x_shape: Sequence[int], filters: int, k: Number, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[int, ...]:
    """(I, J, O, C, U, V) of w for inputs (N, C, H, W).

    >>> weights_shape((1, 1, 6, 6), filters=2, k=3)
    (4, 4, 2, 1, 3, 3)

    Raises: ShapeError.
    """
    u, v = per_axis(k, 2, "k")
    one = filters, x_shape[1], u, v
    return (*conv2d.out_shape(x_shape, one, stride, padding, dilation)[2:], *one)


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[int, int, int, int]:
    """(N, O, I, J) of y.  Raises: ShapeError where w was made for another geometry."""
    if len(x_shape) != 4 or len(w_shape) != 6:
        raise ShapeError(f"x is {tuple(x_shape)}, w is {tuple(w_shape)}; expected (N, C, H, W) and (I, J, O, C, U, V)")
    expected = weights_shape(x_shape, w_shape[2], tuple(w_shape[4:]), stride, padding, dilation)
    if tuple(w_shape) != expected:
        raise ShapeError(f"w is {tuple(w_shape)}; over x {tuple(x_shape)} it has to be {expected}")
    return x_shape[0], w_shape[2], w_shape[0], w_shape[1]


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Multiply-accumulates for the whole batch: one for every image and weight.

    >>> macs((1, 1, 1, 7), (1, 3, 1, 1, 1, 3), stride=(1, 2))  # the lectures' nine connections
    9
    """
    out_shape(x_shape, w_shape, stride, padding, dilation)
    return x_shape[0] * int(np.prod(w_shape))


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Array:
    """x (N, C, H, W), w (I, J, O, C, U, V), b (O, I, J) or None -> y (N, O, I, J).  Raises: ShapeError."""
    _, o, i, j = out_shape(x.shape, w.shape, stride, padding, dilation)
    y = (w.reshape(i, j, o, -1) @ _columns(x, w, stride, padding, dilation)).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(y) if b is None else y + b


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.  Raises: ShapeError."""
    n, o, i, j = out_shape(x.shape, w.shape, stride, padding, dilation)
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    sides = zeros_per_axis(x.shape[2:], w.shape[4:], s, padding, d)
    padded = tuple(size + before + after for size, (before, after) in zip(x.shape[2:], sides, strict=True))
    at = g.transpose(2, 3, 1, 0)
    dw = (at @ _columns(x, w, stride, padding, dilation).swapaxes(2, 3)).reshape(w.shape)
    shares = (w.reshape(i, j, o, -1).swapaxes(2, 3) @ at).reshape(i, j, *w.shape[3:], n)
    dx = crop(overlap_add(shares.transpose(5, 2, 0, 1, 3, 4), padded, s, d), sides)
    return dx, dw, g.sum(axis=0)


def _columns(x: Array, w: Array, stride: Number, padding: Padding, dilation: Number) -> Array:
    """(I, J, C·U·V, N): at each position, the patches of the batch."""
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    p = patches(pad(x, zeros_per_axis(x.shape[2:], w.shape[4:], s, padding, d)), w.shape[4:], s, d)
    return p.transpose(2, 3, 1, 4, 5, 0).reshape(*w.shape[:2], -1, x.shape[0])
