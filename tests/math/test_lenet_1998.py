"""The layers that only LeNet-5 of 1998 has."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import channel_affine, connection_table, radial_basis, sub_sampling
from striate.models.lenet_1998 import TABLE
from tests.math.compare import Array, assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SEED = st.integers(0, 2**32 - 1)


@drawn(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), SEED)
def test_sub_sampling_is_a_scaled_sum_of_squares_of_pixels(c: int, k: int, i: int, j: int, seed: int) -> None:
    x, w, b = normal(seed, 2, c, i * k + seed % k, j * k), normal(seed + 1, c), normal(seed + 2, c)

    def torchs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        sums = functional.conv2d(x, torch.ones(c, 1, k, k, dtype=x.dtype), stride=k, groups=c)
        return sums * w.view(-1, 1, 1) + b.view(-1, 1, 1)

    y, g, gradients = autograd(torchs, x, w, b, seed=seed)
    assert_near(sub_sampling.forward(x, w, b, k), y)
    for ours, theirs in zip(sub_sampling.backward(g, x, w, k), gradients, strict=True):
        assert_near(ours, theirs)
    assert sub_sampling.operations(x.shape, k) == y.size * (k * k + 1)


@drawn(st.integers(1, 4), SEED)
def test_a_coefficient_and_a_bias_a_channel_are_torchs(c: int, seed: int) -> None:
    x, w, b = normal(seed, 2, c, 3, 2), normal(seed + 1, c), normal(seed + 2, c)
    y, g, gradients = autograd(lambda x, w, b: x * w.view(-1, 1, 1) + b.view(-1, 1, 1), x, w, b, seed=seed)
    assert_near(channel_affine.forward(x, w, b), y)
    for ours, theirs in zip(channel_affine.backward(g, x, w), gradients, strict=True):
        assert_near(ours, theirs)
    assert channel_affine.macs(x.shape) == x.size


@drawn(st.lists(st.sets(st.integers(0, 3), min_size=1).map(sorted), min_size=1, max_size=4), st.integers(1, 3), SEED)
def test_a_connection_table_is_one_small_convolution_a_map(table: list[list[int]], k: int, seed: int) -> None:
    x, b = normal(seed, 2, 4, k + 2, k + 1), normal(seed + 1, len(table))
    w = [normal(seed + 2 + o, len(maps), k, k) for o, maps in enumerate(table)]

    def torchs(x: torch.Tensor, b: torch.Tensor, *w: torch.Tensor) -> torch.Tensor:
        rows = [functional.conv2d(x[:, maps], w[o][None], b[o : o + 1]) for o, maps in enumerate(table)]
        return torch.cat(rows, dim=1)

    y, g, (dx, db, *dw) = autograd(torchs, x, b, *w, seed=seed)
    assert_near(connection_table.forward(x, w, b, table), y)
    ours = connection_table.backward(g, x, w, table)
    assert_near(ours[0], dx)
    assert_near(ours[2], db)
    for a, theirs in zip(ours[1], dw, strict=True):
        assert_near(a, theirs)


def test_table_1_has_60_connections_and_1516_parameters() -> None:
    w = [np.zeros((len(maps), 5, 5)) for maps in TABLE]
    assert sum(part.size for part in w) + len(TABLE) == 1516
    assert connection_table.macs((1, 6, 14, 14), TABLE, 5) == 60 * 25 * 100


def by_loops(x: Array, w: list[Array], b: Array, table: list[tuple[int, ...]]) -> Array:
    n, _, rows, cols = x.shape
    k = w[0].shape[-1]
    y = np.zeros((n, len(table), rows - k + 1, cols - k + 1))
    for image, o, i, j in np.ndindex(*y.shape):
        y[image, o, i, j] = b[o]
        for m, c in enumerate(table[o]):
            y[image, o, i, j] += (x[image, c, i : i + k, j : j + k] * w[o][m]).sum()
    return y


def test_the_layer_of_table_1_is_that_of_a_loop_over_maps() -> None:
    x, b = normal(0, 1, 6, 6, 7), normal(1, 16)
    w = [normal(2 + o, len(maps), 5, 5) for o, maps in enumerate(TABLE)]
    assert_near(connection_table.forward(x, w, b, TABLE), by_loops(x, w, b, TABLE))


@drawn(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), SEED)
def test_radial_basis_units_are_squared_distances(n: int, i: int, j: int, seed: int) -> None:
    x, w = normal(seed, n, j), normal(seed + 1, i, j)
    y, g, gradients = autograd(lambda x, w: torch.cdist(x, w).square(), x, w, seed=seed)
    assert_near(radial_basis.forward(x, w), y)
    for ours, theirs in zip(radial_basis.backward(g, x, w), gradients, strict=True):
        assert_near(ours, theirs)
    assert radial_basis.operations(x.shape, w.shape) == 3 * n * i * j


def test_gradients_are_slopes() -> None:
    x, w, g = normal(0, 2, 3), normal(1, 4, 3), normal(2, 2, 4)
    for ours, slope in zip(radial_basis.backward(g, x, w), slopes(radial_basis.forward, g, (x, w)), strict=True):
        assert_near(ours, slope, 1e-8)
    x, w, b, g = normal(0, 1, 2, 4, 4), normal(1, 2), normal(2, 2), normal(3, 1, 2, 2, 2)
    for ours, slope in zip(sub_sampling.backward(g, x, w), slopes(sub_sampling.forward, g, (x, w, b)), strict=True):
        assert_near(ours, slope, 1e-8)


def test_so_are_those_of_a_connection_table() -> None:
    table, x, b = [(0, 2), (1,)], normal(0, 1, 3, 4, 3), normal(1, 2)
    w, g = [normal(2, 2, 2, 2), normal(3, 1, 2, 2)], normal(4, 1, 2, 3, 2)
    dx, dw, db = connection_table.backward(g, x, w, table)
    found = slopes(lambda x, b, *w: connection_table.forward(x, w, b, table), g, (x, b, *w))
    for ours, slope in zip((dx, db, *dw), found, strict=True):
        assert_near(ours, slope, 1e-8)


def test_what_does_not_fit_is_refused() -> None:
    x, w = np.zeros((1, 2, 4, 4)), [np.zeros((2, 3, 3))]
    with pytest.raises(ShapeError, match=r"output 0 is to see maps \(0, 2\); expected each once, of 0 to 1"):
        connection_table.forward(x, w, np.zeros(1), [(0, 2)])
    with pytest.raises(ShapeError, match=r"connects \[1\] maps; w has kernels for \[2\]"):
        connection_table.forward(x, w, np.zeros(1), [(0,)])
    with pytest.raises(ShapeError, match=r"expects \(N, 84\)"):
        radial_basis.forward(np.zeros((1, 85)), np.zeros((10, 84)))
