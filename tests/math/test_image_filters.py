"""Classical filters: scipy's results, images whose answer is known, and the lectures' numbers."""

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import ndimage

from striate.errors import ShapeError, UnknownName
from striate.math.image_filters import KERNELS, convolved, correlated, in_sequence, kernel, sobel
from tests.math.compare import assert_near, normal
from tests.math.conftest import drawn

inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
RAMP = np.broadcast_to(np.arange(8.0), (1, 1, 8, 8))  # brighter to the right, by 1 a pixel
FLAT = np.full((1, 1, 8, 8), 7.0)


@drawn(st.sampled_from(sorted(KERNELS)), st.integers(7, 12), st.integers(7, 12), st.integers(0, 2**32 - 1))
def test_every_filter_gives_what_scipy_gives(name: str, h: int, w: int, seed: int) -> None:
    x = normal(seed, 2, 3, h, w)
    for ours, theirs in ((correlated, ndimage.correlate), (convolved, ndimage.convolve)):
        expected = np.array([[theirs(map_, kernel(name), mode="constant") for map_ in image] for image in x])
        assert_near(ours(x, kernel(name)), expected)


def test_on_a_flat_image_edges_are_nothing_and_sharpening_changes_nothing() -> None:
    for name in ("sobel_x", "sobel_y", "laplacian", "edge"):
        assert not correlated(FLAT, kernel(name))[inside].any()
    assert np.array_equal(correlated(FLAT, kernel("sharpen"))[inside], FLAT[inside])
    assert np.array_equal(correlated(RAMP, kernel("identity")), RAMP)


def test_sobel_is_positive_where_a_true_convolution_meets_a_ramp_and_negative_where_a_layer_does() -> None:
    assert np.all(convolved(RAMP, kernel("sobel_x"))[inside] == 8)
    assert np.all(correlated(RAMP, kernel("sobel_x"))[inside] == -8)
    assert np.array_equal(kernel("sobel_y"), kernel("sobel_x").T)


def test_sobel_says_how_steep_and_which_way() -> None:
    steep, way = sobel(RAMP)
    assert np.all(steep[inside] == 8)
    assert np.all(way[inside] == 0)
    down = RAMP.swapaxes(2, 3)
    assert np.allclose(sobel(down)[1][inside], np.pi / 2)


def test_sharpening_is_the_image_minus_its_laplacian() -> None:
    assert np.array_equal(kernel("sharpen"), kernel("identity") - kernel("laplacian"))


def test_two_filters_in_sequence_are_one() -> None:
    x, a, b = normal(1, 1, 1, 12, 12), normal(2, 3, 3), normal(3, 3, 3)
    deep = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert_near(convolved(convolved(x, a), b)[deep], convolved(x, in_sequence(a, b))[deep])


def test_the_type_is_kept_and_what_does_not_fit_is_refused() -> None:
    assert correlated(FLAT.astype(np.float32), kernel("edge")).dtype == np.float32
    with pytest.raises(UnknownName, match="did you mean 'sharpen'"):
        kernel("sharpn")
    with pytest.raises(ShapeError, match="odd sides"):
        correlated(FLAT, np.ones((2, 2)))
