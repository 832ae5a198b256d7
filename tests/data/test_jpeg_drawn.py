"""JPEGs drawn at once are the pixels that Pillow draws; what is doubtful is left to Pillow."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data import decode as decoding
from striate.data.decode import decode
from striate.data.formats.jpeg_drawn import drawn_at_once
from striate.data.formats.sniff import read_skeleton
from striate.data.limits import Limits
from striate.errors import ImageError
from tests.data.pictures import Array, drawn, encoded


def at_once(data: bytes) -> Array | None:
    return drawn_at_once(read_skeleton(data, Limits()))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(1, 100), st.booleans(),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]), st.integers(0, 5), st.integers(0, 99),
)  # fmt: skip
def test_they_are_pillows_pixels(
    height: int, width: int, c: int, quality: int, progressive: bool, sampling: str, restart: int, seed: int
) -> None:
    options: dict[str, Any] = {"subsampling": sampling} if c == 3 else {}
    image = drawn(seed, height, width, c)
    picture = Image.fromarray(image if c == 3 else image[:, :, 0])
    data = encoded(picture, "JPEG", quality=quality, progressive=progressive, restart_marker_rows=restart, **options)
    found = at_once(data)
    theirs = np.asarray(Image.open(io.BytesIO(data))).reshape(height, width, c)
    if found is None:
        assert set(theirs[-1, -1].tolist()) <= {127, 128}
    else:
        assert np.array_equal(found, theirs)
    assert np.array_equal(decode(data, "it").pixels, theirs)


def test_a_jpeg_of_plain_rgb_is_not_taken_for_luma_and_chroma() -> None:
    data = encoded(drawn(3), "JPEG", quality=100, keep_rgb=True)
    found = at_once(data)
    assert found is not None
    assert np.abs(found.astype(int) - drawn(3)).max() < 12


@pytest.mark.parametrize("turn", range(1, 9))
def test_it_is_turned_upright_as_the_slow_way_turns_it(turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(drawn(5, 20, 31), "JPEG", exif=exif)
    quick = decode(data, "it").pixels
    monkeypatch.setattr(decoding, "drawn_at_once", lambda skeleton: None)
    assert np.array_equal(quick, decode(data, "it").pixels)
    assert quick.flags.c_contiguous


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans(), st.integers(0, 9))
def test_damaged_data_come_out_as_by_the_slow_way(data: st.DataObject, progressive: bool, seed: int) -> None:
    whole = encoded(drawn(seed, 40, 56), "JPEG", quality=80, progressive=progressive)
    cut = data.draw(st.integers(2, len(whole)))
    broken = bytearray(whole[:cut] + data.draw(st.sampled_from([b"", b"\xff\xd9"])))
    for place in data.draw(st.lists(st.integers(0, len(broken) - 1), max_size=3)):
        broken[place] = data.draw(st.integers(0, 255))
    answers = []
    for quick in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not quick:
                patch.setattr(decoding, "drawn_at_once", lambda skeleton: None)
            try:
                answers.append(decode(bytes(broken), "it").pixels)
            except ImageError:
                answers.append(None)
    if answers[0] is None or answers[1] is None:
        assert answers[0] is answers[1]
    else:
        assert np.array_equal(answers[0], answers[1])


def test_cmyk_and_a_gray_last_pixel_are_left_to_pillow() -> None:
    assert at_once(encoded(Image.new("CMYK", (8, 8), (1, 2, 3, 4)), "JPEG")) is None
    assert at_once(encoded(np.full((8, 8, 3), 128, np.uint8), "JPEG")) is None
