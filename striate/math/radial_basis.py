"""Radial basis units, by hand: the squared distance of the features to each class's prototype.

    y[n,i]     = sum over j of  (x[n,j] - w[i,j])^2

    dL/dx[n,j] = 2 * sum over i of  g[n,i] * (x[n,j] - w[i,j])                       g = dL/dy
    dL/dw[i,j] = 2 * sum over n of  g[n,i] * (w[i,j] - x[n,j])

In LeNet-5 w is fixed: 7 by 12 bitmaps of the digits, of -1 and 1. The smallest y is the answer; as logits, take -y.

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", eq. 7.
Checked: against torch.autograd in tests/math/test_lenet_1998.py.
"""

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> int:
    """A subtraction, a multiplication and an addition for every (n, i, j)."""
    return 3 * x_shape[0] * w_shape[0] * w_shape[1]


def forward(x: Array, w: Array) -> Array:
    """x (N, J), w (I, J) -> y (N, I), none below 0.

    Raises: ShapeError if x has not J features.
    """
    y: Array = (_differences(x, w) ** 2).sum(axis=-1)
    return y


def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """g (N, I) = dL/dy -> dL/dx (N, J), dL/dw (I, J)."""
    share = 2 * g[:, :, None] * _differences(x, w)
    return share.sum(axis=1), -share.sum(axis=0)


def _differences(x: Array, w: Array) -> Array:
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"x has the shape {x.shape} but w {w.shape} expects (N, {w.shape[-1]})")
    return x[:, None] - w
