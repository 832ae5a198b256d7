"""1-D convolution (cross-correlation, as in every CNN library), by hand: a 2-D one on images of one row.

    y[n,o,i]      = b[o] + sum over c,u of  x[n,c,i*s+u*d] * w[o,c,u]

    dL/db[o]      = sum over n,i of  g[n,o,i]                             g = dL/dy
    dL/dw[o,c,u]  = sum over n,i of  g[n,o,i] * x[n,c,i*s+u*d]
    dL/dx[n,c,h]  = sum over o,i,u with i*s+u*d = h of  g[n,o,i] * w[o,c,u]

x stands for the input after zeros were added; s is the stride, d the dilation; groups as in `conv2d`.

Source:  Waibel, Hanazawa, Hinton, Shikano & Lang 1989, "Phoneme recognition using time-delay neural networks".
Checked: against torch.autograd and finite differences in tests/math/test_conv1d.py.
"""

from collections.abc import Sequence

from striate.errors import ShapeError
from striate.math import conv2d
from striate.math.arrays import Array
from striate.math.geometry import Sides


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> tuple[int, int, int]:
    """(N, O, I) of y.

    >>> out_shape((1, 1, 7), (1, 1, 3), stride=2)
    (1, 1, 3)

    Raises: ShapeError.
    """
    check(x_shape, w_shape)
    n, o, _, i = conv2d.out_shape(_row(x_shape), _row(w_shape), (1, stride), (0, padding), (1, dilation))
    return n, o, i


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> int:
    """Multiply-accumulates for the whole batch: one for every (n, o, i, c, u).

    >>> macs((1, 1, 7), (1, 1, 3), stride=2)
    9
    """
    check(x_shape, w_shape)
    return conv2d.macs(_row(x_shape), _row(w_shape), (1, stride), (0, padding), (1, dilation))


def forward(
    x: Array, w: Array, b: Array | None = None, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, H), w (O, C / groups, U), b (O,) or None -> y (N, O, I).

    >>> import numpy as np
    >>> forward(np.array([[[1.0, 2, 3, 4, 5]]]), np.array([[[1.0, 0, -1]]])).tolist()
    [[[-2.0, -2.0, -2.0]]]

    Raises: ShapeError.
    """
    check(x.shape, w.shape)
    y = conv2d.forward(x[:, :, None], w[:, :, None], b, (1, stride), (0, padding), (1, dilation), groups)
    return y[:, :, 0]


def backward(
    g: Array, x: Array, w: Array, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.

    Raises: ShapeError.
    """
    check(x.shape, w.shape)
    row = (g[:, :, None], x[:, :, None], w[:, :, None])
    dx, dw, db = conv2d.backward(*row, (1, stride), (0, padding), (1, dilation), groups)
    return dx[:, :, 0], dw[:, :, 0], db


def check(x_shape: Sequence[int], w_shape: Sequence[int]) -> None:
    """Say so if x and w have not three axes.

    Raises: ShapeError.
    """
    if len(x_shape) != 3 or len(w_shape) != 3:
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, H) and (O, C, U)")


def _row(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape[:2], 1, *shape[2:])
