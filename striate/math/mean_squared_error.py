"""Mean squared error, by hand.

    E       = 1/P * sum over p of  (t[p] - a[p])^2           a: what the network says, t: what is right

    dE/da[p] = 2/P * (a[p] - t[p])                           p runs over all P numbers, whatever their arrangement

Source:  the lectures' pages on back-propagation; Rumelhart, Hinton & Williams 1986 have 1/2 in place of 1/P.
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

from striate.errors import ShapeError
from striate.math.arrays import Array


def operations(a_shape: tuple[int, ...]) -> int:
    """A subtraction, a multiplication and an addition for each number."""
    return 3 * prod(a_shape)


def forward(a: Array, t: Array) -> float:
    """a, t of one shape -> E.

    Raises: ShapeError if they differ in shape.
    """
    if a.shape != t.shape:
        raise ShapeError(f"a has the shape {a.shape}; expected that of the targets, {t.shape}")
    return float(((t - a) ** 2).mean())


def backward(g: float, a: Array, t: Array) -> Array:
    """g = dL/dE -> dL/da of the shape of a."""
    return 2 * g / a.size * (a - t)
