"""L2 pooling, by hand: the length of what is under each window, as a vector.

    y[n,c,i,j]     = sqrt(sum over u,v of  x[n,c,i*s+u,j*s+v]^2)

    dL/dx[n,c,h,k] = x[n,c,h,k] * sum over i,j whose window sees (h,k) of  g[n,c,i,j] / y[n,c,i,j]       g = dL/dy

Where a window holds only zeros the length has no derivative; its share is taken as 0.

Source:  Boureau, Ponce & LeCun 2010, "A theoretical analysis of feature pooling in visual recognition".
Differs: some divide the sum by the number of taps (root mean square); torch's lp_pool2d, like this, does not.
Checked: against torch.autograd in tests/math/test_pooling.py.
"""

import numpy as np

from striate.math import average_pool
from striate.math.arrays import Array, Pair


def operations(x_shape: tuple[int, ...], k: Pair, stride: Pair | None = None, padding: Pair = 0) -> int:
    """Multiplications, additions and roots: twice the taps for each output."""
    return 2 * average_pool.operations(x_shape, k, stride, padding)


def forward(x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False) -> Array:
    """x (N, C, H, W) -> y (N, C, I, J). A stride of None is k.

    >>> forward(np.array([[[[3.0, 4.0]]]]), k=(1, 2)).item()
    5.0
    """
    return np.sqrt(average_pool.forward_sum(x * x, k, stride, padding, ceil))


def backward(g: Array, x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False) -> Array:
    """g (N, C, I, J) = dL/dy -> dL/dx (N, C, H, W)."""
    y = forward(x, k, stride, padding, ceil)
    share = np.divide(g, y, out=np.zeros_like(g), where=y > 0)
    return x * average_pool.backward_sum(share, x, k, stride, padding, ceil)
