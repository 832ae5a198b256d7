"""2-D convolution by hand: torch's results and gradients, finite differences, and loops over every index."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from striate.errors import ShapeError
from striate.math import conv2d
from tests.math.compare import Array, assert_near, assert_slopes_near, autograd, normal, slopes
from tests.math.conftest import drawn
from tests.math.geometries import Geometry, geometries


def torchs(x: Tensor, w: Tensor, b: Tensor, a: Geometry) -> Tensor:
    (top, bottom), (left, right) = a.padding
    x = functional.pad(x, (left, right, top, bottom))
    return functional.conv2d(x, w, b, a.stride, 0, a.dilation, a.groups)


def loops(x: Array, w: Array, b: Array, a: Geometry) -> Array:
    """The formula of the file, index by index; x is looked up, and where it has nothing there is a zero."""
    n, _, h, k = x.shape
    o, each, u, v = w.shape
    (top, bottom), (left, right) = a.padding
    rows = (h + top + bottom - (a.dilation[0] * (u - 1) + 1)) // a.stride[0] + 1
    cols = (k + left + right - (a.dilation[1] * (v - 1) + 1)) // a.stride[1] + 1
    y = np.zeros((n, o, rows, cols))
    for at in product(*map(range, y.shape)):
        image, f, i, j = at
        first = f // (o // a.groups) * each
        total = b[f]
        for channel, p, q in product(range(each), range(u), range(v)):
            row = i * a.stride[0] + p * a.dilation[0] - top
            col = j * a.stride[1] + q * a.dilation[1] - left
            if 0 <= row < h and 0 <= col < k:
                total += x[image, first + channel, row, col] * w[f, channel, p, q]
        y[at] = total
    return y


@drawn(geometries())
def test_value_and_gradients_are_torchs(a: Geometry) -> None:
    x, w, b = a.inputs()
    y, g, (dx, dw, db) = autograd(lambda x, w, b: torchs(x, w, b, a), x, w, b)
    assert_near(conv2d.forward(x, w, b, a.stride, a.padding, a.dilation, a.groups), y)
    for ours, theirs in zip(
        conv2d.backward(g, x, w, a.stride, a.padding, a.dilation, a.groups), (dx, dw, db), strict=True
    ):
        assert_near(ours, theirs)


@drawn(geometries(), ordinary=10)
def test_the_value_is_the_formula_written_as_loops(a: Geometry) -> None:
    x, w, b = a.inputs()
    assert_near(conv2d.forward(x, w, b, a.stride, a.padding, a.dilation, a.groups), loops(x, w, b, a))


@drawn(geometries(), ordinary=5)
def test_the_gradients_are_the_slopes(a: Geometry) -> None:
    inputs = a.inputs()

    def value(x: Array, w: Array, b: Array) -> Array:
        return conv2d.forward(x, w, b, a.stride, a.padding, a.dilation, a.groups)

    g = normal(a.seed + 9, *value(*inputs).shape)
    ours = conv2d.backward(g, *inputs[:2], a.stride, a.padding, a.dilation, a.groups)
    for one, slope in zip(ours, slopes(value, g, inputs), strict=True):
        assert_slopes_near(one, slope)


@drawn(geometries(), ordinary=10)
def test_shapes_and_types_are_kept_and_macs_are_counted(a: Geometry) -> None:
    x, w, b = (t.astype(np.float32) for t in a.inputs())
    y = conv2d.forward(x, w, b, a.stride, a.padding, a.dilation, a.groups)
    assert y.shape == conv2d.out_shape(x.shape, w.shape, a.stride, a.padding, a.dilation)
    assert conv2d.macs(x.shape, w.shape, a.stride, a.padding, a.dilation) == y.size * w[0].size
    given = conv2d.backward(y, x, w, a.stride, a.padding, a.dilation, a.groups)
    assert {t.dtype for t in (y, *given)} == {np.dtype(np.float32)}


@drawn(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), ordinary=30, slow=300
)  # fmt: skip
def test_same_as_keras_is_what_the_zoo_pads_for_weights_from_there(size: int, k: int, stride: int, d: int) -> None:
    from striate.blocks.same import SameConv2d

    x, w, b = normal(1, 1, 2, size, size), normal(2, 3, 2, k, k), normal(3, 3)
    layer = SameConv2d(2, 3, k, stride, dilation=d).double()
    layer.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
    y = conv2d.forward(x, w, b, stride, "same_keras", d)
    assert y.shape[2] == -(-size // stride)
    assert_near(y, layer(torch.from_numpy(x)))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@drawn(st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), ordinary=30)
def test_same_as_torch_is_what_torch_pads(size: int, k: int, d: int) -> None:
    x, w, b = normal(1, 1, 2, size, size), normal(2, 3, 2, k, k), normal(3, 3)
    theirs = functional.conv2d(*map(torch.from_numpy, (x, w, b)), padding="same", dilation=d)
    assert_near(conv2d.forward(x, w, b, 1, "same_torch", d), theirs)


def test_without_a_bias_none_is_added() -> None:
    x, w = normal(1, 1, 2, 5, 5), normal(2, 3, 2, 3, 3)
    assert_near(conv2d.forward(x, w), conv2d.forward(x, w, np.zeros(3)))


@pytest.mark.parametrize(
    ("x", "w", "settings", "says"),
    [
        ((1, 3, 5, 5), (4, 2, 3, 3), {}, "x has 3 channels but w (4, 2, 3, 3) with 1 groups expects 2"),
        ((1, 3, 5), (4, 3, 3, 3), {}, "expected (N, C, H, W)"),
        ((1, 3, 5, 5), (4, 3, 7, 3), {}, "k = 5 is the largest that fits, or pad 2 more"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"dilation": 3}, "k = 2 is the largest that fits"),
        ((1, 4, 5, 5), (4, 2, 3, 3), {"groups": 3}, "3 groups can't share 4 channels"),
        ((1, 4, 5, 5), (4, 4, 3, 3), {"groups": 0}, "0 groups"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}, "stride is 0"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"stride": (1, 2, 3)}, "stride is (1, 2, 3)"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"padding": -1}, "no less than 0"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"padding": "same_keas"}, "did you mean 'same_keras'"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"padding": "same_torch", "stride": 2}, "for stride 1 only"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"padding": (1, 1, 1)}, "for 2 axes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(
    x: tuple[int, ...], w: tuple[int, ...], settings: dict[str, int], says: str
) -> None:
    with pytest.raises(ShapeError) as refused:
        conv2d.forward(np.zeros(x), np.zeros(w), None, **settings)
    assert says in str(refused.value)


@drawn(geometries(), ordinary=20)
def test_the_patches_and_their_overlapping_sum_are_each_others_transpose(a: Geometry) -> None:
    from striate.math.patches import crop, overlap_add, pad, patches

    x = a.inputs()[0]
    padded = pad(x, a.padding)
    seen = patches(padded, a.k, a.stride, a.dilation)
    p = normal(a.seed + 5, *seen.shape)
    back = overlap_add(p, padded.shape[2:], a.stride, a.dilation)
    assert np.isclose((p * seen).sum(), (back * padded).sum(), rtol=1e-10, atol=1e-10)
    assert np.array_equal(crop(padded, a.padding), x)
