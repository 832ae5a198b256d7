"""Depthwise, pointwise and separable convolution: torch's results and gradients, and the general convolution's."""

import numpy as np
import pytest
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import conv2d, depthwise, pointwise, separable
from tests.math.compare import Array, assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn
from tests.math.geometries import Geometry, geometries

seeds = st.integers(0, 2**32 - 4)


@drawn(geometries(grouped=False), st.integers(1, 3))
def test_depthwise_is_torchs_with_a_group_a_channel(a: Geometry, m: int) -> None:
    x, w, b = a.inputs()[0], normal(a.seed + 1, a.c_in * m, *a.k), normal(a.seed + 2, a.c_in * m)
    (top, bottom), (left, right) = a.padding
    y, g, theirs = autograd(
        lambda x, w, b: functional.conv2d(
            functional.pad(x, (left, right, top, bottom)), w[:, None], b, a.stride, 0, a.dilation, a.c_in
        ),
        x, w, b,
    )  # fmt: skip
    assert_near(depthwise.forward(x, w, b, a.stride, a.padding, a.dilation), y)
    for one, other in zip(depthwise.backward(g, x, w, a.stride, a.padding, a.dilation), theirs, strict=True):
        assert_near(one, other)
    assert_near(conv2d.forward(x, w[:, None], b, a.stride, a.padding, a.dilation, a.c_in), y)
    assert depthwise.out_shape(x.shape, w.shape, a.stride, a.padding, a.dilation) == y.shape
    assert depthwise.macs(x.shape, w.shape, a.stride, a.padding, a.dilation) == y.size * w[0].size


@drawn(geometries(k=(1, 1), grouped=False))
def test_pointwise_is_torchs_one_by_one(a: Geometry) -> None:
    x, w, b = a.inputs()
    y, g, (dx, dw, db) = autograd(lambda x, w, b: functional.conv2d(x, w, b), x, w, b)
    assert_near(pointwise.forward(x, w[:, :, 0, 0], b), y)
    for one, other in zip(pointwise.backward(g, x, w[:, :, 0, 0]), (dx, dw[:, :, 0, 0], db), strict=True):
        assert_near(one, other)
    assert pointwise.macs(x.shape, w.shape[:2]) == y.size * x.shape[1]


@drawn(geometries(dilation=1, grouped=False), st.integers(1, 2))
def test_separable_is_one_after_the_other(a: Geometry, m: int) -> None:
    x = a.inputs()[0]
    w, p, b = normal(a.seed + 1, a.c_in * m, *a.k), normal(a.seed + 2, 3, a.c_in * m), normal(a.seed + 3, 3)
    (top, bottom), (left, right) = a.padding
    y, g, theirs = autograd(
        lambda x, w, p, b: functional.conv2d(
            functional.conv2d(functional.pad(x, (left, right, top, bottom)), w[:, None], None, a.stride, groups=a.c_in),
            p[:, :, None, None], b,
        ),
        x, w, p, b,
    )  # fmt: skip
    assert_near(separable.forward(x, w, p, b, a.stride, a.padding), y)
    for one, other in zip(separable.backward(g, x, w, p, a.stride, a.padding), theirs, strict=True):
        assert_near(one, other)
    assert separable.out_shape(x.shape, w.shape, p.shape, a.stride, a.padding) == y.shape


@drawn(geometries(dilation=1, grouped=False), ordinary=5)
def test_the_gradients_are_the_slopes(a: Geometry) -> None:
    x, w, p, b = a.inputs()[0], normal(a.seed + 1, a.c_in, *a.k), normal(a.seed + 2, 2, a.c_in), normal(a.seed + 3, 2)

    def value(x: Array, w: Array, p: Array, b: Array) -> Array:
        return separable.forward(x, w, p, b, a.stride, a.padding)

    g = normal(a.seed + 4, *value(x, w, p, b).shape)
    for one, slope in zip(
        separable.backward(g, x, w, p, a.stride, a.padding), slopes(value, g, (x, w, p, b)), strict=True
    ):
        assert_slopes_near(one, slope)


def test_the_lectures_614400_and_29376() -> None:
    assert conv2d.macs((1, 3, 12, 12), (128, 3, 5, 5)) == 614_400
    assert depthwise.macs((1, 3, 12, 12), (3, 5, 5)) + pointwise.macs((1, 3, 8, 8), (128, 3)) == 29_376


def test_float32_stays_float32() -> None:
    x, w, p = np.ones((1, 2, 5, 5), np.float32), np.ones((2, 3, 3), np.float32), np.ones((4, 2), np.float32)
    y = separable.forward(x, w, p, np.ones(4, np.float32))
    assert {t.dtype for t in (y, *separable.backward(y, x, w, p))} == {np.dtype(np.float32)}


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="m kernels each"):
        depthwise.forward(np.ones((1, 2, 5, 5)), np.ones((3, 3, 3)))
    with pytest.raises(ShapeError, match=r"expected \(N, C, H, W\) and \(O, C\)"):
        pointwise.forward(np.ones((1, 2, 5, 5)), np.ones((3, 3)))
