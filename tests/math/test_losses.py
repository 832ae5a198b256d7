"""Losses: one number for a batch, and its gradient for what the network said."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import (
    binary_cross_entropy,
    cross_entropy,
    map_loss,
    margin_loss,
    mean_squared_error,
    reconstruction_loss,
)
from striate.models import capsnet, lenet_1998
from striate.training.losses import make_loss
from tests.math.compare import Array, assert_near, normal, slopes
from tests.math.conftest import drawn

SEED = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 5), st.integers(2, 6))


def differentiated(loss: Callable[[Tensor], Tensor], z: Array) -> tuple[float, Array]:
    leaf = torch.from_numpy(z).requires_grad_()
    e = loss(leaf)
    (dz,) = torch.autograd.grad(e, leaf)
    return e.item(), dz.numpy()


def agrees(forward: Callable[[Array], float], backward: Callable[[float, Array], Array],
           torchs: Callable[[Tensor], Tensor], z: Array) -> None:  # fmt: skip
    e, dz = differentiated(torchs, z)
    assert forward(z) == pytest.approx(e, rel=1e-10, abs=1e-15)
    assert_near(backward(1.0, z), dz)
    assert_near(backward(-2.5, z), -2.5 * dz)


def labels_for(seed: int, n: int, k: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, k, n)


@drawn(SIZES, SEED)
def test_mean_squared_error_is_torchs_and_the_decks(size: tuple[int, int], seed: int) -> None:
    a, t = normal(seed, *size), normal(seed + 1, *size)
    agrees(
        lambda a: mean_squared_error.forward(a, t),
        lambda g, a: mean_squared_error.backward(g, a, t),
        lambda a: functional.mse_loss(a, torch.from_numpy(t)),
        a,
    )
    decks = sum((t.flat[p] - a.flat[p]) ** 2 for p in range(a.size)) / a.size
    assert mean_squared_error.forward(a, t) == pytest.approx(decks, rel=1e-12)


@drawn(SIZES, st.sampled_from([0.0, 0.1, 0.5]), st.booleans(), SEED)
def test_cross_entropy_is_torchs_with_smoothing_and_weights(
    size: tuple[int, int], smoothing: float, weighted: bool, seed: int
) -> None:
    (n, k), z, labels = size, 5 * normal(seed, *size), labels_for(seed, *size)
    w = normal(seed + 1, k) ** 2 + 0.1 if weighted else None
    t = cross_entropy.smoothed(labels, k, smoothing)
    total = float(w[labels].sum()) if w is not None else float(n)
    weights = None if w is None else torch.from_numpy(w)
    agrees(
        lambda z: cross_entropy.forward(z, t, w, total),
        lambda g, z: cross_entropy.backward(g, z, t, w, total),
        lambda z: functional.cross_entropy(z, torch.from_numpy(labels), weights, label_smoothing=smoothing),
        z,
    )


@drawn(SIZES, st.sampled_from([0.0, 0.1]), st.booleans(), SEED)
def test_cross_entropy_of_mixed_labels_is_the_one_that_training_uses(
    size: tuple[int, int], smoothing: float, weighted: bool, seed: int
) -> None:
    k, z, labels = size[1], normal(seed, *size), labels_for(seed, *size)
    mixed = 0.7 * np.eye(k)[labels] + 0.3 * np.eye(k)[labels_for(seed + 1, *size)]
    w = normal(seed + 1, k) ** 2 + 0.1 if weighted else None
    t = (1 - smoothing) * mixed + smoothing / k
    loss = make_loss("cross_entropy", k, smoothing=smoothing, weights=None if w is None else torch.from_numpy(w))
    agrees(
        lambda z: cross_entropy.forward(z, t, w),
        lambda g, z: cross_entropy.backward(g, z, t, w),
        lambda z: loss(z, torch.from_numpy(labels), torch.from_numpy(mixed)),
        z,
    )


@drawn(st.integers(1, 7), st.sampled_from([1, 100]), SEED)
def test_binary_cross_entropy_is_torchs(n: int, spread: float, seed: int) -> None:
    z, t = spread * normal(seed, n, 1), np.random.default_rng(seed).random((n, 1))
    agrees(
        lambda z: binary_cross_entropy.forward(z, t),
        lambda g, z: binary_cross_entropy.backward(g, z, t),
        lambda z: functional.binary_cross_entropy_with_logits(z, torch.from_numpy(t)),
        z,
    )


@drawn(SIZES, SEED)
def test_margin_loss_is_the_zoos_of_lengths(size: tuple[int, int], seed: int) -> None:
    lengths, labels = np.random.default_rng(seed).uniform(0.01, 0.99, size), labels_for(seed, *size)
    t = cross_entropy.smoothed(labels, size[1])
    agrees(
        lambda length: margin_loss.forward(length, t),
        lambda g, length: margin_loss.backward(g, length, t),
        lambda length: capsnet.margin_loss(torch.logit(length), torch.from_numpy(labels)),
        lengths,
    )


@drawn(SIZES, st.sampled_from([0.1, 3.0]), SEED)
def test_map_loss_is_the_zoos_of_distances(size: tuple[int, int], j: float, seed: int) -> None:
    y, labels = 9 * np.random.default_rng(seed).random(size), labels_for(seed, *size)
    agrees(
        lambda y: map_loss.forward(y, labels, j),
        lambda g, y: map_loss.backward(g, y, labels, j),
        lambda y: lenet_1998.map_loss(-y, torch.from_numpy(labels), j),
        y,
    )


def test_map_loss_is_equation_9() -> None:
    y, labels, j = np.array([[1.0, 2.0, 0.5], [3.0, 0.1, 4.0]]), np.array([2, 0]), 0.3
    each = [row[d] + np.log(np.exp(-j) + np.exp(-row).sum()) for row, d in zip(y, labels, strict=True)]
    assert map_loss.forward(y, labels, j) == pytest.approx(np.mean(each), rel=1e-12)


@drawn(st.lists(st.integers(1, 4), min_size=1, max_size=4), SEED)
def test_reconstruction_loss_sums_over_pixels_and_averages_over_images(shape: list[int], seed: int) -> None:
    a, t = normal(seed, *shape), normal(seed + 1, *shape)
    agrees(
        lambda a: reconstruction_loss.forward(a, t),
        lambda g, a: reconstruction_loss.backward(g, a, t),
        lambda a: (a - torch.from_numpy(t)).square().flatten(1).sum(1).mean() if a.ndim > 1
        else (a - torch.from_numpy(t)).square().mean(),
        a,
    )  # fmt: skip


def slope(loss: Callable[[Array], float], z: Array) -> Array:
    """dE/dz by central differences."""
    return slopes(lambda z: np.array(loss(z)), np.array(1.0), (z,))[0]


def test_gradients_are_slopes() -> None:
    z, t, labels = normal(0, 3, 4), np.abs(normal(1, 3, 4)), np.array([2, 0, 3])
    hot, w = cross_entropy.smoothed(labels, 4, 0.1), np.array([1.0, 2.0, 0.5, 3.0])
    pairs = [
        (lambda z: mean_squared_error.forward(z, t), mean_squared_error.backward(1, z, t)),
        (lambda z: reconstruction_loss.forward(z, t), reconstruction_loss.backward(1, z, t)),
        (lambda z: cross_entropy.forward(z, hot, w), cross_entropy.backward(1, z, hot, w)),
        (lambda z: binary_cross_entropy.forward(z, t), binary_cross_entropy.backward(1, z, t)),
        (lambda z: margin_loss.forward(z, hot), margin_loss.backward(1, z, hot)),
        (lambda z: map_loss.forward(z, labels), map_loss.backward(1, z, labels)),
    ]
    for loss, gradient in pairs:
        assert_near(gradient, slope(loss, z), 1e-7)


@pytest.mark.filterwarnings("error")
def test_logits_that_are_certain_and_wrong_give_a_finite_loss() -> None:
    assert cross_entropy.forward(np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]])) == 2e4
    assert binary_cross_entropy.forward(np.array([-1e4]), np.array([1.0])) == 1e4


def test_what_does_not_fit_is_refused() -> None:
    z, t = np.zeros((2, 3)), np.zeros((2, 2))
    for loss in (mean_squared_error, cross_entropy, binary_cross_entropy, margin_loss, reconstruction_loss):
        with pytest.raises(ShapeError, match=r"\(2, 3\)"):
            loss.forward(z, t)
    with pytest.raises(ShapeError, match="labels run from 0 to 3; expected 0 to 2"):
        cross_entropy.smoothed(np.array([0, 3]), 3)


def test_counts_of_operations() -> None:
    losses = (mean_squared_error, cross_entropy, binary_cross_entropy, margin_loss, map_loss, reconstruction_loss)
    assert [loss.operations((2, 3)) for loss in losses] == [18, 48, 54, 72, 22, 18]
