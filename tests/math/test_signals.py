"""Convolution, cross-correlation and autocorrelation: scipy's values, torch's gradients, and what tells them apart."""

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import autocorrelation, convolution, correlation
from tests.math.compare import assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn

seeds = st.integers(0, 2**32 - 4)
shapes = st.integers(1, 3).flatmap(
    lambda axes: st.tuples(*[st.lists(st.integers(1, 5), min_size=axes, max_size=axes).map(tuple)] * 2)
)
Shapes = tuple[tuple[int, ...], tuple[int, ...]]


@drawn(shapes, seeds)
def test_values_are_scipys(of: Shapes, seed: int) -> None:
    x, w = normal(seed, *of[0]), normal(seed + 1, *of[1])
    assert_near(convolution.forward(x, w), signal.convolve(x, w, method="direct"))
    assert_near(correlation.forward(x, w), signal.correlate(x, w, method="direct"))
    assert_near(autocorrelation.forward(x), signal.correlate(x, x, method="direct"))
    assert convolution.out_shape(*of) == correlation.out_shape(*of) == convolution.forward(x, w).shape
    assert autocorrelation.out_shape(of[0]) == autocorrelation.forward(x).shape


@drawn(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), seeds)
def test_gradients_are_torchs(h: int, k: int, u: int, v: int, seed: int) -> None:
    x, w = normal(seed, h, k), normal(seed + 1, u, v)

    def slide(x: Tensor, w: Tensor) -> Tensor:
        return functional.conv2d(x[None, None], w[None, None], padding=(w.shape[0] - 1, w.shape[1] - 1))[0, 0]

    y, g, theirs = autograd(lambda x, w: slide(x, w.flip(0, 1)), x, w)
    assert_near(convolution.forward(x, w), y)
    for one, other in zip(convolution.backward(g, x, w), theirs, strict=True):
        assert_near(one, other)
    y, g, theirs = autograd(slide, x, w)
    assert_near(correlation.forward(x, w), y)
    for one, other in zip(correlation.backward(g, x, w), theirs, strict=True):
        assert_near(one, other)
    y, g, (dx,) = autograd(lambda x: slide(x, x), x)
    assert_near(autocorrelation.forward(x), y)
    assert_near(autocorrelation.backward(g, x), dx)


@drawn(shapes, seeds, ordinary=5)
def test_gradients_are_the_slopes(of: Shapes, seed: int) -> None:
    x, w = normal(seed, *of[0]), normal(seed + 1, *of[1])
    for operation in (convolution, correlation):
        g = normal(seed + 2, *operation.out_shape(*of))
        for one, slope in zip(operation.backward(g, x, w), slopes(operation.forward, g, (x, w)), strict=True):
            assert_slopes_near(one, slope)
    g = normal(seed + 3, *autocorrelation.out_shape(of[0]))
    assert_slopes_near(autocorrelation.backward(g, x), slopes(autocorrelation.forward, g, (x,))[0])


@drawn(shapes, seeds, ordinary=20)
def test_what_tells_the_three_apart(of: Shapes, seed: int) -> None:
    x, w = normal(seed, *of[0]), normal(seed + 1, *of[1])
    assert_near(convolution.forward(x, w), convolution.forward(w, x))
    assert_near(correlation.forward(x, w), np.flip(correlation.forward(w, x)))
    assert_near(correlation.forward(x, w), convolution.forward(x, np.flip(w)))
    y = autocorrelation.forward(x)
    assert_near(y, np.flip(y))
    assert y.max() == y[tuple(n // 2 for n in y.shape)]
    assert_near(y.max(), (x * x).sum())


def test_macs_count_each_meeting_and_types_are_kept() -> None:
    x, w = np.ones((4, 3), np.float32), np.ones((2, 2), np.float32)
    assert convolution.macs(x.shape, w.shape) == correlation.macs(x.shape, w.shape) == convolution.forward(x, w).sum()
    assert autocorrelation.macs(x.shape) == autocorrelation.forward(x).sum()
    y = convolution.forward(x, w)
    assert {t.dtype for t in (y, *convolution.backward(y, x, w), *correlation.backward(y, x, w))} == {y.dtype}
    assert y.dtype == np.float32


def test_a_row_can_not_be_laid_on_an_image() -> None:
    with pytest.raises(ShapeError, match="as many axes in both"):
        convolution.forward(np.ones((3, 3)), np.ones(3))
