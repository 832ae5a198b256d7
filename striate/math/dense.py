"""Dense (fully connected) layer, by hand.

    y[n,o]     = b[o] + sum over i of  x[n,i] * w[o,i]

    dL/dx[n,i] = sum over o of  g[n,o] * w[o,i]                       g = dL/dy
    dL/dw[o,i] = sum over n of  g[n,o] * x[n,i]
    dL/db[o]   = sum over n of  g[n,o]

Source:  Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors", eq. 1, 5 and 6.
Checked: against torch.autograd and finite differences in tests/math/test_dense.py.
"""

from striate.errors import ShapeError
from striate.math.arrays import Array


def macs(x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates for the whole batch: one for every (n, o, i).

    >>> macs((1, 400), (120, 400))  # LeNet-5's first dense layer
    48000
    """
    return x_shape[0] * w_shape[0] * w_shape[1]


def forward(x: Array, w: Array, b: Array | None = None) -> Array:
    """x (N, I), w (O, I), b (O,) -> y (N, O).

    Raises: ShapeError if x has not I features.
    """
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"x has the shape {x.shape} but w {w.shape} expects (N, {w.shape[-1]})")
    y: Array = x @ w.T
    return y if b is None else y + b


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """g (N, O) = dL/dy -> dL/dx (N, I), dL/dw (O, I), dL/db (O,)."""
    return g @ w, g.T @ x, g.sum(axis=0)
