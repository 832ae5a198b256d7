"""2-D transposed convolution: what `conv2d` does to gradients, as a forward pass. It enlarges.

    y[n,o,h,k]      = b[o] + sum over c,i,j,u,v with i*s+u*d-p = h, j*s+v*d-p = k of  x[n,c,i,j] * w[c,o,u,v]

    dL/db[o]        = sum over n,h,k of  g[n,o,h,k]                       g = dL/dy
    dL/dw[c,o,u,v]  = sum over n,i,j of  x[n,c,i,j] * g[n,o,i*s+u*d-p,j*s+v*d-p]
    dL/dx[n,c,i,j]  = sum over o,u,v of  g[n,o,i*s+u*d-p,j*s+v*d-p] * w[c,o,u,v]

Every input pixel lays the kernel, times its value, on the output, s pixels from its neighbour's; where they overlap
they add; the p outermost rows and columns are cut off.

    out = (size - 1) · s - 2p + d · (k - 1) + 1 + output padding

Several sizes shrink to the same under a convolution with stride; the output padding, rows added at the end, says which
of them is meant. It is called deconvolution, too, but it undoes the shape of a convolution, not its values.

Source:  Zeiler, Krishnan, Taylor & Fergus 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, arXiv:1603.07285,
         section 4.
Checked: against torch.autograd, loops and finite differences in tests/math/test_conv_transpose2d.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import per_axis, span
from striate.math.patches import crop, overlap_add, pad, patches


def out_size(size: int, k: int, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1) -> int:
    """Rows (or columns) of y.

    >>> out_size(7, k=4, stride=2, padding=1)
    14

    Raises: ShapeError where nothing is left, or the output padding is no less than stride and dilation.
    """
    if not 0 <= output_padding < max(stride, dilation):
        raise ShapeError(
            f"output padding is {output_padding}; expected 0 to {max(stride, dilation) - 1}, "
            f"less than the stride {stride} or the dilation {dilation}"
        )
    out = (size - 1) * stride - 2 * padding + span(k, dilation) + output_padding
    if size < 1 or padding < 0 or out < 1:
        raise ShapeError(
            f"{size} positions, k = {k}, stride {stride} and padding {padding} leave {out} rows; expected 1 or more"
        )
    return out


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Number = 0,
    output_padding: Number = 0, dilation: Number = 1, groups: int = 1,
) -> tuple[int, int, int, int]:  # fmt: skip
    """(N, O, H, W) of y for x (N, C, I, J) and w (C, O / groups, U, V).  Raises: ShapeError."""
    check(x_shape, w_shape, groups)
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    p, q = per_axis(padding, 2, "padding", 0), per_axis(output_padding, 2, "output padding", 0)
    rows, cols = (out_size(x_shape[2 + a], w_shape[2 + a], s[a], p[a], q[a], d[a]) for a in (0, 1))
    return x_shape[0], w_shape[1] * groups, rows, cols


def macs(x_shape: Sequence[int], w_shape: Sequence[int], groups: int = 1) -> int:
    """Multiply-accumulates for the whole batch: each input meets each tap once, those that are cut off included.

    >>> macs((1, 8, 7, 7), (8, 4, 4, 4))
    25088
    """
    check(x_shape, w_shape, groups)
    return int(np.prod(x_shape)) * int(np.prod(w_shape[1:]))


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Number = 0, output_padding: Number = 0,
    dilation: Number = 1, groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, I, J), w (C, O / groups, U, V), b (O,) or None -> y (N, O, H, W).

    Raises: ShapeError.
    """
    n, o, rows, cols = out_shape(x.shape, w.shape, stride, padding, output_padding, dilation, groups)
    s, d, (p, q) = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation"), per_axis(padding, 2, "padding", 0)
    flat = x.reshape(n, groups, x.shape[1] // groups, -1)
    laid = (_rows(w, groups).swapaxes(1, 2) @ flat).reshape(n, o, *w.shape[2:], *x.shape[2:])
    whole = overlap_add(laid.transpose(0, 1, 4, 5, 2, 3), (rows + 2 * p, cols + 2 * q), s, d)
    y = crop(whole, ((p, p), (q, q)))
    return np.ascontiguousarray(y) if b is None else y + b[:, None, None]


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Number = 0, output_padding: Number = 0,
    dilation: Number = 1, groups: int = 1,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """g (N, O, H, W) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b; dL/dx is a convolution of g.

    Raises: ShapeError.
    """
    out_shape(x.shape, w.shape, stride, padding, output_padding, dilation, groups)
    s, d, (p, q) = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation"), per_axis(padding, 2, "padding", 0)
    n, c, i, j = x.shape
    seen = patches(pad(g, ((p, p), (q, q))), w.shape[2:], s, d)[:, :, :i, :j]
    columns = seen.transpose(0, 1, 4, 5, 2, 3).reshape(n, groups, -1, i * j)
    dx = (_rows(w, groups) @ columns).reshape(x.shape)
    flat = x.reshape(n, groups, c // groups, i * j)
    dw = (flat @ columns.swapaxes(2, 3)).sum(axis=0).reshape(w.shape)
    return dx, dw, g.sum(axis=(0, 2, 3))


def check(x_shape: Sequence[int], w_shape: Sequence[int], groups: int) -> None:
    """Say what is wrong with the shapes of x and w, if anything is.

    Raises: ShapeError.
    """
    if len(x_shape) != 4 or len(w_shape) != 4 or x_shape[1] != w_shape[0]:
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, I, J) and (C, O, U, V)")
    if groups < 1 or x_shape[1] % groups:
        raise ShapeError(f"{groups} groups can't share {x_shape[1]} channels evenly; expected a divisor")


def _rows(w: Array, groups: int) -> Array:
    """(C, O / groups, U, V) -> (groups, C / groups, O/groups·U·V): what an input channel lays is a row."""
    return w.reshape(groups, w.shape[0] // groups, -1)
