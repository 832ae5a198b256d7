"""One convolution by several algorithms: the same results, the operations counted, the memory measured."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from striate.errors import ShapeError
from striate.math import conv2d, conv2d_direct, conv2d_fft, conv2d_im2col, conv2d_winograd
from striate.math.operations import Operations
from tests.math.compare import Array, assert_near, normal
from tests.math.conftest import drawn
from tests.math.counted import Meter, values
from tests.math.geometries import Geometry, geometries

EPS = float(np.finfo(np.float32).eps)


def settings(a: Geometry) -> tuple[Any, ...]:
    return a.stride, a.padding, a.dilation, a.groups


@drawn(geometries())
def test_im2col_and_fft_give_the_results_and_gradients_of_conv2d(a: Geometry) -> None:
    x, w, b = a.inputs()
    y = conv2d.forward(x, w, b, *settings(a))
    g = normal(a.seed + 7, *y.shape)
    gradients = conv2d.backward(g, x, w, *settings(a))
    for algorithm in (conv2d_im2col, conv2d_fft):
        assert_near(algorithm.forward(x, w, b, *settings(a)), y)
        for one, other in zip(algorithm.backward(g, x, w, *settings(a)), gradients, strict=True):
            assert_near(one, other)
    assert_near(conv2d_fft.forward_by_halving(x, w, b, *settings(a)), y)


@drawn(geometries(), ordinary=10)
def test_loops_give_the_results_and_gradients_of_conv2d(a: Geometry) -> None:
    x, w, b = a.inputs()
    y = conv2d.forward(x, w, b, *settings(a))
    assert_near(conv2d_direct.forward(x, w, b, *settings(a)), y)
    g = normal(a.seed + 7, *y.shape)
    for one, other in zip(
        conv2d_direct.backward(g, x, w, *settings(a)), conv2d.backward(g, x, w, *settings(a)), strict=True
    ):
        assert_near(one, other)


@drawn(geometries(k=(3, 3), stride=1, dilation=1))
def test_winograd_gives_the_result_of_conv2d(a: Geometry) -> None:
    x, w, b = a.inputs()
    assert_near(
        conv2d_winograd.forward(x, w, b, a.padding, a.groups), conv2d.forward(x, w, b, 1, a.padding, 1, a.groups)
    )


def worst(y: Array, x: Array, w: Array, exact: Array, padding: Any, groups: int) -> float:
    """The largest error in units of eps times the largest value of |x| convolved with |w|."""
    scale = conv2d.forward(np.abs(x), np.abs(w), None, 1, padding, 1, groups).max()
    return float(np.abs(y - exact).max() / (EPS * scale))


@drawn(geometries(k=(3, 3), stride=1, dilation=1))
def test_in_float32_each_stays_within_its_stated_bound(a: Geometry) -> None:
    x, w, _ = (t.astype(np.float32) for t in a.inputs())
    x64, w64 = x.astype(np.float64), w.astype(np.float64)
    exact = conv2d.forward(x64, w64, None, 1, a.padding, 1, a.groups)
    sides = [size + sum(p) for size, p in zip(a.size, a.padding, strict=True)]
    terms = w[0].size
    bounds = {conv2d: terms / 2, conv2d_im2col: terms / 2, conv2d_fft: 1 + np.log2(np.prod(sides) * 4)}
    for algorithm, bound in bounds.items():
        y = algorithm.forward(x, w, None, 1, a.padding, 1, a.groups)
        assert y.dtype == np.float32
        assert worst(y, x64, w64, exact, a.padding, a.groups) <= bound, algorithm.__name__
    y = conv2d_winograd.forward(x, w, None, a.padding, a.groups)
    assert y.dtype == np.float32
    assert worst(y, x64, w64, exact, a.padding, a.groups) <= w.shape[1] + 8


@drawn(geometries(), ordinary=5)
def test_counted_operations_equal_the_formulas(a: Geometry) -> None:
    x, w, b = a.inputs()
    shape = (x.shape, w.shape, a.stride, a.padding, a.dilation)
    expected = conv2d.forward(x, w, b, *settings(a))

    def measured(forward: Callable[..., Any], *inputs: Array) -> Operations:
        meter = Meter()
        y = forward(*map(meter.wrap, inputs), *settings(a))
        assert_near(values(y).real, expected)
        return meter.read

    # np.pad puts plain zeros around; they are multiplied, and counted by the other factor
    assert measured(conv2d_direct.forward, x, w, b) == conv2d_direct.operations(*shape)
    assert measured(conv2d_im2col.forward, x, w, b) == conv2d_im2col.operations(*shape)


def counting_zeros(meter: Meter, zero: complex) -> Callable[..., Any]:
    """What `pad` does, with zeros that count as well: an algorithm does not know that they are zeros."""

    def pad(x: Any, sides: Any) -> Any:
        before = [(0, 0)] * (x.ndim - len(sides)) + list(sides)
        laid = meter.wrap(np.full([n + a + b for n, (a, b) in zip(x.shape, before, strict=True)], zero))
        laid[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, before, strict=True))] = x
        return laid

    return pad


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, ((1, 2), (0, 1))])
def test_winograds_counted_operations_equal_its_formula(
    groups: int, padding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, w, b = normal(1, 2, 4, 6, 5), normal(2, 6, 4 // groups, 3, 3), normal(3, 6)
    meter = Meter()
    monkeypatch.setattr(conv2d_winograd, "pad", counting_zeros(meter, 0.0))
    y = conv2d_winograd.forward(*map(meter.wrap, (x, w, b)), padding, groups)
    assert_near(values(y), conv2d.forward(x, w, b, 1, padding, 1, groups))
    assert meter.read == conv2d_winograd.operations(x.shape, w.shape, padding)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", [0, ((1, 2), (0, 1))])
def test_ffts_counted_operations_equal_its_formula(groups: int, padding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, b = normal(1, 1, 4, 8, 4), normal(2, 2, 4 // groups, 3, 2), normal(3, 2)
    meter = Meter()
    monkeypatch.setattr(conv2d_fft, "pad", counting_zeros(meter, 0j))
    y = conv2d_fft.forward_by_halving(*(meter.wrap(t + 0j) for t in (x, w, b)), 1, padding, 1, groups)
    assert_near(values(y).real, conv2d.forward(x, w, b, 1, padding, 1, groups))
    assert meter.read == conv2d_fft.operations(x.shape, w.shape, 1, padding)


@pytest.mark.parametrize(
    ("algorithm", "most"), [(conv2d_im2col, 1.1), (conv2d_winograd, 2.2), (conv2d_fft, 3.2)]
)  # fmt: skip
def test_the_memory_that_is_stated_is_the_memory_that_is_used(algorithm: Any, most: float) -> None:
    """Temporary copies come on top: none for im2col, a stage before each of Winograd's and of the transforms'."""
    x, w = np.ones((2, 16, 32, 32)), np.ones((24, 16, 3, 3))
    algorithm.forward(x, w)
    tracemalloc.start()
    y = algorithm.forward(x, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stated = 8 * algorithm.memory(x.shape, w.shape)
    assert stated <= peak <= most * stated + 2 * y.nbytes


def test_winograd_takes_less_than_half_the_products_and_only_three_by_three_kernels() -> None:
    x, w = (1, 64, 56, 56), (64, 64, 3, 3)
    ratio = conv2d_direct.operations(x, w, 1, 1).multiplications / conv2d_winograd.operations(x, w, 1).multiplications
    assert 2.2 < ratio < 2.25
    with pytest.raises(ShapeError, match="kernels of 3 x 3"):
        conv2d_winograd.forward(np.zeros((1, 1, 5, 5)), np.zeros((1, 1, 5, 5)))


def test_the_lectures_matrix_for_four_images_has_36_columns_not_56() -> None:
    assert conv2d_im2col.im2col(np.zeros((1, 3, 4, 4)), 2).shape == (12, 9)
    assert conv2d_im2col.im2col(np.zeros((4, 3, 4, 4)), 2).shape == (12, 36)


def test_same_as_keras_with_a_stride_is_the_same_for_each() -> None:
    x, w = normal(1, 1, 2, 7, 8), normal(2, 3, 2, 3, 4)
    y = conv2d.forward(x, w, None, 2, "same_keras")
    for forward in (conv2d_direct.forward, conv2d_im2col.forward, conv2d_fft.forward, conv2d_fft.forward_by_halving):
        assert_near(forward(x, w, None, 2, "same_keras"), y)
