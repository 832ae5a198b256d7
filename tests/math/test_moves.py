"""Operations that move numbers and compute nothing: flatten, shuffle, pick, pad."""

import numpy as np
import pytest
from hypothesis import strategies as st
from torch.nn import functional

from striate.blocks.shortcuts import PaddedShortcut
from striate.errors import ShapeError
from striate.math import channel_shuffle, flatten, pad, padded_shortcut, pick
from tests.math.compare import assert_near, autograd, normal
from tests.math.conftest import drawn

SEED = st.integers(0, 2**32 - 1)


@drawn(st.lists(st.integers(1, 4), min_size=2, max_size=4), SEED)
def test_flatten_is_torchs(shape: list[int], seed: int) -> None:
    x = normal(seed, *shape)
    y, g, (dx,) = autograd(lambda x: x.flatten(1), x, seed=seed)
    assert_near(flatten.forward(x), y, 0)
    assert_near(flatten.backward(g, x), dx, 0)


@drawn(st.integers(1, 4), st.integers(1, 4), SEED)
def test_channel_shuffle_is_torchs_and_its_gradient_puts_everything_back(groups: int, each: int, seed: int) -> None:
    x = normal(seed, 2, groups * each, 3, 2)
    y, g, (dx,) = autograd(lambda x: functional.channel_shuffle(x, groups), x, seed=seed)
    assert_near(channel_shuffle.forward(x, groups), y, 0)
    assert_near(channel_shuffle.backward(g, groups), dx, 0)
    assert_near(channel_shuffle.backward(channel_shuffle.forward(x, groups), groups), x, 0)


@drawn(st.lists(st.integers(0, 3), min_size=1, max_size=6), SEED)
def test_a_channel_that_is_picked_twice_gets_both_gradients(m: list[int], seed: int) -> None:
    x = normal(seed, 2, 4, 3, 2)
    y, g, (dx,) = autograd(lambda x: x[:, m], x, seed=seed)
    assert_near(pick.forward(x, m), y, 0)
    assert_near(pick.backward(g, x, m), dx)


@drawn(st.tuples(*[st.integers(-2, 3)] * 4), st.sampled_from([0.0, 1.5]), SEED)
def test_padding_and_cutting_are_torchs(border: tuple[int, int, int, int], v: float, seed: int) -> None:
    x = normal(seed, 2, 3, 5, 6)
    top, bottom, left, right = border
    y, g, (dx,) = autograd(lambda x: functional.pad(x, (left, right, top, bottom), value=v), x, seed=seed)
    assert_near(pad.forward(x, border, v), y, 0)
    assert_near(pad.backward(g, border), dx, 0)


@drawn(st.integers(1, 3), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5), SEED)
def test_the_shortcut_without_weights_is_the_zoos(c: int, more: int, h: int, w: int, seed: int) -> None:
    x, layer = normal(seed, 2, c, h, w), PaddedShortcut(c, c + more)
    y, g, (dx,) = autograd(layer, x, seed=seed)
    assert_near(padded_shortcut.forward(x, layer.before, layer.after), y, 0)
    assert_near(padded_shortcut.backward(g, x, layer.before), dx, 0)


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros((1, 4, 2, 2))
    with pytest.raises(ShapeError, match="4 channels can't be divided into 3 groups"):
        channel_shuffle.forward(x, 3)
    with pytest.raises(ShapeError, match=r"channels \(0, 4\) are asked for; x .* has 0 to 3"):
        pick.forward(x, (0, 4))
    with pytest.raises(ShapeError, match="leaves nothing"):
        pad.forward(x, (-2, -1, 0, 0))
