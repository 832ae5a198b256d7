"""1-D convolution by hand: torch's results and gradients, finite differences, and a loop over every index."""

import numpy as np
import pytest
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import conv1d
from tests.math.compare import Array, assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn
from tests.math.geometries import Geometry, geometries


def settings(a: Geometry) -> tuple[int, tuple[int, int], int, int]:
    return a.stride[0], a.padding[0], a.dilation[0], a.groups


@drawn(geometries(axes=1))
def test_value_and_gradients_are_torchs(a: Geometry) -> None:
    s, p, d, groups = settings(a)
    x, w, b = a.inputs()
    y, g, theirs = autograd(
        lambda x, w, b: functional.conv1d(functional.pad(x, p), w, b, s, 0, d, groups), x, w, b
    )  # fmt: skip
    assert_near(conv1d.forward(x, w, b, s, p, d, groups), y)
    for one, other in zip(conv1d.backward(g, x, w, s, p, d, groups), theirs, strict=True):
        assert_near(one, other)
    assert conv1d.out_shape(x.shape, w.shape, s, p, d) == y.shape
    assert conv1d.macs(x.shape, w.shape, s, p, d) == y.size * w[0].size


@drawn(geometries(axes=1), ordinary=10)
def test_the_gradients_are_the_slopes_of_a_loop(a: Geometry) -> None:
    s, p, d, groups = settings(a)

    def value(x: Array, w: Array, b: Array) -> Array:
        x = np.pad(x, ((0, 0), (0, 0), p))
        y = np.zeros((len(x), len(w), (x.shape[2] - d * (w.shape[2] - 1) - 1) // s + 1))
        for n, o, i in np.ndindex(y.shape):
            first = o // (len(w) // groups) * w.shape[1]
            y[n, o, i] = b[o] + sum(
                x[n, first + c, i * s + u * d] * w[o, c, u] for c, u in np.ndindex(w.shape[1:])
            )  # fmt: skip
        return y

    inputs = a.inputs()
    y = value(*inputs)
    assert_near(conv1d.forward(*inputs, s, p, d, groups), y)
    g = normal(a.seed + 9, *y.shape)
    for one, slope in zip(conv1d.backward(g, *inputs[:2], s, p, d, groups), slopes(value, g, inputs), strict=True):
        assert_slopes_near(one, slope)


def test_float32_stays_float32() -> None:
    x, w = np.ones((1, 2, 5), np.float32), np.ones((3, 2, 2), np.float32)
    y = conv1d.forward(x, w)
    assert {t.dtype for t in (y, *conv1d.backward(y, x, w))} == {np.dtype(np.float32)}


def test_maps_with_two_axes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected \(N, C, H\)"):
        conv1d.forward(np.ones((1, 2, 5, 5)), np.ones((3, 2, 2)))
