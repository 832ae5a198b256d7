"""Average pooling, by hand: the mean under each window.

    y[n,c,i,j]     = 1/m[i,j] * sum over u,v of  x[n,c,i*s+u,j*s+v]

    dL/dx[n,c,h,k] = sum over i,j whose window sees (h,k) of  g[n,c,i,j] / m[i,j]       g = dL/dy

Padding is zeros. m is how many positions the mean is over: those of the padded map (`forward`: padding counts) or those
of the map itself (`forward_without_padding`). What a last window with `ceil` reaches over the padding never counts.
`forward_sum` has m = 1.

Source:  LeCun et al. 1989, "Handwritten digit recognition with a back-propagation network" (sub-sampling).
Checked: against torch.autograd in tests/math/test_pooling.py.
"""

import numpy as np

from striate.math.arrays import Array, Pair
from striate.math.windows import Windows


def operations(x_shape: tuple[int, ...], k: Pair, stride: Pair | None = None, padding: Pair = 0) -> int:
    """Additions and divisions for the whole batch: as many as taps for each output.

    >>> operations((1, 6, 28, 28), k=2)
    4704
    """
    windows = Windows.over(np.empty(x_shape, np.float32), k, stride, padding)
    return x_shape[0] * x_shape[1] * windows.out[0] * windows.out[1] * windows.k[0] * windows.k[1]


def forward(x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False) -> Array:
    """x (N, C, H, W) -> y (N, C, I, J), padding counted in the mean. A stride of None is k."""
    windows = Windows.over(x, k, stride, padding, ceil=ceil)
    return _sums(x, windows) / windows.counts(with_padding=True).astype(x.dtype)


def backward(g: Array, x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False) -> Array:
    """g (N, C, I, J) = dL/dy -> dL/dx (N, C, H, W)."""
    windows = Windows.over(x, k, stride, padding, ceil=ceil)
    return _spread(g / windows.counts(with_padding=True).astype(x.dtype), x, windows)


def forward_without_padding(
    x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False
) -> Array:
    """x (N, C, H, W) -> y (N, C, I, J), the mean over the positions of the map only."""
    windows = Windows.over(x, k, stride, padding, ceil=ceil)
    return _sums(x, windows) / windows.counts(with_padding=False).astype(x.dtype)


def backward_without_padding(
    g: Array, x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False
) -> Array:
    """g (N, C, I, J) = dL/dy of `forward_without_padding` -> dL/dx (N, C, H, W)."""
    windows = Windows.over(x, k, stride, padding, ceil=ceil)
    return _spread(g / windows.counts(with_padding=False).astype(x.dtype), x, windows)


def forward_sum(x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False) -> Array:
    """x (N, C, H, W) -> y (N, C, I, J), the sum under each window."""
    return _sums(x, Windows.over(x, k, stride, padding, ceil=ceil))


def backward_sum(
    g: Array, x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, ceil: bool = False
) -> Array:
    """g (N, C, I, J) = dL/dy of `forward_sum` -> dL/dx (N, C, H, W)."""
    return _spread(g, x, Windows.over(x, k, stride, padding, ceil=ceil))


def _sums(x: Array, windows: Windows) -> Array:
    padded = windows.pad(x, 0.0)
    y = np.zeros((*x.shape[:2], *windows.out), x.dtype)
    for _, where in windows.taps():
        y += padded[where]
    return y


def _spread(g: Array, x: Array, windows: Windows) -> Array:
    dx = np.zeros_like(windows.pad(x, 0.0))
    for _, where in windows.taps():
        dx[where] += g
    return windows.unpad(dx)
