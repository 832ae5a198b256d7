"""Transposed convolution: torch's results and gradients, finite differences, and that it is conv2d's transpose."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import conv2d, conv_transpose2d
from tests.math.compare import Array, assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn

Settings = dict[str, Any]


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Settings, int]:
    """x_shape, w_shape, settings, seed."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = draw(st.integers(1, 3))
    stride, dilation, k, size = pair(1, 3), pair(1, 3), pair(1, 4), pair(1, 5)
    padding = pair(0, 3)
    extra = tuple(draw(st.integers(0, max(stride[a], dilation[a]) - 1)) for a in (0, 1))
    for a in (0, 1):
        assume((size[a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (k[a] - 1) + 1 + extra[a] >= 1)
    c, o = groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    settings = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation, "groups": groups}
    return (draw(st.integers(1, 2)), c, *size), (c, o, *k), settings, draw(st.integers(0, 2**32 - 5))


@drawn(cases())
def test_value_and_gradients_are_torchs(case: Any) -> None:
    x_shape, w_shape, settings, seed = case
    x, w, b = normal(seed, *x_shape), normal(seed + 1, *w_shape), normal(seed + 2, w_shape[1] * settings["groups"])
    y, g, theirs = autograd(lambda x, w, b: functional.conv_transpose2d(x, w, b, **settings), x, w, b)
    assert conv_transpose2d.out_shape(x_shape, w_shape, **settings) == y.shape
    assert_near(conv_transpose2d.forward(x, w, b, **settings), y)
    for one, other in zip(conv_transpose2d.backward(g, x, w, **settings), theirs, strict=True):
        assert_near(one, other)


@drawn(cases(), ordinary=5)
def test_the_gradients_are_the_slopes(case: Any) -> None:
    x_shape, w_shape, settings, seed = case
    x, w, b = normal(seed, *x_shape), normal(seed + 1, *w_shape), normal(seed + 2, w_shape[1] * settings["groups"])

    def value(x: Array, w: Array, b: Array) -> Array:
        return conv_transpose2d.forward(x, w, b, **settings)

    g = normal(seed + 3, *value(x, w, b).shape)
    for one, slope in zip(conv_transpose2d.backward(g, x, w, **settings), slopes(value, g, (x, w, b)), strict=True):
        assert_slopes_near(one, slope)


@drawn(cases(), ordinary=20)
def test_it_is_what_a_convolution_does_to_its_gradient(case: Any) -> None:
    x_shape, w_shape, settings, seed = case
    x, w = normal(seed, *x_shape), normal(seed + 1, *w_shape)
    y = conv_transpose2d.forward(x, w, None, **settings)
    back = settings["stride"], settings["padding"], settings["dilation"], settings["groups"]
    (s, t), (p, q), (d, e), _ = back
    shrunk = [
        (size + 2 * pad - dil * (k - 1) - 1) // step + 1
        for size, pad, dil, k, step in zip(y.shape[2:], (p, q), (d, e), w_shape[2:], (s, t), strict=True)
    ]
    assume(tuple(shrunk) == x_shape[2:])
    assert_near(y, conv2d.backward(x, np.zeros_like(y), w, *back)[0])


def test_macs_are_each_input_times_each_tap() -> None:
    x, w = np.ones((2, 4, 3, 3)), np.ones((4, 2, 2, 2))
    assert conv_transpose2d.macs(x.shape, w.shape, groups=2) == conv_transpose2d.forward(x, w, None, groups=2).sum()


def test_float32_stays_float32() -> None:
    x, w = np.ones((1, 2, 3, 3), np.float32), np.ones((2, 3, 2, 2), np.float32)
    y = conv_transpose2d.forward(x, w, np.ones(3, np.float32), 2)
    assert {t.dtype for t in (y, *conv_transpose2d.backward(y, x, w, 2))} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("x", "w", "settings", "says"),
    [
        ((1, 2, 3, 3), (3, 2, 2, 2), {}, "expected (N, C, I, J) and (C, O, U, V)"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"groups": 3}, "3 groups can't share 2 channels"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"output_padding": 1}, "expected 0 to 0"),
        ((1, 2, 1, 1), (2, 2, 2, 2), {"padding": 1}, "leave 0 rows"),
        ((1, 2, 3, 3), (2, 2, 2, 2), {"padding": -1}, "padding is -1; expected a whole number from 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(x: Any, w: Any, settings: Settings, says: str) -> None:
    with pytest.raises(ShapeError) as refused:
        conv_transpose2d.forward(np.zeros(x), np.zeros(w), None, **settings)
    assert says in str(refused.value)
