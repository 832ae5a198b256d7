import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from striate.math import log_softmax, softmax
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SIZE, SPREAD = st.integers(1, 9), st.sampled_from([0.1, 1, 50])
PAIRS = [(softmax, torch.softmax), (log_softmax, torch.log_softmax)]


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
@drawn(
    st.integers(1, 4), st.integers(1, 9), st.sampled_from([0.1, 1, 50]), st.integers(0, 1), st.integers(0, 2**32 - 1)
)
def test_it_is_torchs(n: int, k: int, spread: float, axis: int, seed: int, ours, torchs) -> None:  # type: ignore[no-untyped-def]
    z = spread * normal(seed, n, k)
    y, g, (dz,) = autograd(lambda z: torchs(z, axis), z, seed=seed)
    assert_near(ours.forward(z, axis), y)
    gross = float(np.abs(g).max())  # where one class is certain, the gradient is what is left of a difference
    assert np.abs(ours.backward(g, z, axis) - dz).max() <= 1e-14 * gross + 1e-10 * np.abs(dz).max()


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
def test_its_gradient_is_its_slope(ours, torchs) -> None:  # type: ignore[no-untyped-def]
    z, g = normal(0, 3, 5), normal(1, 3, 5)
    (slope,) = slopes(ours.forward, g, (z,))
    assert_near(ours.backward(g, z), slope, 1e-8)
    assert ours.operations((3, 5)) == 75


def test_probabilities_add_up_to_one_also_for_large_logits() -> None:
    y = softmax.forward(np.array([[1e4, 0.0, -1e4]], np.float32))
    assert y.tolist() == [[1, 0, 0]]
    assert y.dtype == np.float32
    assert np.isfinite(log_softmax.forward(np.array([[1e4, 0.0, -1e4]]))).all()
