"""2-D convolution as one matrix product: every patch of the batch becomes a column (im2col).

    X[(c,u,v), (n,i,j)] = x[n, c, i*s+u*d, j*s+v*d]          (C·U·V, N·I·J)
    Y = W X + b                                              W (O, C·U·V): a filter is a row;  Y (O, N·I·J)

    dL/dW = G X^T        dL/dX = W^T G        dL/dx = col2im(dL/dX)

col2im adds where patches overlap: a pixel is in up to U·V columns, and gets a share from each.

Operations: those of the loops; the gain is that one large product is what processors are made for. The price is memory:
with stride 1 X is nearly U·V times as large as x. `conv2d` does the same image by image, which bounds the price.

Source:  Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document processing".
Checked: against `conv2d`, its operations by counting and its memory by measuring, in tests/math/test_algorithms.py.
"""

from collections.abc import Sequence

from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding, per_axis, zeros_per_axis
from striate.math.operations import Operations
from striate.math.patches import crop, overlap_add, pad, patches


def operations(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Operations:
    """Of one forward pass with bias: in each of the N·O·I·J dot products one sum less, and one for the bias.

    >>> operations((1, 1, 4, 4), (1, 1, 3, 3))
    Operations(multiplications=36, additions=36)
    """
    macs = conv2d.macs(x_shape, w_shape, stride, padding, dilation)
    return Operations(macs, macs)


def memory(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Values of X, all groups together: C·U·V a position.

    >>> memory((1, 3, 4, 4), (4, 3, 2, 2))  # the lectures' 12 x 9
    108
    """
    n, _, i, j = conv2d.out_shape(x_shape, w_shape, stride, padding, dilation)
    return x_shape[1] * w_shape[2] * w_shape[3] * n * i * j


def im2col(x: Array, k: Number, stride: Number = 1, padding: Padding = 0, dilation: Number = 1) -> Array:
    """x (N, C, H, W) -> (C·U·V, N·I·J): columns are patches, the images one after the other.

    >>> import numpy as np
    >>> im2col(np.zeros((4, 3, 4, 4)), 2).shape
    (12, 36)
    """
    k, s, d = per_axis(k, 2, "k"), per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    conv2d.out_shape(x.shape, (1, x.shape[1], *k), s, padding, d)
    p = patches(pad(x, zeros_per_axis(x.shape[2:], k, s, padding, d)), k, s, d)
    return p.transpose(1, 4, 5, 0, 2, 3).reshape(x.shape[1] * k[0] * k[1], -1)


def col2im(
    columns: Array, x_shape: Sequence[int], k: Number, stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Array:
    """(C·U·V, N·I·J) -> (N, C, H, W): each column added where `im2col` took it; the transpose, not the inverse.

    >>> import numpy as np
    >>> col2im(np.ones((4, 9)), (1, 1, 4, 4), 2)[0, 0].tolist()
    [[1.0, 2.0, 2.0, 1.0], [2.0, 4.0, 4.0, 2.0], [2.0, 4.0, 4.0, 2.0], [1.0, 2.0, 2.0, 1.0]]
    """
    k, s, d = per_axis(k, 2, "k"), per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    n, c = x_shape[:2]
    _, _, i, j = conv2d.out_shape(x_shape, (1, c, *k), s, padding, d)
    sides = zeros_per_axis(x_shape[2:], k, s, padding, d)
    padded = tuple(size + before + after for size, (before, after) in zip(x_shape[2:], sides, strict=True))
    p = columns.reshape(c, *k, n, i, j).transpose(3, 0, 4, 5, 1, 2)
    return crop(overlap_add(p, padded, s, d), sides)


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, H, W), w (O, C / groups, U, V), b (O,) or None -> y (N, O, I, J).  Raises: ShapeError."""
    conv2d.check(x.shape, w.shape, groups)
    n, o, i, j = conv2d.out_shape(x.shape, w.shape, stride, padding, dilation)
    columns = im2col(x, w.shape[2:], stride, padding, dilation)
    y = _rows(w, groups) @ columns.reshape(groups, -1, n * i * j)
    y = y.reshape(o, n, i, j).swapaxes(0, 1)
    return y if b is None else y + b[:, None, None]


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/db: two matrix products and a col2im.  Raises: ShapeError."""
    conv2d.check(x.shape, w.shape, groups)
    columns = im2col(x, w.shape[2:], stride, padding, dilation)
    rows = g.swapaxes(0, 1).reshape(groups, w.shape[0] // groups, -1)
    dw = (rows @ columns.reshape(groups, -1, columns.shape[1]).swapaxes(1, 2)).reshape(w.shape)
    dcolumns = (_rows(w, groups).swapaxes(1, 2) @ rows).reshape(columns.shape)
    return col2im(dcolumns, x.shape, w.shape[2:], stride, padding, dilation), dw, g.sum(axis=(0, 2, 3))


def _rows(w: Array, groups: int) -> Array:
    return w.reshape(groups, w.shape[0] // groups, -1)
