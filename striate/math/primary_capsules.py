"""Primary capsules, by hand: D maps after the other become one capsule at every position, and are squashed.

    s[n,(k*H + h)*W + l,d] = x[n,k*D + d,h,l]             k counts the kinds of capsule
    v                      = squash(s)

    dL/dx[n,k*D + d,h,l]   = ds[n,(k*H + h)*W + l,d]      ds = squash.backward(g, s), g = dL/dv

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, section 4.
Checked: against torch.autograd in tests/math/test_capsules.py.
"""

from striate.errors import ShapeError
from striate.math import squash
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...], d: int) -> int:
    """Those of the squashing."""
    n, channels, h, w = x_shape
    return squash.operations((n, channels // d * h * w, d))


def forward(x: Array, d: int) -> Array:
    """x (N, K*D, H, W) -> v (N, K*H*W, D).

    Raises: ShapeError if the channels can't be divided into capsules of D.
    """
    return squash.forward(_cut(x, d))


def backward(g: Array, x: Array, d: int) -> Array:
    """g (N, K*H*W, D) = dL/dv -> dL/dx (N, K*D, H, W)."""
    n, channels, h, w = x.shape
    ds = squash.backward(g, _cut(x, d))
    return ds.reshape(n, channels // d, h * w, d).swapaxes(2, 3).reshape(x.shape)


def _cut(x: Array, d: int) -> Array:
    n, channels, h, w = x.shape
    if channels % d:
        raise ShapeError(f"{channels} channels can't be divided into capsules of {d} values")
    return x.reshape(n, channels // d, d, h * w).swapaxes(2, 3).reshape(n, -1, d)
