"""Channel shuffle, by hand: the channels of G groups are dealt out in turn.

    y[n,r*G + q,h,k]         = x[n,q*(C/G) + r,h,k]         q = 0 .. G-1, r = 0 .. C/G-1

    dL/dx[n,q*(C/G) + r,h,k] = g[n,r*G + q,h,k]             g = dL/dy

Source:  Zhang, Zhou, Lin & Sun 2017, "ShuffleNet", arXiv:1707.01083, section 3.1.
Checked: against torch.autograd in tests/math/test_moves.py.
"""

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, groups: int) -> Array:
    """x (N, C, ...) -> y of the same shape.

    Raises: ShapeError if the channels can't be divided into so many groups.
    """
    if groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"{x.shape[1]} channels can't be divided into {groups} groups of one size")
    return _transposed(x, groups)


def backward(g: Array, groups: int) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x: the shuffle with C/G groups undoes that with G."""
    return _transposed(g, g.shape[1] // groups)


def _transposed(x: Array, groups: int) -> Array:
    n, c, *rest = x.shape
    return x.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(x.shape)
