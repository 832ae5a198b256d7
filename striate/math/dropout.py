"""Dropout, by hand, in its inverted form: what is kept is scaled up in training, and nothing happens afterwards.

    training    y[..] = x[..] * z[..] / (1 - p)            z[..] is 0 with probability p, else 1
    inference   y[..] = x[..]

    dL/dx[..]   = g[..] * z[..] / (1 - p)                  g = dL/dy

The mask z is an argument: what it was drawn with is not the operation's business. Over all masks the mean of y is x.

Source:  Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", section 10.
Checked: against torch with torch's own mask, and its expectation over all masks, in tests/math/test_dropout.py.
"""

from math import prod

from striate.errors import UsageError
from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """Two multiplications for each value, in training."""
    return 2 * prod(x_shape)


def forward(x: Array, z: Array, p: float) -> Array:
    """x, z of one shape -> y of that shape.

    Raises: UsageError if p is no probability below 1.
    """
    return x * (z / _keep(p))


def backward(g: Array, z: Array, p: float) -> Array:
    """g = dL/dy -> dL/dx, both of the shape of x."""
    return g * (z / _keep(p))


def _keep(p: float) -> float:
    if not 0 <= p < 1:
        raise UsageError(f"the probability of dropping a unit is {p}; expected 0 or more and less than 1")
    return 1 - p
