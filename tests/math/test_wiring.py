"""What branches, shortcuts and gates compute where they meet."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from striate.errors import ShapeError
from striate.math import add, concat, multiply, scale, split, squeeze_excitation
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SEED = st.integers(0, 2**32 - 1)


@drawn(st.lists(st.integers(1, 4), min_size=1, max_size=4), SEED)
def test_concatenation_is_torchs(widths: list[int], seed: int) -> None:
    xs = [normal(seed + i, 2, c, 3, 2) for i, c in enumerate(widths)]
    y, g, gradients = autograd(lambda *xs: torch.cat(xs, dim=1), *xs, seed=seed)
    assert_near(concat.forward(*xs), y, 0)
    for ours, theirs in zip(concat.backward(g, *xs), gradients, strict=True):
        assert_near(ours, theirs, 0)


@drawn(st.integers(1, 9), st.integers(1, 4), SEED)
def test_the_shares_of_a_split_are_those_of_torchs_chunk(channels: int, shares: int, seed: int) -> None:
    x = normal(seed, 2, channels, 3)
    theirs = torch.from_numpy(x).chunk(shares, dim=1)
    ours = split.forward(x, shares)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert_near(a, b, 0)
    assert_near(split.backward(*ours), x, 0)  # the gradient of a cut puts together


@drawn(st.integers(1, 4), SEED)
def test_a_sum_hands_its_gradient_to_all(terms: int, seed: int) -> None:
    xs = [normal(seed + i, 2, 3) for i in range(terms)]
    y, g, gradients = autograd(lambda *xs: sum(xs, torch.zeros(())), *xs, seed=seed)
    assert_near(add.forward(*xs), y)
    for ours, theirs in zip(add.backward(g, *xs), gradients, strict=True):
        assert_near(ours, theirs)
    assert add.operations((2, 3), terms) == 6 * (terms - 1)


@drawn(st.tuples(*[st.booleans()] * 4), SEED)
def test_a_gate_of_fewer_values_gets_the_sum_of_what_it_was_repeated_for(squeezed: tuple[bool, ...], seed: int) -> None:
    shape = (2, 3, 4, 2)
    x, a = normal(seed, *shape), normal(seed + 1, *(1 if s else side for s, side in zip(squeezed, shape, strict=True)))
    y, g, gradients = autograd(torch.mul, x, a, seed=seed)
    assert_near(multiply.forward(x, a), y)
    for ours, theirs in zip(multiply.backward(g, x, a), gradients, strict=True):
        assert_near(ours, theirs)
    assert multiply.operations(shape) == y.size


@drawn(st.integers(1, 5), st.integers(1, 3), SEED)
def test_squeeze_and_excitation_is_torchs(c: int, middle: int, seed: int) -> None:
    x = normal(seed, 2, c, 3, 2)
    weights = [normal(seed + i, *shape) for i, shape in enumerate([(middle, c), (middle,), (c, middle), (c,)], 1)]

    def torchs(x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> torch.Tensor:
        s = ((x.mean((2, 3)) @ w1.T + b1).relu() @ w2.T + b2).sigmoid()
        return x * s[:, :, None, None]

    y, g, gradients = autograd(torchs, x, *weights, seed=seed)
    assert_near(squeeze_excitation.forward(x, *weights), y)
    ours = squeeze_excitation.backward(g, x, *weights)
    for name, a, b in zip(("dx", "dw1", "db1", "dw2", "db2"), ours, gradients, strict=True):
        assert np.abs(a - b).max() <= 1e-10 * np.abs(b).max() + 1e-15 * np.abs(g).max(), name


def test_gradients_are_slopes() -> None:
    x, g = normal(0, 2, 3, 2, 2), normal(1, 2, 3, 2, 2)
    weights = [normal(i, *shape) for i, shape in enumerate([(2, 3), (2,), (3, 2), (3,)], 2)]
    found = slopes(squeeze_excitation.forward, g, (x, *weights))
    for ours, slope in zip(squeeze_excitation.backward(g, x, *weights), found, strict=True):
        assert_near(ours, slope, 1e-7)
    assert squeeze_excitation.operations(x.shape, 2) == 2 * 24 + 2 * (24 + 2 + 9)


def test_a_factor_scales_both_ways() -> None:
    x = normal(0, 2, 3)
    y, g, (dx,) = autograd(lambda x: 0.17 * x, x)
    assert_near(scale.forward(x, 0.17), y)
    assert_near(scale.backward(g, 0.17), dx)
    assert scale.operations(x.shape) == 6


def test_shapes_that_differ_are_not_added() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\), \(2, 1\) can't be added; expected one shape"):
        add.forward(np.zeros((2, 3)), np.zeros((2, 1)))
