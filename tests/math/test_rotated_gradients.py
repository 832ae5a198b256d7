"""The lectures' gradients with kernels turned by 180 degrees are the gradients of the formulas, and of torch."""

import numpy as np
import pytest
from hypothesis import strategies as st

from striate.errors import ShapeError
from striate.math import conv2d, conv2d_winograd
from striate.math.rotated_gradients import of_convolution, of_correlation, rot180, valid
from tests.math.compare import assert_near, autograd, normal
from tests.math.conftest import drawn

seeds = st.integers(0, 2**32 - 4)


@drawn(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4), seeds)
def test_both_forms_are_the_gradients(i: int, j: int, u: int, v: int, seed: int) -> None:
    x, w = normal(seed, i + u - 1, j + v - 1), normal(seed + 1, u, v)
    g = normal(seed + 2, i, j)
    assert_near(valid(x, rot180(w)), conv2d.forward(x[None, None], w[None, None])[0, 0])
    dx, dw, _ = conv2d.backward(g[None, None], x[None, None], w[None, None])
    for one, other in zip(of_correlation(g, x, w), (dx, dw), strict=True):
        assert_near(one, other[0, 0])

    from torch.nn import functional

    y, g, theirs = autograd(
        lambda x, w: functional.conv2d(x[None, None], w.flip(0, 1)[None, None])[0, 0], x, w
    )  # fmt: skip
    assert_near(valid(x, w), y)
    for one, other in zip(of_convolution(g, x, w), theirs, strict=True):
        assert_near(one, other)


def test_without_the_outer_rotation_the_lectures_last_line_is_the_other_gradient() -> None:
    g, x, w = normal(1, 3, 3), normal(2, 5, 5), normal(3, 3, 3)
    without = valid(x, rot180(g))
    assert not np.allclose(without, of_convolution(g, x, w)[1])
    assert_near(rot180(without), of_convolution(g, x, w)[1])


def test_the_gradient_of_the_input_is_one_more_winograd_pass() -> None:
    x, w = normal(1, 2, 3, 6, 5), normal(2, 4, 3, 3, 3)
    g = normal(3, 2, 4, 6, 5)
    turned = w.swapaxes(0, 1)[:, :, ::-1, ::-1]
    assert_near(conv2d_winograd.forward(g, turned, None, 1), conv2d.backward(g, x, w, 1, 1)[0])


def test_a_kernel_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ShapeError, match="no side larger"):
        valid(np.ones((2, 5)), np.ones((3, 3)))
