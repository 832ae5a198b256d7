import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import batch_norm, group_norm
from tests.math.compare import assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@drawn(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4), SHAPES, st.integers(0, 2**32 - 1))
def test_it_is_torchs(n: int, groups: int, each: int, rest: tuple[int, ...], seed: int) -> None:
    c = groups * each
    x, w, b = 3 * normal(seed, n, c, *rest) + 1, normal(seed + 1, c), normal(seed + 2, c)

    def torchs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return functional.group_norm(x, groups, w, b, 1e-3)

    y, g, gradients = autograd(torchs, x, w, b, seed=seed)
    assert_near(group_norm.forward(x, w, b, groups, 1e-3), y)
    # of two values a group little but eps is left of dx: a difference of numbers as large as g * w / sqrt(var)
    dx, dw, db = group_norm.backward(g, x, w, groups, 1e-3)
    gross = np.abs(g * w.reshape(-1, *[1] * len(rest))).max() / np.sqrt(1e-3)
    assert np.abs(dx - gradients[0]).max() <= 1e-10 * np.abs(gradients[0]).max() + 1e-13 * gross
    assert_near(dw, gradients[1])
    assert_near(db, gradients[2])


def test_gradients_are_slopes() -> None:
    x, w, b, g = normal(0, 2, 4, 3, 2), normal(1, 4), normal(2, 4), normal(3, 2, 4, 3, 2)
    for groups in (1, 2, 4):
        found = slopes(lambda x, w, b, q=groups: group_norm.forward(x, w, b, q), g, (x, w, b))
        for ours, slope in zip(group_norm.backward(g, x, w, groups), found, strict=True):
            assert_near(ours, slope, 1e-7)


def test_one_group_is_layer_normalisation_and_one_a_channel_is_instance_normalisation() -> None:
    x, w, b = normal(0, 3, 4, 5, 2), np.ones(4), np.zeros(4)
    layer = functional.layer_norm(torch.from_numpy(x), (4, 5, 2))
    instance = functional.instance_norm(torch.from_numpy(x))
    assert_near(group_norm.forward(x, w, b, 1), layer)
    assert_near(group_norm.forward(x, w, b, 4), instance)


def test_of_one_image_the_instance_norm_is_the_batch_norm() -> None:
    x, w, b, g = normal(0, 1, 4, 5, 2), normal(1, 4), normal(2, 4), normal(3, 1, 4, 5, 2)
    assert_near(group_norm.forward(x, w, b, 4), batch_norm.forward(x, w, b), 1e-12)
    for ours, batchs in zip(group_norm.backward(g, x, w, 4), batch_norm.backward(g, x, w), strict=True):
        assert_near(ours, batchs, 1e-12)


def test_one_value_a_group_is_normalised_to_nothing_and_has_no_slope() -> None:
    x, w, b = normal(0, 2, 3, 1, 1), normal(1, 3), normal(2, 3)
    assert_near(group_norm.forward(x, w, b, 3), np.broadcast_to(b.reshape(3, 1, 1), x.shape))
    assert not group_norm.backward(x, x, w, 3)[0].any()


def test_channels_that_are_not_whole_groups_are_refused() -> None:
    with pytest.raises(ShapeError, match="can't be normalised in 2 groups"):
        group_norm.forward(normal(0, 2, 3, 4, 4), np.ones(3), np.ones(3), 2)


def test_the_type_of_the_numbers_stays() -> None:
    x, w = normal(0, 4, 2, 3, 3).astype(np.float32), np.ones(2, np.float32)
    results = (group_norm.forward(x, w, w, 2), *group_norm.backward(x, x, w, 2))
    assert {y.dtype for y in results} == {np.dtype("float32")}
    assert group_norm.operations(x.shape) == 8 * 72
