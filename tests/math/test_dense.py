import pytest
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import dense
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn


@drawn(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_it_is_torchs_linear_layer(n: int, i: int, o: int, seed: int) -> None:
    x, w, b = normal(seed, n, i), normal(seed + 1, o, i), normal(seed + 2, o)
    y, g, gradients = autograd(functional.linear, x, w, b, seed=seed)
    assert_near(dense.forward(x, w, b), y)
    for ours, theirs in zip(dense.backward(g, x, w), gradients, strict=True):
        assert_near(ours, theirs)


def test_its_gradients_are_its_slopes() -> None:
    x, w, b, g = normal(0, 3, 4), normal(1, 2, 4), normal(2, 2), normal(3, 3, 2)
    for ours, slope in zip(dense.backward(g, x, w), slopes(dense.forward, g, (x, w, b)), strict=True):
        assert_near(ours, slope, 1e-8)


def test_without_a_bias_nothing_is_added() -> None:
    x, w = normal(0, 3, 4), normal(1, 2, 4)
    assert_near(dense.forward(x, w), dense.forward(x, w, 0 * normal(2, 2)))


def test_other_features_than_weights_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 5\) but w \(2, 4\) expects \(N, 4\)"):
        dense.forward(normal(0, 3, 5), normal(1, 2, 4))
