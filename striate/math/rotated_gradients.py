"""Both gradients of a convolution with stride 1, as the lectures write them: with a kernel turned by 180 degrees.

Forward   y = rot180(w) * x + b                    * is true convolution, so this is the correlation that layers compute
Kernel    dL/dw = rot180(g) * x                    only where g lies wholly inside x ("valid")
Input     dL/dx = g * w                            everywhere ("full")

    and with true convolution in the layer, y = w * x + b, everything is turned around once more:

Kernel    dL/dw = rot180( rot180(g) * x )
Input     dL/dx = g * rot180(w)

The lectures derive the second pair, and their last line for the kernel leaves its outer rot180 out, so that it is the
first pair's. One image, one channel; the sums of `conv2d` are these for each pair of channels.

Source:  the lectures' slides on back-propagation in CNNs; Dumoulin & Visin 2016, arXiv:1603.07285, section 4.
Checked: against `conv2d.backward` and torch.autograd in tests/math/test_rotated_gradients.py.
"""

from striate.errors import ShapeError
from striate.math import convolution
from striate.math.arrays import Array


def rot180(x: Array) -> Array:
    """x (H, W) turned by 180 degrees.

    >>> import numpy as np
    >>> rot180(np.array([[1, 2], [3, 4]])).tolist()
    [[4, 3], [2, 1]]
    """
    return x[::-1, ::-1]


def valid(x: Array, w: Array) -> Array:
    """The true convolution w * x where w (U, V) lies wholly inside x (H, W) -> (H - U + 1, W - V + 1).

    Raises: ShapeError where it never does.
    """
    if w.shape[0] > x.shape[0] or w.shape[1] > x.shape[1]:
        raise ShapeError(f"{w.shape} does not lie inside {x.shape}; expected no side larger")
    return convolution.forward(x, w)[w.shape[0] - 1 : x.shape[0], w.shape[1] - 1 : x.shape[1]]


def of_correlation(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """g = dL/dy of y = rot180(w) * x -> dL/dx, dL/dw.  Raises: ShapeError."""
    return convolution.forward(g, w), valid(x, rot180(g))


def of_convolution(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """g = dL/dy of y = w * x -> dL/dx, dL/dw.  Raises: ShapeError."""
    return convolution.forward(g, rot180(w)), rot180(valid(x, rot180(g)))
