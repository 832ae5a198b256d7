"""Addition, by hand, as at the end of a residual block.

    y[..]      = x1[..] + x2[..] + ...

    dL/dxi[..] = g[..]                       g = dL/dy

Source:  He, Zhang, Ren & Sun 2015, arXiv:1512.03385, eq. 1.
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

from math import prod

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...], terms: int = 2) -> int:
    """One addition fewer than terms, for each value."""
    return (terms - 1) * prod(x_shape)


def forward(*xs: Array) -> Array:
    """xs of one shape -> y of that shape.

    Raises: ShapeError if their shapes differ.
    """
    if len({x.shape for x in xs}) != 1:
        raise ShapeError(
            f"arrays of the shapes {', '.join(str(x.shape) for x in xs)} can't be added; expected one shape"
        )
    y = xs[0]
    for x in xs[1:]:
        y = y + x
    return y


def backward(g: Array, *xs: Array) -> tuple[Array, ...]:
    """g = dL/dy -> dL/dxi, each the same g."""
    return (g,) * len(xs)
