"""Multiplication, by hand, of maps with a gate that may have one value a channel, a position, or an image.

    y[n,c,h,k]     = x[n,c,h,k] * a[n,c,h,k]               a is repeated along its axes of length 1

    dL/dx[n,c,h,k] = g[n,c,h,k] * a[n,c,h,k]               g = dL/dy
    dL/da[n,c,h,k] = sum, along those axes, of  g[n,c,h,k] * x[n,c,h,k]

Source:  Hu, Shen & Sun 2017, "Squeeze-and-excitation networks", arXiv:1709.01507, eq. 4.
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

from math import prod

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """One multiplication for each value of y."""
    return prod(x_shape)


def forward(x: Array, a: Array) -> Array:
    """x (N, C, H, W), a of the same number of axes, each as long or 1 -> y (N, C, H, W)."""
    return x * a


def backward(g: Array, x: Array, a: Array) -> tuple[Array, Array]:
    """g (N, C, H, W) = dL/dy -> dL/dx, dL/da, each of the shape of x, a."""
    repeated = tuple(axis for axis, (long, short) in enumerate(zip(x.shape, a.shape, strict=True)) if long != short)
    da: Array = (g * x).sum(axis=repeated, keepdims=True) if repeated else g * x
    return g * a, da
