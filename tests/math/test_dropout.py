from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.blocks.stochastic import StochasticDepth
from striate.errors import UsageError
from striate.math import classic_dropout, dropout, stochastic_depth
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn


@drawn(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.2, 0.5, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_with_torchs_mask_it_is_torchs_dropout(shape: list[int], p: float, seed: int) -> None:
    x = normal(seed, *shape)
    torch.manual_seed(seed)
    z = torch.empty(shape, dtype=torch.float64).bernoulli_(1 - p).numpy()

    def torchs(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(seed)
        return functional.dropout(x, p)

    y, g, (dx,) = autograd(torchs, x, seed=seed)
    assert_near(dropout.forward(x, z, p), y)
    assert_near(dropout.backward(g, z, p), dx)


@drawn(st.integers(1, 5), st.sampled_from([0.1, 0.5, 0.8]), st.integers(0, 2**32 - 1))
def test_over_all_masks_the_mean_is_what_inference_gives(n: int, p: float, seed: int) -> None:
    x = normal(seed, n)
    masks = [np.array(bits) for bits in product((0.0, 1.0), repeat=n)]
    chances = [np.prod(np.where(z == 1, 1 - p, p)) for z in masks]
    inverted = sum(chance * dropout.forward(x, z, p) for chance, z in zip(chances, masks, strict=True))
    classic = sum(chance * classic_dropout.forward(x, z) for chance, z in zip(chances, masks, strict=True))
    assert_near(inverted, x, 1e-12)
    assert_near(classic, classic_dropout.inference(x, p), 1e-12)
    assert_near(classic_dropout.expected(lambda units: units, x, p), classic, 1e-12)


def test_the_decks_unit_has_four_masks_and_half_of_its_sum() -> None:
    w, x = np.array([3.0, 5.0]), np.array([1.0, 2.0])
    calls = []

    def unit(units: np.ndarray) -> np.ndarray:
        calls.append(units.tolist())
        return np.array([w @ units])

    assert classic_dropout.expected(unit, x, 0.5).tolist() == [6.5]
    assert sorted(calls) == [[0, 0], [0, 2], [1, 0], [1, 2]]


def test_afterwards_units_are_scaled_by_the_chance_of_being_kept_not_of_being_dropped() -> None:
    x, p = np.array([1.0, 2.0]), 0.2
    assert_near(classic_dropout.inference(x, p), classic_dropout.expected(lambda units: units, x, p), 1e-15)
    assert not np.allclose(x * p, classic_dropout.inference(x, p))


def test_beyond_a_unit_that_bends_scaling_is_only_near_the_mean_over_masks() -> None:
    x = np.array([2.0, -1.0])
    mean = classic_dropout.expected(lambda units: np.maximum(0, units.sum(keepdims=True)), x, 0.5)
    assert mean.tolist() == [0.75]
    assert np.maximum(0, classic_dropout.inference(x, 0.5).sum()) == 0.5


@drawn(st.integers(1, 6), st.sampled_from([0.1, 0.5]), st.integers(0, 2**32 - 1))
def test_stochastic_depth_is_the_zoos_with_its_draws(n: int, p: float, seed: int) -> None:
    f, layer = normal(seed, n, 2, 3, 1), StochasticDepth(p).train()
    torch.manual_seed(seed)
    z = (torch.rand(n, 1, 1, 1, dtype=torch.float64) >= p).double().flatten().numpy()

    def torchs(f: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(seed)
        return layer(f)

    y, g, (df,) = autograd(torchs, f, seed=seed)
    assert_near(stochastic_depth.forward(f, z, p), y)
    assert_near(stochastic_depth.backward(g, z, p), df)


def test_over_its_draws_both_forms_of_stochastic_depth_have_the_mean_that_inference_gives() -> None:
    f, p = normal(0, 1, 4), 0.3
    by_image = p * stochastic_depth.forward(f, np.zeros(1), p) + (1 - p) * stochastic_depth.forward(f, np.ones(1), p)
    by_batch = p * stochastic_depth.forward_by_batch(f, 0) + (1 - p) * stochastic_depth.forward_by_batch(f, 1)
    assert_near(by_image, f, 1e-15)
    assert_near(by_batch, stochastic_depth.inference_by_batch(f, 1 - p), 1e-15)


def test_gradients_are_slopes() -> None:
    x, g, z = normal(0, 3, 2), normal(1, 3, 2), np.array([[1.0, 0], [0, 1], [1, 1]])
    assert_near(dropout.backward(g, z, 0.3), slopes(lambda x: dropout.forward(x, z, 0.3), g, (x,))[0], 1e-8)
    assert_near(classic_dropout.backward(g, z), slopes(lambda x: classic_dropout.forward(x, z), g, (x,))[0], 1e-8)
    assert [layer.operations((3, 2)) for layer in (dropout, classic_dropout, stochastic_depth)] == [12, 6, 6]


def test_a_probability_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match="dropping a unit is 1; expected 0 or more and less than 1"):
        dropout.forward(np.ones(1), np.ones(1), 1)
