"""Depthwise convolution: every channel has kernels of its own and sees no other channel.

    y[n,c*m+q,i,j]    = b[c*m+q] + sum over u,v of  x[n,c,i*s+u*d,j*s+v*d] * w[c*m+q,u,v]        q < m kernels each

    dL/db[o]          = sum over n,i,j of  g[n,o,i,j]                                            g = dL/dy
    dL/dw[c*m+q,u,v]  = sum over n,i,j of  g[n,c*m+q,i,j] * x[n,c,i*s+u*d,j*s+v*d]
    dL/dx[n,c,h,k]    = sum over q,i,j,u,v with i*s+u*d = h, j*s+v*d = k of  g[n,c*m+q,i,j] * w[c*m+q,u,v]

It is `conv2d` with as many groups as channels. There is too little to add up for a matrix product to gain anything, so
one tap after the other goes over the whole map, and no patches are laid out.

Source:  Sifre 2014, "Rigid-motion scattering for image classification"; Howard et al. 2017, arXiv:1704.04861, eq. 3.
Checked: against torch.autograd and `conv2d` in tests/math/test_separable.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding, per_axis, zeros_per_axis
from striate.math.patches import crop, pad


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[int, int, int, int]:
    """(N, C·m, I, J) of y.  Raises: ShapeError."""
    check(x_shape, w_shape)
    return conv2d.out_shape(x_shape, (w_shape[0], 1, *w_shape[1:]), stride, padding, dilation)


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Multiply-accumulates for the whole batch.

    >>> macs((1, 3, 12, 12), (3, 5, 5))  # the lectures' depthwise part
    4800
    """
    n, o, i, j = out_shape(x_shape, w_shape, stride, padding, dilation)
    return n * o * i * j * w_shape[1] * w_shape[2]


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Array:
    """x (N, C, H, W), w (C·m, U, V), b (C·m,) or None -> y (N, C·m, I, J).  Raises: ShapeError."""
    shape = out_shape(x.shape, w.shape, stride, padding, dilation)
    m = w.shape[0] // x.shape[1]
    y = np.zeros((shape[0], x.shape[1], m, *shape[2:]), np.result_type(x, w))
    padded = _padded(x, w, stride, padding, dilation)
    for (u, v), seen in _taps(w.shape, shape, stride, dilation):
        y += padded[seen][:, :, None] * w[:, u, v].reshape(-1, m)[:, :, None, None]
    y = y.reshape(shape)
    return y if b is None else y + b[:, None, None]


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[Array, Array, Array]:
    """g (N, C·m, I, J) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.  Raises: ShapeError."""
    check(x.shape, w.shape)
    m = w.shape[0] // x.shape[1]
    gs = g.reshape(g.shape[0], x.shape[1], m, *g.shape[2:])
    padded = _padded(x, w, stride, padding, dilation)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for (u, v), seen in _taps(w.shape, g.shape, stride, dilation):
        dx[seen] += np.einsum("ncqij,cq->ncij", gs, w[:, u, v].reshape(-1, m))
        dw[:, u, v] = np.einsum("ncqij,ncij->cq", gs, padded[seen]).reshape(-1)
    d = per_axis(dilation, 2, "dilation")
    sides = zeros_per_axis(x.shape[2:], w.shape[1:], per_axis(stride, 2, "stride"), padding, d)
    return crop(dx, sides), dw, g.sum(axis=(0, 2, 3))


def check(x_shape: Sequence[int], w_shape: Sequence[int]) -> None:
    """Say what is wrong with the shapes of x and w, if anything is.

    Raises: ShapeError.
    """
    if len(x_shape) != 4 or len(w_shape) != 3 or w_shape[0] % x_shape[1]:
        raise ShapeError(
            f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, H, W) and (C·m, U, V), m kernels each"
        )


def _padded(x: Array, w: Array, stride: Number, padding: Padding, dilation: Number) -> Array:
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    return pad(x, zeros_per_axis(x.shape[2:], w.shape[1:], s, padding, d))


def _taps(
    w_shape: Sequence[int], y_shape: Sequence[int], stride: Number, dilation: Number
) -> Iterator[tuple[tuple[int, int], tuple[slice, ...]]]:
    """Each tap, and the slices of the padded x that it sees."""
    (s, t), (d, e) = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    for u in range(w_shape[1]):
        for v in range(w_shape[2]):
            rows = slice(u * d, u * d + (y_shape[2] - 1) * s + 1, s)
            cols = slice(v * e, v * e + (y_shape[3] - 1) * t + 1, t)
            yield (u, v), (slice(None), slice(None), rows, cols)
