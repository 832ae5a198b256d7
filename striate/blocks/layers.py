"""The two layers that every network since 2015 is made of, with the arguments that papers do not print filled in."""

from torch import nn


def conv(c_in: int, c_out: int, k: int | tuple[int, int], stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A k×k convolution for use before `norm`: no bias, since the norm has one, and padded by (k-1)//2.

    (N, c_in, H, W) -> (N, c_out, ceil(H/stride), ceil(W/stride)) for odd k.
    """
    padding = (k - 1) // 2 if isinstance(k, int) else ((k[0] - 1) // 2, (k[1] - 1) // 2)
    return nn.Conv2d(c_in, c_out, k, stride, padding, groups=groups, bias=False)


def norm(c: int, eps: float = 1e-5) -> nn.BatchNorm2d:
    """Batch normalisation of c channels.  (N, c, H, W) -> (N, c, H, W)"""
    return nn.BatchNorm2d(c, eps)


def whole8(c: float) -> int:
    """The multiple of 8 nearest to c channels, at least 8 and at least 0.9 c: how a width multiplier is rounded.

    >>> [whole8(c) for c in (3, 31.2, 33.6, 44.8)]
    [8, 32, 32, 48]

    Source: Howard et al.'s and Sandler et al.'s published code for MobileNet; EfficientNet and MnasNet round alike.
    """
    nearest = max(8, int(c + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * c else nearest + 8
