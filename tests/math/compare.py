"""Oracles for `math/`: torch's autograd in float64, finite differences, and one way to say that two arrays agree."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.floating]


def normal(seed: int, *shape: int) -> Array:
    """Standard normal numbers in float64 that depend on the seed alone."""
    return np.random.default_rng(seed).standard_normal(shape)


def assert_near(ours: Array, theirs: Array | torch.Tensor, relative: float = 1e-10) -> None:
    """Same shape, and no element further off than `relative` times the largest element of `theirs`."""
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert ours.shape == theirs.shape, f"{ours.shape} is not {theirs.shape}"
    if theirs.size:
        scale = float(np.abs(theirs).max()) or 1.0
        error = float(np.abs(ours - theirs).max()) / scale
        assert error <= relative, f"off by {error:.3g} of the largest element, {scale:.3g}"


def autograd(
    function: Callable[..., torch.Tensor], *inputs: Array, seed: int = 0
) -> tuple[Array, Array, tuple[Array, ...]]:
    """y = function(*inputs) by torch, a random g of its shape, and sum(g * y) differentiated by each input."""
    leaves = [torch.from_numpy(np.array(x)).requires_grad_() for x in inputs]
    y = function(*leaves)
    g = normal(seed + 1, *y.shape).astype(inputs[0].dtype)
    if y.numel() == 0:
        return y.detach().numpy(), g, tuple(np.zeros_like(x) for x in inputs)
    gradients = torch.autograd.grad(y, leaves, torch.from_numpy(g))
    return y.detach().numpy(), g, tuple(d.numpy() for d in gradients)


def slopes(function: Callable[..., Array], g: Array, inputs: Sequence[Array], step: float = 1e-6) -> list[Array]:
    """d sum(g * function(*inputs)) / d input by central differences, element by element (float64, small arrays)."""
    found = []
    for k, x in enumerate(inputs):
        d = np.zeros_like(x)
        for at in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[at] += sign * step
                ends.append(float((g * function(*inputs[:k], moved, *inputs[k + 1 :])).sum()))
            d[at] = (ends[0] - ends[1]) / (2 * step)
        found.append(d)
    return found


def assert_slopes_near(ours: Array, theirs: Array) -> None:
    """As `assert_near`, for what `slopes` finds: a difference of sums of tens over 2e-6, itself off by up to 1e-7."""
    assert ours.shape == theirs.shape, f"{ours.shape} is not {theirs.shape}"
    if theirs.size:
        error, scale = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
        assert error <= 1e-6 * scale + 1e-7, f"off by {error:.3g}, where the largest element is {scale:.3g}"
