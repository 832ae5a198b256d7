"""The length of capsules, by hand: how sure the network is that a thing is there; and the logit of it.

    l[n,j]       = sqrt(sum over e of  v[n,j,e]^2 + 1e-12)
    y[n,j]       = log(l / (1 - l))                         `forward_logit`; l is kept within 1e-6 .. 1 - 1e-6

    dL/dv[n,j,e] = g[n,j] * v[n,j,e] / l[n,j]               g = dL/dl
    dL/dl[n,j]   = g[n,j] / (l * (1 - l))                   g = dL/dy; 0 where l was out of these bounds

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, section 2.
Checked: against torch.autograd in tests/math/test_capsules.py.
"""

from math import prod

import numpy as np

from striate.math.arrays import Array

TINY, BOUND = 1e-12, 1e-6


def operations(v_shape: tuple[int, ...]) -> int:
    """A square and an addition for each value, a root for each capsule."""
    return 2 * prod(v_shape) + prod(v_shape[:-1])


def forward(v: Array) -> Array:
    """v (N, J, E) -> l (N, J)."""
    length: Array = np.sqrt((v * v).sum(axis=-1) + TINY)
    return length


def backward(g: Array, v: Array) -> Array:
    """g (N, J) = dL/dl -> dL/dv (N, J, E)."""
    dv: Array = (g / forward(v))[..., None] * v
    return dv


def forward_logit(v: Array) -> Array:
    """v (N, J, E) -> y (N, J); sigmoid(y) is the length."""
    length = np.clip(forward(v), BOUND, 1 - BOUND)
    return np.log(length / (1 - length))


def backward_logit(g: Array, v: Array) -> Array:
    """g (N, J) = dL/dy -> dL/dv (N, J, E)."""
    length = forward(v)
    inside = (length >= BOUND) & (length <= 1 - BOUND)
    dl = np.divide(g, length * (1 - length), out=np.zeros_like(g), where=inside)
    return backward(dl, v)
