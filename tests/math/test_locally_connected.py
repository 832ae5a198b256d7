"""Locally connected layers: torch's patches and gradients, finite differences, and loops."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import conv1d, conv2d, locally_connected1d, locally_connected2d
from tests.math.compare import Array, assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn
from tests.math.geometries import Geometry, geometries


def weights(a: Geometry) -> tuple[Array, Array]:
    shape = locally_connected2d.weights_shape((1, a.c_in, *a.size), a.c_out, a.k, a.stride, a.padding, a.dilation)
    return normal(a.seed + 1, *shape), normal(a.seed + 2, a.c_out, *shape[:2])


def torchs(x: Tensor, w: Tensor, b: Tensor, a: Geometry) -> Tensor:
    (top, bottom), (left, right) = a.padding
    x = functional.pad(x, (left, right, top, bottom))
    columns = functional.unfold(x, a.k, a.dilation, 0, a.stride)  # (N, C·U·V, I·J)
    rows, cols = w.shape[:2]
    return torch.einsum("nkp,pok->nop", columns, w.reshape(rows * cols, w.shape[2], -1)).unflatten(2, (rows, cols)) + b


@drawn(geometries(grouped=False))
def test_value_and_gradients_are_torchs(a: Geometry) -> None:
    x, (w, b) = a.inputs()[0], weights(a)
    y, g, theirs = autograd(lambda x, w, b: torchs(x, w, b, a), x, w, b)
    assert_near(locally_connected2d.forward(x, w, b, a.stride, a.padding, a.dilation), y)
    for one, other in zip(locally_connected2d.backward(g, x, w, a.stride, a.padding, a.dilation), theirs, strict=True):
        assert_near(one, other)
    assert locally_connected2d.out_shape(x.shape, w.shape, a.stride, a.padding, a.dilation) == y.shape
    assert locally_connected2d.macs(x.shape, w.shape, a.stride, a.padding, a.dilation) == y.size * w[0, 0, 0].size


@drawn(geometries(grouped=False), ordinary=20)
def test_with_the_same_weights_everywhere_it_is_the_convolution(a: Geometry) -> None:
    x, w, b = a.inputs()
    y = conv2d.forward(x, w, b, a.stride, a.padding, a.dilation)
    rows, cols = y.shape[2:]
    own = np.broadcast_to(w, (rows, cols, *w.shape))
    every = np.broadcast_to(b[:, None, None], (len(b), rows, cols))
    assert_near(locally_connected2d.forward(x, own, every, a.stride, a.padding, a.dilation), y)
    g = normal(a.seed + 5, *y.shape)
    dx, dw, db = locally_connected2d.backward(g, x, own, a.stride, a.padding, a.dilation)
    shared = (dx, dw.sum(axis=(0, 1)), db.sum(axis=(1, 2)))
    for one, other in zip(shared, conv2d.backward(g, x, w, a.stride, a.padding, a.dilation), strict=True):
        assert_near(one, other)


@drawn(geometries(axes=1, grouped=False))
def test_in_one_dimension_it_is_a_loop_and_its_slopes(a: Geometry) -> None:
    s, p, d = a.stride[0], a.padding[0], a.dilation[0]
    x, shared, _ = a.inputs()
    i = conv1d.out_shape(x.shape, shared.shape, s, p, d)[2]
    w, b = normal(a.seed + 1, i, *shared.shape), normal(a.seed + 2, a.c_out, i)

    def value(x: Array, w: Array, b: Array) -> Array:
        x = np.pad(x, ((0, 0), (0, 0), p))
        y = np.empty((len(x), w.shape[1], len(w)))
        for n, o, at in np.ndindex(y.shape):
            seen = x[n, :, at * s : at * s + d * (w.shape[3] - 1) + 1 : d]
            y[n, o, at] = b[o, at] + (seen * w[at, o]).sum()
        return y

    assert_near(locally_connected1d.forward(x, w, b, s, p, d), value(x, w, b))
    assert locally_connected1d.out_shape(x.shape, w.shape, s, p, d) == value(x, w, b).shape
    assert locally_connected1d.macs(x.shape, w.shape, s, p, d) == len(x) * w.size
    g = normal(a.seed + 3, *value(x, w, b).shape)
    if w.size < 40:
        ours = locally_connected1d.backward(g, x, w, s, p, d)
        for one, slope in zip(ours, slopes(value, g, (x, w, b)), strict=True):
            assert_slopes_near(one, slope)


def test_the_lectures_21_9_and_3_parameters() -> None:
    assert locally_connected2d.weights_shape((1, 1, 1, 7), 1, (1, 7)) == (1, 1, 1, 1, 1, 7)  # 7 weights for each output
    assert locally_connected2d.weights_shape((1, 1, 1, 7), 1, (1, 3), (1, 2)) == (1, 3, 1, 1, 1, 3)  # 3 for each of 3
    assert conv1d.out_shape((1, 1, 7), (1, 1, 3), stride=2) == (1, 1, 3)  # the same 3 for all
    assert locally_connected1d.macs((1, 1, 7), (3, 1, 1, 3), 2) == conv1d.macs((1, 1, 7), (1, 1, 3), 2) == 9


def test_float32_stays_float32() -> None:
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 3, 4, 2, 3, 3), np.float32)
    y = locally_connected2d.forward(x, w, np.ones((4, 3, 3), np.float32))
    assert {t.dtype for t in (y, *locally_connected2d.backward(y, x, w))} == {np.dtype(np.float32)}


def test_weights_for_another_size_are_refused_with_the_right_shape() -> None:
    with pytest.raises(ShapeError, match=r"it has to be \(4, 3, 4, 2, 3, 3\)"):
        locally_connected2d.forward(np.ones((1, 2, 6, 5)), np.ones((3, 3, 4, 2, 3, 3)))
    with pytest.raises(ShapeError, match=r"expected \(N, C, H\) and \(I, O, C, U\)"):
        locally_connected1d.forward(np.ones((1, 2, 6, 5)), np.ones((3, 3, 4, 2)))
