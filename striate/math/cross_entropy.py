"""Cross-entropy of logits, by hand, with label smoothing and class weights.

    p[n,k]   = softmax(z)[n,k]
    E        = -1/M * sum over n,k of  w[k] * t[n,k] * log p[n,k]

    dE/dz[n,k] = 1/M * (p[n,k] * sum over l of w[l] t[n,l]  -  w[k] t[n,k])

t[n] are the shares of the classes: 1 for the label, or with smoothing s (`smoothed`) 1 - s more than the s/K that all
have, or mixed labels. w are weights of the classes, 1 if not given. M is what the sum is divided by: if not given, the
sum of w[k] t[n,k], which for plain labels is what torch divides by. For smoothed labels with weights torch takes the
sum of the weights of the labels: give it as `total`.

Source:  Bishop 1995, "Neural networks for pattern recognition", section 6.9; smoothing: Szegedy et al. 2015,
         arXiv:1512.00567, section 7.
Checked: against torch.autograd in tests/math/test_losses.py.
"""

from math import prod

import numpy as np

from striate.errors import ShapeError
from striate.math import log_softmax, softmax
from striate.math.arrays import Array, Whole


def operations(z_shape: tuple[int, ...]) -> int:
    """Those of the log-softmax, two multiplications and an addition for each logit."""
    return log_softmax.operations(z_shape) + 3 * prod(z_shape)


def smoothed(labels: Whole, classes: int, s: float = 0.0) -> Array:
    """labels (N,) -> shares (N, K): 1 - s for the label, and s/K for every class.

    >>> smoothed(np.array([1]), 4, s=0.2).round(2).tolist()
    [[0.05, 0.85, 0.05, 0.05]]

    Raises: ShapeError for a label that is no class.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ShapeError(f"labels run from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    return (1 - s) * np.eye(classes)[labels] + s / classes


def forward(z: Array, t: Array, w: Array | None = None, total: float | None = None) -> float:
    """z (N, K) logits, t (N, K) shares, w (K,) -> E.

    Raises: ShapeError if t has not the shape of z.
    """
    weighted, m = _weighted(z, t, w, total)
    return float((weighted * -log_softmax.forward(z)).sum() / m)


def backward(g: float, z: Array, t: Array, w: Array | None = None, total: float | None = None) -> Array:
    """g = dL/dE -> dL/dz (N, K)."""
    weighted, m = _weighted(z, t, w, total)
    dz: Array = g / m * (softmax.forward(z) * weighted.sum(axis=1, keepdims=True) - weighted)
    return dz


def _weighted(z: Array, t: Array, w: Array | None, total: float | None) -> tuple[Array, float]:
    if z.shape != t.shape or z.ndim != 2:
        raise ShapeError(f"logits have the shape {z.shape} and shares {t.shape}; expected (N, K) for both")
    weighted = (t if w is None else t * w).astype(z.dtype)
    return weighted, float(weighted.sum()) if total is None else total
