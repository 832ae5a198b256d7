import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import batch_norm, batch_norm_inference
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)  # none: features, not maps


@drawn(st.integers(2, 5), st.integers(1, 4), SHAPES, st.sampled_from([1e-5, 1e-3]), st.integers(0, 2**32 - 1))
def test_in_training_it_is_torchs(n: int, c: int, rest: tuple[int, ...], eps: float, seed: int) -> None:
    x, w, b = 3 * normal(seed, n, c, *rest) + 1, normal(seed + 1, c), normal(seed + 2, c)

    def torchs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(x, None, None, w, b, True, 0.1, eps)

    y, g, gradients = autograd(torchs, x, w, b, seed=seed)
    assert_near(batch_norm.forward(x, w, b, eps), y)
    # of two values a channel little but eps is left of dx: a difference of numbers as large as g / sqrt(var)
    gross = np.abs(g * (w / np.sqrt(batch_norm.statistics(x)[1] + eps)).reshape(-1, *[1] * len(rest))).max()
    dx, dw, db = batch_norm.backward(g, x, w, eps)
    assert np.abs(dx - gradients[0]).max() <= 1e-10 * np.abs(gradients[0]).max() + 1e-13 * gross
    assert_near(dw, gradients[1])
    assert_near(db, gradients[2])


@drawn(st.integers(1, 5), st.integers(1, 4), SHAPES, st.integers(0, 2**32 - 1))
def test_afterwards_it_is_torchs(n: int, c: int, rest: tuple[int, ...], seed: int) -> None:
    x, w, b = normal(seed, n, c, *rest), normal(seed + 1, c), normal(seed + 2, c)
    mean, var = normal(seed + 3, c), normal(seed + 4, c) ** 2 + 0.1

    def torchs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(x, torch.from_numpy(mean), torch.from_numpy(var), w, b, False, 0.1, 1e-3)

    y, g, gradients = autograd(torchs, x, w, b, seed=seed)
    assert_near(batch_norm_inference.forward(x, w, b, mean, var, 1e-3), y)
    for ours, theirs in zip(batch_norm_inference.backward(g, x, w, mean, var, 1e-3), gradients, strict=True):
        assert_near(ours, theirs)


@drawn(st.integers(2, 5), SHAPES, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_running_averages_follow_as_torchs_do(n: int, rest: tuple[int, ...], momentum: float, seed: int) -> None:
    x, mean, var = normal(seed, n, 3, *rest), normal(seed + 1, 3), normal(seed + 2, 3) ** 2
    theirs = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    functional.batch_norm(torch.from_numpy(x), *theirs, training=True, momentum=momentum)
    for ours, torchs in zip(batch_norm.update(mean, var, x, momentum), theirs, strict=True):
        assert_near(ours, torchs)


def test_gradients_are_slopes() -> None:
    x, w, b, g = normal(0, 3, 2, 2, 2), normal(1, 2), normal(2, 2), normal(3, 3, 2, 2, 2)
    for ours, slope in zip(batch_norm.backward(g, x, w), slopes(batch_norm.forward, g, (x, w, b)), strict=True):
        assert_near(ours, slope, 1e-7)
    mean, var = normal(4, 2), normal(5, 2) ** 2 + 0.1
    found = slopes(lambda x, w, b: batch_norm_inference.forward(x, w, b, mean, var), g, (x, w, b))
    for ours, slope in zip(batch_norm_inference.backward(g, x, w, mean, var), found, strict=True):
        assert_near(ours, slope, 1e-7)


def test_a_shift_or_a_larger_scale_of_the_input_changes_nothing() -> None:
    x, w, b = normal(0, 4, 2, 3, 3), normal(1, 2), normal(2, 2)
    assert_near(batch_norm.forward(5 * x + 7, w, b, 0), batch_norm.forward(x, w, b, 0), 1e-12)


def test_one_value_a_channel_is_refused() -> None:
    with pytest.raises(ShapeError, match="no two values a channel"):
        batch_norm.forward(normal(0, 1, 3, 1, 1), normal(1, 3), normal(2, 3))


def test_the_type_of_the_numbers_stays() -> None:
    x, w = normal(0, 4, 2, 3, 3).astype(np.float32), np.ones(2, np.float32)
    results = (batch_norm.forward(x, w, w), *batch_norm.backward(x, x, w), batch_norm_inference.forward(x, w, w, w, w))
    assert {y.dtype for y in results} == {np.dtype(np.float32)}
    assert (batch_norm.operations(x.shape), batch_norm_inference.operations(x.shape)) == (8 * 72, 2 * 72)
