"""What redrawing an image from its capsule costs, by hand: squared error, summed over pixels, the mean over images.

    E          = 1/N * sum over n, pixels of  (a[n,..] - t[n,..])^2

    dE/da[n,..] = 2/N * (a[n,..] - t[n,..])                  a: what was drawn, t: the image in 0..1

It is added to the margin loss, 0.0005 times, so that it does not take over.

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, section 4.1.
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

from striate.errors import ShapeError
from striate.math.arrays import Array

WEIGHT = 0.0005


def operations(a_shape: tuple[int, ...]) -> int:
    """A subtraction, a multiplication and an addition for each pixel."""
    return 3 * prod(a_shape)


def forward(a: Array, t: Array) -> float:
    """a, t (N, ...) -> E.

    Raises: ShapeError if they differ in shape.
    """
    if a.shape != t.shape:
        raise ShapeError(f"what was drawn has the shape {a.shape}; expected that of the images, {t.shape}")
    return float(((a - t) ** 2).sum() / len(a))


def backward(g: float, a: Array, t: Array) -> Array:
    """g = dL/dE -> dL/da (N, ...)."""
    return 2 * g / len(a) * (a - t)
