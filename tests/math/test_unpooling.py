import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import max_pool, unpool_nearest, unpool_switches
from tests.math.compare import assert_near, autograd, normal
from tests.math.conftest import drawn


@drawn(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_with_switches_it_is_torchs_max_unpooling(k: int, i: int, j: int, seed: int) -> None:
    size = (i * k + seed % k, j * k)
    at = max_pool.switches(normal(seed, 2, 3, *size), k)
    x = normal(seed + 1, *at.shape)
    y, g, (dx,) = autograd(
        lambda x: functional.max_unpool2d(x, torch.from_numpy(at), k, output_size=size), x, seed=seed
    )
    assert_near(unpool_switches.forward(x, at, size), y)
    assert_near(unpool_switches.backward(g, x, at), dx)


def test_what_max_pooling_took_comes_back_to_its_place() -> None:
    x = normal(0, 2, 3, 6, 6)
    back = unpool_switches.forward(max_pool.forward(x, 2), max_pool.switches(x, 2), (6, 6))
    assert np.array_equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == 2 * 3 * 9


@drawn(st.integers(0, 2**32 - 1))
def test_of_overlapping_windows_the_last_is_written_and_all_read(seed: int) -> None:
    maps = normal(seed, 2, 2, 7, 7)
    at = max_pool.switches(maps, 3, 1)
    x, g = normal(seed + 1, *at.shape), normal(seed + 2, *maps.shape)
    y, dx = np.zeros_like(maps), np.zeros_like(x)
    for n, c, i, j in np.ndindex(*x.shape):
        h, w = divmod(int(at[n, c, i, j]), 7)
        y[n, c, h, w] = x[n, c, i, j]
        dx[n, c, i, j] = g[n, c, h, w]
    assert_near(unpool_switches.forward(x, at, (7, 7)), y, 0)
    assert_near(unpool_switches.backward(g, x, at), dx, 0)


@drawn(st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_nearest_is_torchs_interpolation(s: tuple[int, int], i: int, j: int, seed: int) -> None:
    x = normal(seed, 2, 3, i, j)
    factors = tuple(map(float, s))
    y, g, (dx,) = autograd(lambda x: functional.interpolate(x, scale_factor=factors, mode="nearest"), x, seed=seed)
    assert_near(unpool_nearest.forward(x, s), y)
    assert_near(unpool_nearest.backward(g, x, s), dx)


def test_switches_that_do_not_fit_are_refused() -> None:
    x = np.zeros((1, 1, 1, 2))
    with pytest.raises(ShapeError, match=r"expected that of x, \(1, 1, 1, 2\)"):
        unpool_switches.forward(x, np.zeros((1, 1, 2, 1), np.int64), (2, 2))
    with pytest.raises(ShapeError, match=r"point to 0 to 9; maps of \(2, 2\) have 0 to 3"):
        unpool_switches.forward(x, np.array([[[[0, 9]]]]), (2, 2))
