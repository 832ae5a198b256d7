"""Resizing by torch and by Pillow: the same filter, whichever is taken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.resample import FILTERS, cut_out, resize
from tests.data.pictures import Array, drawn

sides = st.integers(1, 90)


def by_pillow(image: Array, height: int, width: int, interpolation: str) -> Array:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    return np.asarray(picture.resize((width, height), FILTERS[interpolation])).reshape(height, width, -1)


@settings(max_examples=200, deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(sorted(FILTERS)), st.sampled_from([1, 3]), st.integers(0, 99))
def test_every_pixel_is_within_two_levels_of_pillows(
    height: int, width: int, h: int, w: int, interpolation: str, c: int, seed: int
) -> None:
    image = drawn(seed, height, width, c).reshape(height, width, c)
    ours = resize(image, h, w, interpolation)
    assert ours.shape == (h, w, c)
    assert ours.dtype == np.uint8
    apart = np.abs(ours.astype(int) - by_pillow(image, h, w, interpolation))
    assert apart.max() <= (2 if c == 3 and interpolation in {"bilinear", "bicubic"} else 0)


@settings(max_examples=150, deadline=None)
@given(st.data(), sides, sides, st.sampled_from(["bilinear", "bicubic", "lanczos"]), st.sampled_from([1, 3]))
def test_what_is_cut_out_is_part_of_the_whole(
    data: st.DataObject, height: int, width: int, interpolation: str, c: int
) -> None:
    whole = data.draw(sides), data.draw(sides)
    size = data.draw(st.integers(1, whole[0])), data.draw(st.integers(1, whole[1]))
    corner = data.draw(st.integers(0, whole[0] - size[0])), data.draw(st.integers(0, whole[1] - size[1]))
    image = drawn(1, height, width, c).reshape(height, width, c)
    cut = cut_out(image, whole, corner, size, interpolation)
    all_of_it = by_pillow(image, *whole, interpolation)
    part = all_of_it[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    assert cut.shape == part.shape
    assert np.abs(cut.astype(int) - part).max() <= 2


def test_the_image_itself_is_neither_changed_nor_need_it_be_writable() -> None:
    image = drawn(2)
    image.flags.writeable = False
    before = image.copy()
    resize(image, 20, 20, "bilinear")
    assert np.array_equal(image, before)


@pytest.mark.parametrize("interpolation", sorted(FILTERS))
def test_a_long_strip_takes_no_more_memory_than_what_is_cut_out(interpolation: str) -> None:
    strip = np.zeros((1, 20_000, 3), np.uint8)
    assert cut_out(strip, (256, 5_120_000), (0, 2_000_000), (224, 224), interpolation).shape == (224, 224, 3)
