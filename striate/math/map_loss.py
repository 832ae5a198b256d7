"""LeNet-5's maximum a posteriori loss, by hand: the right class's distance is pulled down, the others' pushed up.

    E          = 1/N * sum over n of  y[n,D[n]] + log(e^-j + sum over i of  e^-y[n,i])         D[n] is the right class

    dE/dy[n,i] = 1/N * ([i = D[n]] - q[n,i])            q[n,i] = e^-y[n,i] / (e^-j + sum over k of  e^-y[n,k])

y are the distances of `radial_basis`. The constant j > 0 stands for images of no class: a distance that is larger than
it is not pushed on. It is cross-entropy of -y with one class more, whose logit is -j.

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", eq. 9; j is not printed there.
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

import numpy as np

from striate.math import cross_entropy
from striate.math.arrays import Array, Whole


def operations(y_shape: tuple[int, ...]) -> int:
    """An exponential and an addition for each distance; a logarithm, an exponential and three additions an image."""
    return 2 * prod(y_shape) + 5 * y_shape[0]


def forward(y: Array, labels: Whole, j: float = 0.1) -> float:
    """y (N, I) distances, labels (N,) -> E.

    >>> round(forward(np.array([[0.0, 50.0]]), np.array([0]), j=50.0), 4)
    0.0
    """
    z, t = _with_rubbish(y, labels, j)
    return cross_entropy.forward(z, t)


def backward(g: float, y: Array, labels: Whole, j: float = 0.1) -> Array:
    """g = dL/dE -> dL/dy (N, I)."""
    z, t = _with_rubbish(y, labels, j)
    return -cross_entropy.backward(g, z, t)[:, :-1]


def _with_rubbish(y: Array, labels: Whole, j: float) -> tuple[Array, Array]:
    z = np.concatenate([-y, np.full_like(y[:, :1], -j)], axis=1)
    return z, cross_entropy.smoothed(labels, z.shape[1])
