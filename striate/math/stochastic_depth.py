"""Stochastic depth, by hand: in training a residual block leaves out what it would add, now and then.

    training    y[n,..] = f[n,..] * z[n] / (1 - p)         z[n] is 0 with probability p, else 1
    inference   y[n,..] = f[n,..]

    dL/df[n,..] = g[n,..] * z[n] / (1 - p)                 g = dL/dy

f is what the block computes, to be added to its shortcut. This is the form by image, scaled in training. The paper's
own has one z for the batch, does not scale in training (`forward_by_batch`) and scales by 1 - p in inference
(`inference_by_batch`); the means are the same.

Source:  Huang et al. 2016, arXiv:1603.09382, eq. 2 and 5; by image: Tan & Le 2019, arXiv:1905.11946.
Checked: against torch with torch's own draws, and expectations over all draws, in tests/math/test_dropout.py.
"""

from math import prod

from striate.math.arrays import Array


def operations(f_shape: tuple[int, ...]) -> int:
    """One multiplication for each value."""
    return prod(f_shape)


def forward(f: Array, z: Array, p: float) -> Array:
    """f (N, ...), z (N,) -> y of the shape of f."""
    return f * _by_image(z / (1 - p), f)


def backward(g: Array, z: Array, p: float) -> Array:
    """g (N, ...) = dL/dy -> dL/df of the same shape."""
    return g * _by_image(z / (1 - p), g)


def forward_by_batch(f: Array, z: float) -> Array:
    """f (N, ...), z 0 or 1 -> y of the shape of f; its gradient is g * z."""
    return f * z


def inference_by_batch(f: Array, survival: float) -> Array:
    """f (N, ...) times the probability 1 - p that the block takes part; its gradient is g * survival."""
    return f * survival


def _by_image(z: Array, f: Array) -> Array:
    return z.reshape(-1, *[1] * (f.ndim - 1))
