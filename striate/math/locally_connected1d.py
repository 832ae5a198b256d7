"""1-D locally connected layer, by hand: a 2-D one on images of one row.

    y[n,o,i]       = b[o,i] + sum over c,u of  x[n,c,i*s+u*d] * w[i,o,c,u]

    dL/db[o,i]     = sum over n of  g[n,o,i]                              g = dL/dy
    dL/dw[i,o,c,u] = sum over n of  g[n,o,i] * x[n,c,i*s+u*d]
    dL/dx[n,c,h]   = sum over o,i,u with i*s+u*d = h of  g[n,o,i] * w[i,o,c,u]

Source:  LeCun 1989, "Generalization and network design strategies".
Checked: against loops, torch and finite differences in tests/math/test_locally_connected.py.
"""

from collections.abc import Sequence

from striate.errors import ShapeError
from striate.math import locally_connected2d
from striate.math.arrays import Array
from striate.math.geometry import Sides


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> tuple[int, int, int]:
    """(N, O, I) of y.  Raises: ShapeError where w was made for another geometry."""
    x_row, w_row = _rows(x_shape, w_shape)
    n, o, _, i = locally_connected2d.out_shape(x_row, w_row, (1, stride), (0, padding), (1, dilation))
    return n, o, i


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> int:
    """Multiply-accumulates for the whole batch: one for every image and weight.

    >>> macs((1, 1, 7), (3, 1, 1, 3), stride=2)
    9
    """
    x_row, w_row = _rows(x_shape, w_shape)
    return locally_connected2d.macs(x_row, w_row, (1, stride), (0, padding), (1, dilation))


def forward(
    x: Array, w: Array, b: Array | None = None, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> Array:
    """x (N, C, H), w (I, O, C, U), b (O, I) or None -> y (N, O, I).  Raises: ShapeError."""
    _rows(x.shape, w.shape)
    b_row = None if b is None else b[:, None]
    y = locally_connected2d.forward(
        x[:, :, None], w[None, :, :, :, None], b_row, (1, stride), (0, padding), (1, dilation)
    )
    return y[:, :, 0]


def backward(
    g: Array, x: Array, w: Array, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I) = dL/dy -> dL/dx, dL/dw, dL/db, each of the shape of x, w, b.  Raises: ShapeError."""
    _rows(x.shape, w.shape)
    row = g[:, :, None], x[:, :, None], w[None, :, :, :, None]
    dx, dw, db = locally_connected2d.backward(*row, (1, stride), (0, padding), (1, dilation))
    return dx[:, :, 0], dw[0, :, :, :, 0], db[:, 0]


def _rows(x_shape: Sequence[int], w_shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same with an axis of one row."""
    if len(x_shape) != 3 or len(w_shape) != 4:
        raise ShapeError(f"x is {tuple(x_shape)} and w is {tuple(w_shape)}; expected (N, C, H) and (I, O, C, U)")
    return (*x_shape[:2], 1, x_shape[2]), (1, *w_shape[:3], 1, w_shape[3])
