"""Every pooling, forward and backward, for windows of any size, stride and padding that torch takes."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import adaptive_pool, average_pool, global_pool, l2_pool, max_pool, windows
from tests.math.compare import Array, assert_near, autograd, normal, slopes
from tests.math.conftest import drawn


@dataclass(frozen=True)
class Case:
    x: Array
    k: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil: bool
    seed: int


@st.composite
def cases(draw: st.DrawFn, dilated: bool = False) -> Case:
    two = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    k, stride = two(1, 4), two(1, 4)
    padding = tuple(draw(st.integers(0, side // 2)) for side in k)
    dilation = two(1, 2) if dilated else (1, 1)
    least = [max(1, d * (side - 1) + 1 - 2 * p) for side, p, d in zip(k, padding, dilation, strict=True)]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *(least[a] + draw(st.integers(0, 6)) for a in (0, 1)))
    seed = draw(st.integers(0, 2**32 - 1))
    x = normal(seed, *shape)
    if draw(st.booleans()):
        x = x.round()  # many are equal: who wins is decided by the order
    return Case(x, k, stride, padding, dilation, draw(st.booleans()), seed)  # type: ignore[arg-type]


@drawn(cases(dilated=True))
def test_max_pooling_is_torchs_also_where_values_are_equal(c: Case) -> None:
    def torchs(x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, c.k, c.stride, c.padding, c.dilation, c.ceil)

    where = (c.k, c.stride, c.padding, c.dilation, c.ceil)
    ours = max_pool.forward(c.x, *where)
    # A dilated window that stands wholly in the padding has no winner, and torch 2.13 then writes where it must not.
    assume(np.isfinite(ours).all())
    y, g, (dx,) = autograd(torchs, c.x, seed=c.seed)
    assert_near(ours, y, 0)
    assert_near(max_pool.backward(g, c.x, *where), dx)
    at = functional.max_pool2d(
        torch.from_numpy(c.x), c.k, c.stride, c.padding, c.dilation, c.ceil, return_indices=True
    )[1]
    assert np.array_equal(max_pool.switches(c.x, *where), at.numpy())


@drawn(cases())
def test_average_pooling_is_torchs_with_padding_counted_and_not(c: Case) -> None:
    ways = [
        (average_pool.forward, average_pool.backward, True, None),
        (average_pool.forward_without_padding, average_pool.backward_without_padding, False, None),
        (average_pool.forward_sum, average_pool.backward_sum, True, 1),
    ]
    where = (c.k, c.stride, c.padding, c.ceil)
    for forward, backward, counted, divisor in ways:

        def torchs(x: torch.Tensor, counted: bool = counted, divisor: int | None = divisor) -> torch.Tensor:
            return functional.avg_pool2d(x, c.k, c.stride, c.padding, c.ceil, counted, divisor)

        y, g, (dx,) = autograd(torchs, c.x, seed=c.seed)
        assert_near(forward(c.x, *where), y)
        assert_near(backward(g, c.x, *where), dx)


@drawn(cases())
def test_l2_pooling_is_the_root_of_the_sum_of_squares(c: Case) -> None:
    x = c.x + 0.1 * (c.x == 0)  # a window of zeros has no derivative

    def torchs(x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(x.square(), c.k, c.stride, c.padding, c.ceil, divisor_override=1).sqrt()

    y, g, (dx,) = autograd(torchs, x, seed=c.seed)
    assert_near(l2_pool.forward(x, c.k, c.stride, c.padding, c.ceil), y)
    assert_near(l2_pool.backward(g, x, c.k, c.stride, c.padding, c.ceil), dx)


def test_l2_pooling_is_torchs_lp_pooling() -> None:
    x = normal(0, 2, 3, 7, 6)
    y, g, (dx,) = autograd(lambda x: functional.lp_pool2d(x, 2, (3, 2), 2), x)
    assert_near(l2_pool.forward(x, (3, 2), 2), y)
    assert_near(l2_pool.backward(g, x, (3, 2), 2), dx)


def test_l2_pooling_of_zeros_has_the_gradient_zero() -> None:
    x = np.zeros((1, 1, 2, 2))
    assert l2_pool.backward(np.ones((1, 1, 1, 1)), x, 2).tolist() == x.tolist()


@drawn(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0))
def test_adaptive_pooling_is_torchs(size: tuple[int, int], out: tuple[int, int], seed: int) -> None:
    x = normal(seed, 2, 3, *size)
    for forward, backward, torchs in [
        (adaptive_pool.forward, adaptive_pool.backward, functional.adaptive_avg_pool2d),
        (adaptive_pool.forward_max, adaptive_pool.backward_max, functional.adaptive_max_pool2d),
    ]:
        y, g, (dx,) = autograd(lambda x, torchs=torchs: torchs(x, out), x)
        assert_near(forward(x, out), y)
        assert_near(backward(g, x, out), dx)


@drawn(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_global_pooling_is_adaptive_pooling_to_one_position(h: int, w: int, seed: int) -> None:
    x = normal(seed, 2, 3, h, w)
    y, g, (dx,) = autograd(lambda x: x.mean((2, 3), keepdim=True), x, seed=seed)
    assert_near(global_pool.forward(x), y)
    assert_near(global_pool.backward(g, x), dx)
    assert_near(adaptive_pool.forward(x, 1), y)


@pytest.mark.parametrize("pool", [max_pool, average_pool, l2_pool])
def test_gradients_are_slopes(pool: object) -> None:
    x = normal(0, 1, 2, 5, 4)
    y = pool.forward(x, 3, 2, 1)  # type: ignore[attr-defined]
    g = normal(1, *y.shape)
    (slope,) = slopes(lambda x: pool.forward(x, 3, 2, 1), g, (x,))  # type: ignore[attr-defined]
    assert_near(pool.backward(g, x, 3, 2, 1), slope, 1e-8)  # type: ignore[attr-defined]


def test_so_are_those_of_adaptive_pooling() -> None:
    x, g = normal(0, 1, 2, 5, 4), normal(1, 1, 2, 3, 2)
    assert_near(
        adaptive_pool.backward(g, x, (3, 2)), slopes(lambda x: adaptive_pool.forward(x, (3, 2)), g, (x,))[0], 1e-8
    )
    largest = slopes(lambda x: adaptive_pool.forward_max(x, (3, 2)), g, (x,))[0]
    assert_near(adaptive_pool.backward_max(g, x, (3, 2)), largest, 1e-8)


def test_not_a_number_is_not_lost() -> None:
    x = np.array([[[[1.0, np.nan], [np.inf, 2.0]]]])
    assert np.isnan(max_pool.forward(x, 2)).all()


def test_the_deck_s_maps_pool_to_their_largest() -> None:
    x = np.array([[[[3.0, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]]])
    assert max_pool.forward(x, 2).tolist() == [[[[3, 0], [3, 1]]]]


def test_the_error_of_a_max_goes_to_the_winner_and_that_of_a_mean_to_all() -> None:
    x, g = np.array([[[[1.0, 2.0], [4.0, 3.0]]]]), np.array([[[[8.0]]]])
    assert max_pool.backward(g, x, 2).tolist() == [[[[0, 0], [8, 0]]]]
    assert average_pool.backward(g, x, 2).tolist() == [[[[2, 2], [2, 2]]]]


@pytest.mark.parametrize(("size", "k", "stride", "ceil"), [(6, 3, 2, False), (6, 3, 2, True), (5, 1, 3, True)])
def test_windows_are_as_many_as_torch_says(size: int, k: int, stride: int, ceil: bool) -> None:
    y = functional.max_pool2d(torch.zeros(1, 1, size, size), k, stride, ceil_mode=ceil)
    assert windows.out_size(size, k, stride, ceil=ceil) == y.shape[-1]


def test_counts_of_operations_are_those_of_a_loop() -> None:
    shape, k, stride, padding = (2, 3, 7, 6), 3, 2, 1
    outputs = max_pool.forward(np.zeros(shape), k, stride, padding).size
    assert max_pool.operations(shape, k, stride, padding) == outputs * 8
    assert average_pool.operations(shape, k, stride, padding) == outputs * 9
    assert l2_pool.operations(shape, k, stride, padding) == outputs * 18
    assert adaptive_pool.operations((1, 1, 7, 4), (3, 2)) == 9 * 4
    assert global_pool.operations(shape) == 2 * 3 * 7 * 6


def test_a_window_larger_than_the_map_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"no window of 5 positions .* fits into 3 positions padded by 0; expected 5"):
        max_pool.forward(np.zeros((1, 1, 3, 3)), 5)
    with pytest.raises(ShapeError, match=r"expected maps \(N, C, H, W\)"):
        average_pool.forward(np.zeros((3, 3)), 2)
    with pytest.raises(ShapeError, match="at least one position"):
        adaptive_pool.forward(np.zeros((1, 1, 0, 3)), 1)
