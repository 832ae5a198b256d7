"""Max pooling, by hand: the largest value under each window. Windows may overlap (AlexNet's 3 with stride 2).

    y[n,c,i,j]     = max over u,v of  x[n,c,i*s+u*d,j*s+v*d]

    dL/dx[n,c,h,k] = sum over i,j whose window's winner is (h,k) of  g[n,c,i,j]       g = dL/dy

The winner is the first of the largest in reading order; all others get nothing. Padding is -infinity: it never wins.

Source:  Ranzato et al. 2007, "Unsupervised learning of invariant feature hierarchies"; overlapping: Krizhevsky,
         Sutskever & Hinton 2012, section 3.4.
Checked: against torch.autograd in tests/math/test_pooling.py.
"""

import numpy as np
from numpy.typing import NDArray

from striate.math.arrays import Array, Pair, Whole
from striate.math.windows import Windows


def operations(x_shape: tuple[int, ...], k: Pair, stride: Pair | None = None, padding: Pair = 0) -> int:
    """Comparisons for the whole batch: one fewer than taps for each output.

    >>> operations((1, 6, 28, 28), k=2)
    3528
    """
    windows = Windows.over(np.empty(x_shape, np.float32), k, stride, padding)
    return x_shape[0] * x_shape[1] * windows.out[0] * windows.out[1] * (windows.k[0] * windows.k[1] - 1)


def forward(
    x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1, ceil: bool = False
) -> Array:
    """x (N, C, H, W) -> y (N, C, I, J). A stride of None is k."""
    return _winners(x, Windows.over(x, k, stride, padding, dilation, ceil))[0]


def backward(
    g: Array, x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1, ceil: bool = False
) -> Array:
    """g (N, C, I, J) = dL/dy -> dL/dx (N, C, H, W)."""
    windows = Windows.over(x, k, stride, padding, dilation, ceil)
    _, winner = _winners(x, windows)
    dx = np.zeros_like(windows.pad(x, 0.0))
    for tap, where in windows.taps():
        dx[where] += g * (winner == tap)
    return windows.unpad(dx)


def switches(
    x: Array, k: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1, ceil: bool = False
) -> Whole:
    """Where each window's winner stands: (N, C, I, J) positions h*W + w in its map. `unpool_switches` takes them."""
    windows = Windows.over(x, k, stride, padding, dilation, ceil)
    _, winner = _winners(x, windows)
    u, v = np.divmod(winner.astype(np.int64), windows.k[1])
    rows = np.arange(windows.out[0])[:, None] * windows.stride[0] + u * windows.dilation[0] - windows.padding[0]
    cols = np.arange(windows.out[1]) * windows.stride[1] + v * windows.dilation[1] - windows.padding[1]
    positions: Whole = rows * x.shape[3] + cols
    return positions


def _winners(x: Array, windows: Windows) -> tuple[Array, NDArray[np.int16]]:
    """The largest value under each window, and the number of the tap that saw it first."""
    padded = windows.pad(x, -np.inf)
    shape = (*x.shape[:2], *windows.out)
    y = np.full(shape, -np.inf, x.dtype)
    winner = np.zeros(shape, np.int16)
    for tap, where in windows.taps():
        seen = padded[where]
        better = (seen > y) | (seen != seen)  # not-a-number wins, as in torch: it must not get lost
        y = np.where(better, seen, y)
        winner[better] = tap
    return y, winner
