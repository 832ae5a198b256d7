"""2-D convolution (cross-correlation, as in every CNN library), by hand.

    y[n,o,i,j]      = b[o] + sum over c,u,v of  x[n,c,i*s+u*d,j*s+v*d] * w[o,c,u,v]

    dL/db[o]        = sum over n,i,j of  g[n,o,i,j]                       g = dL/dy
    dL/dw[o,c,u,v]  = sum over n,i,j of  g[n,o,i,j] * x[n,c,i*s+u*d,j*s+v*d]
    dL/dx[n,c,h,k]  = sum over o,i,j,u,v with i*s+u*d = h, j*s+v*d = k of  g[n,o,i,j] * w[o,c,u,v]

x stands for the input after zeros were added (`geometry` says how many); s is the stride, d the dilation. With groups
the channels are dealt out: the o of a group see the c of the same group only, and w[o,c,u,v] has C / groups of them.

Each sum is one matrix product an image, of the weights with the patches; so the patches of a whole batch never lie in
memory together.

Source:  LeCun, Bottou, Bengio & Haffner 1998; Dumoulin & Visin 2016, arXiv:1603.07285.
Checked: against torch.autograd, finite differences and loops in tests/math/test_conv2d.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array
from striate.math.geometry import Padding, Sides, out_size, per_axis, zeros_per_axis
from striate.math.patches import crop, overlap_add, pad, patches

Number = int | Sequence[int]  # for both axes, or (rows, columns)


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> tuple[int, int, int, int]:
    """(N, O, I, J) of y.

    >>> out_shape((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    (1, 64, 112, 112)

    Raises: ShapeError.
    """
    (s, d), sides = _geometry(x_shape, w_shape, stride, padding, dilation)
    rows, cols = (out_size(x_shape[2 + a], w_shape[2 + a], s[a], sides[a], d[a]) for a in (0, 1))
    return x_shape[0], w_shape[0], rows, cols


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Multiply-accumulates for the whole batch: one for every (n, o, i, j, c, u, v), those with a zero included.

    >>> macs((1, 3, 12, 12), (128, 3, 5, 5))
    614400
    """
    n, o, i, j = out_shape(x_shape, w_shape, stride, padding, dilation)
    return n * o * i * j * w_shape[1] * w_shape[2] * w_shape[3]


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, H, W), w (O, C / groups, U, V), b (O,) or None -> y (N, O, I, J).

    Raises: ShapeError.
    """
    check(x.shape, w.shape, groups)
    shape = out_shape(x.shape, w.shape, stride, padding, dilation)
    y = np.empty(shape, np.result_type(x, w))
    filters = _grouped(w, groups)
    for n, columns in enumerate(_columns(x, w, stride, padding, dilation, groups)):
        y[n] = (filters @ columns).reshape(shape[1:])
    if b is not None:
        y += b[:, None, None]
    return y


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.

    Raises: ShapeError.
    """
    check(x.shape, w.shape, groups)
    (s, d), sides = _geometry(x.shape, w.shape, stride, padding, dilation)
    rows, cols = g.shape[2:]
    padded = tuple(size + before + after for size, (before, after) in zip(x.shape[2:], sides, strict=True))
    filters = _grouped(w, groups)
    dw = np.zeros(filters.shape, np.result_type(g, x))
    dx = np.empty_like(x)
    for n, columns in enumerate(_columns(x, w, stride, padding, dilation, groups)):
        g_n = g[n].reshape(groups, -1, rows * cols)
        dw += g_n @ columns.swapaxes(1, 2)
        shares = (filters.swapaxes(1, 2) @ g_n).reshape(x.shape[1], *w.shape[2:], rows, cols)
        dx[n] = crop(overlap_add(shares.transpose(0, 3, 4, 1, 2), padded, s, d), sides)
    return dx, dw.reshape(w.shape), g.sum(axis=(0, 2, 3))


def check(x_shape: Sequence[int], w_shape: Sequence[int], groups: int) -> None:
    """Say what is wrong with the shapes of x and w, if anything is.

    Raises: ShapeError.
    """
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, H, W) and (O, C, U, V)")
    c, o = x_shape[1], w_shape[0]
    if groups < 1 or c % groups or o % groups:
        raise ShapeError(f"{groups} groups can't share {c} channels and {o} filters evenly; expected a divisor of both")
    if w_shape[1] * groups != c:
        raise ShapeError(
            f"x has {c} channels but w {tuple(w_shape)} with {groups} groups expects {w_shape[1] * groups}"
        )


def _grouped(w: Array, groups: int) -> Array:
    """(O, C, U, V) -> (groups, O / groups, C*U*V): a filter is a row."""
    return w.reshape(groups, w.shape[0] // groups, -1)


def _columns(x: Array, w: Array, stride: Number, padding: Padding, dilation: Number, groups: int) -> Iterator[Array]:
    """Image by image, (groups, C*U*V, I*J): a patch is a column."""
    (s, d), sides = _geometry(x.shape, w.shape, stride, padding, dilation)
    k = w.shape[2:]
    for image in x:
        p = patches(pad(image, sides), k, s, d).transpose(0, 3, 4, 1, 2)
        yield p.reshape(groups, w.shape[1] * k[0] * k[1], -1)


def _geometry(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number, padding: Padding, dilation: Number
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[Sides, ...]]:
    """(stride, dilation) and the zeros, an axis each."""
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    return (s, d), zeros_per_axis(x_shape[2:], w_shape[2:], s, padding, d)
