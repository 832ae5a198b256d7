"""Squeeze-and-excitation, by hand: what all of the image says decides how much each channel counts.

    q[n,c]     = mean over h,k of  x[n,c,h,k]                        squeeze
    t[n,m]     = b1[m] + sum over c of  q[n,c] * w1[m,c]             excite, through few units
    s[n,c]     = sigmoid(b2[c] + sum over m of  relu(t[n,m]) * w2[c,m])
    y[n,c,h,k] = x[n,c,h,k] * s[n,c]

    ds         = sum over h,k of  g[n,c,h,k] * x[n,c,h,k]            g = dL/dy; then back through the two layers to dq
    dL/dx[..]  = g[..] * s[n,c] + dq[n,c] / (H*W)

Source:  Hu, Shen & Sun 2017, arXiv:1709.01507, eq. 2 to 4 (with biases, as in the authors' published models).
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

from math import prod

from striate.math import dense, global_pool, multiply, relu, sigmoid
from striate.math.arrays import Array

Gradients = tuple[Array, Array, Array, Array, Array]


def operations(x_shape: tuple[int, ...], middle: int) -> int:
    """Additions of the mean and multiplications of the gate, and the two layers' multiplications and additions."""
    n, c = x_shape[:2]
    return 2 * prod(x_shape) + n * (4 * c * middle + middle + 3 * c)


def forward(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Array:
    """x (N, C, H, W), w1 (M, C), b1 (M,), w2 (C, M), b2 (C,) -> y (N, C, H, W)."""
    z = _through(x, w1, b1, w2, b2)[2]
    return multiply.forward(x, sigmoid.forward(z)[:, :, None, None])


def backward(g: Array, x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Gradients:
    """g (N, C, H, W) = dL/dy -> dL/dx, dL/dw1, dL/db1, dL/dw2, dL/db2, each of the shape of its argument."""
    q, t, z = _through(x, w1, b1, w2, b2)
    dx, ds = multiply.backward(g, x, sigmoid.forward(z)[:, :, None, None])
    da, dw2, db2 = dense.backward(sigmoid.backward(ds[:, :, 0, 0], z), relu.forward(t), w2)
    dq, dw1, db1 = dense.backward(relu.backward(da, t), q, w1)
    return dx + global_pool.backward(dq[:, :, None, None], x), dw1, db1, dw2, db2


def _through(x: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> tuple[Array, Array, Array]:
    q = global_pool.forward(x)[:, :, 0, 0]
    t = dense.forward(q, w1, b1)
    return q, t, dense.forward(relu.forward(t), w2, b2)
