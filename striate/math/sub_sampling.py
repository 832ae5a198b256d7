"""LeNet's trainable sub-sampling, by hand: sums of k by k positions, a coefficient and a bias for each map.

    p[n,c,i,j]     = sum over u,v < k of  x[n,c,i*k+u,j*k+v]
    y[n,c,i,j]     = w[c] * p[n,c,i,j] + b[c]

    dL/dx[n,c,h,l] = w[c] * g[n,c,floor(h/k),floor(l/k)]                       g = dL/dy
    dL/dw[c]       = sum over n,i,j of  g[n,c,i,j] * p[n,c,i,j]
    dL/db[c]       = sum over n,i,j of  g[n,c,i,j]

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B: S2 has 12
         trainable parameters for 6 maps. The squashing that follows is `scaled_tanh`.
Checked: against torch.autograd in tests/math/test_lenet_1998.py.
"""

from striate.math import average_pool, channel_affine
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...], k: int = 2) -> int:
    """Three additions, a multiplication and an addition for each output where k is 2."""
    n, c, h, w = x_shape
    return n * c * (h // k) * (w // k) * (k * k + 1)


def forward(x: Array, w: Array, b: Array, k: int = 2) -> Array:
    """x (N, C, H, W), w (C,), b (C,) -> y (N, C, H/k, W/k)."""
    return channel_affine.forward(average_pool.forward_sum(x, k), w, b)


def backward(g: Array, x: Array, w: Array, k: int = 2) -> tuple[Array, Array, Array]:
    """g (N, C, H/k, W/k) = dL/dy -> dL/dx (N, C, H, W), dL/dw (C,), dL/db (C,)."""
    dp, dw, db = channel_affine.backward(g, average_pool.forward_sum(x, k), w)
    return average_pool.backward_sum(dp, x, k), dw, db
