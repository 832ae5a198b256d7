"""Functions of one number, element by element."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.math import hard_swish, leaky_relu, relu, relu6, scaled_tanh, sigmoid, silu, tanh
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

Torchs = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: list[tuple[ModuleType, Torchs]] = [
    (sigmoid, torch.sigmoid),
    (tanh, torch.tanh),
    (scaled_tanh, lambda x: 1.7159 * torch.tanh(2 / 3 * x)),
    (relu, functional.relu),
    (leaky_relu, functional.leaky_relu),
    (relu6, functional.relu6),
    (silu, functional.silu),
    (hard_swish, functional.hardswish),
]
EACH = pytest.mark.parametrize(
    ("ours", "torchs"), ACTIVATIONS, ids=[ours.__name__.rpartition(".")[2] for ours, _ in ACTIVATIONS]
)


@EACH
@drawn(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from([0.1, 1, 30]), st.integers(0, 2**32 - 1))
def test_it_is_torchs(shape: list[int], spread: float, seed: int, ours: ModuleType, torchs: Torchs) -> None:
    x = spread * normal(seed, *shape)
    y, g, (dx,) = autograd(torchs, x, seed=seed)
    assert_near(ours.forward(x), y)
    # where a function is flat, torch's 1 - y² keeps only what a double has left of 1
    assert (np.abs(ours.backward(g, x) - dx) <= 1e-10 * np.abs(dx).max() + 1e-15 * np.abs(g)).all()


@EACH
def test_at_its_corners_it_has_the_slope_that_torch_has(ours: ModuleType, torchs: Torchs) -> None:
    x = np.array([-6.0, -3.0, -0.0, 0.0, 3.0, 6.0])
    y, g, (dx,) = autograd(torchs, x)
    assert_near(ours.forward(x), y)
    assert_near(ours.backward(g, x), dx)


@EACH
def test_its_gradient_is_its_slope(ours: ModuleType, torchs: Torchs) -> None:
    x, g = np.linspace(-7.03, 7.03, 40), normal(0, 40)
    (slope,) = slopes(ours.forward, g, (x,))
    assert_near(ours.backward(g, x), slope, 1e-8)


@EACH
@pytest.mark.filterwarnings("error")
def test_large_numbers_do_not_overflow_and_the_type_stays(ours: ModuleType, torchs: Torchs) -> None:
    for kind in (np.float32, np.float64):
        x = np.array([-1e4, -90, -1, 0, 1, 90, 1e4], kind)
        y, dx = ours.forward(x), ours.backward(np.ones_like(x), x)
        assert y.dtype == dx.dtype == kind
        assert np.isfinite(y).all()
        assert np.isfinite(dx).all()
        assert ours.operations((2, 7)) % 14 == 0


def test_the_leak_can_be_chosen() -> None:
    x = np.array([-2.0, 3.0])
    assert leaky_relu.forward(x, 0.25).tolist() == [-0.5, 3]
    assert leaky_relu.backward(np.ones(2), x, 0.25).tolist() == [0.25, 1]
