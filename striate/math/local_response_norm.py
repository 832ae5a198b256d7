"""Local response normalisation across channels, by hand: a value is divided by what its neighbours in depth say.

    d[n,c,h,k]     = k0 + alpha * sum over c' in window(c) of  x[n,c',h,k]^2
    y[n,c,h,k]     = x[n,c,h,k] / d[n,c,h,k]^beta

    dL/dx[n,c,..]  = g[n,c,..] * d[n,c,..]^-beta                                                 g = dL/dy
                     - 2 alpha beta x[n,c,..] * sum over c' whose window holds c of
                       g[n,c',..] * x[n,c',..] * d[n,c',..]^(-beta-1)

The window of c is the `size` channels from c - floor(size/2) on; channels that do not exist count as zero.
alpha is the paper's: the sum is not divided. torch and Caffe divide it by `size`, so their alpha is `size` times as
large: `paper_alpha` turns theirs into ours. (AlexNet: alpha 1e-4 in the paper's formula, with size 5, beta 0.75, k 2.)

Source:  Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks", 3.3.
Checked: against torch.autograd in tests/math/test_local_response_norm.py, and a slow loop over the paper's formula.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array


def paper_alpha(alpha: float, size: int) -> float:
    """The paper's alpha for that of torch and Caffe, which divide the sum by `size`.

    >>> paper_alpha(1e-4, 5)
    2e-05
    """
    return alpha / size


def operations(x_shape: tuple[int, ...], size: int) -> int:
    """A square and `size` additions, a power, a multiplication, an addition and a division for each value."""
    return prod(x_shape) * (size + 5)


def forward(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """x (N, C, H, W) -> y (N, C, H, W)."""
    y: Array = x * _divisor(x, size, alpha, k) ** -beta
    return y


def backward(g: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """g (N, C, H, W) = dL/dy -> dL/dx (N, C, H, W)."""
    d = _divisor(x, size, alpha, k)
    y_over_x = d**-beta
    before, after = size // 2, (size - 1) // 2
    told = _sum_over_channels(g * x * y_over_x / d, after, before)  # the windows that hold c, not those that c holds
    dx: Array = g * y_over_x - 2 * alpha * beta * x * told
    return dx


def _divisor(x: Array, size: int, alpha: float, k: float) -> Array:
    return k + alpha * _sum_over_channels(x * x, size // 2, (size - 1) // 2)


def _sum_over_channels(x: Array, before: int, after: int) -> Array:
    """The sum over channels c - before to c + after."""
    channels = x.shape[1]
    y = np.zeros_like(x)
    for step in range(-before, after + 1):
        low, high = max(0, -step), min(channels, channels - step)
        if low < high:
            y[:, low:high] += x[:, low + step : high + step]
    return y
