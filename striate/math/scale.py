"""A fixed factor, by hand: what a wide residual block adds is made small.

    y[..]     = f * x[..]

    dL/dx[..] = f * g[..]                       g = dL/dy

Source:  Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv:1602.07261, section 3.3.
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

from math import prod

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """One multiplication for each value."""
    return prod(x_shape)


def forward(x: Array, f: float) -> Array:
    """x -> y of the same shape."""
    return f * x


def backward(g: Array, f: float) -> Array:
    """g = dL/dy -> dL/dx of the same shape."""
    return f * g
