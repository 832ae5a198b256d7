"""Pictures: SVG that any reader takes, PNG of the size that was said, nothing that could be run."""

import io
from xml.etree import ElementTree

from PIL import Image

from striate.look.draw import KINDS, Box, Circle, Curve, Line, Picture, Words, width_of

PICTURE = Picture(
    120,
    80,
    "a <label>",
    [
        Box(0, 0, 120, 80, "paper", 0),
        Box(10, 10, 40, 20, "conv", tip="<script>"),
        Circle(90, 20, 9, "point"),
        Line(((10, 40), (60, 40), (60, 60)), arrow=True),
        Curve(((10, 70), (30, 50), (60, 75), (100, 70)), "skip", arrow=True),
        Words(12, 24, "a < b & $x$", anchor="start"),
        Words(70, 60, "up", turned=True),
    ],
)


def test_svg_is_well_formed_and_escaped() -> None:
    root = ElementTree.fromstring(PICTURE.svg())
    assert root.get("viewBox") == "0 0 120 80"
    assert [one.text for one in root.iter() if one.tag.endswith("text")] == ["a < b & $x$", "up"]
    assert not [one for one in root.iter() if one.tag.endswith("script")]


def test_svg_has_colours_for_day_and_night() -> None:
    svg = PICTURE.svg()
    day, night = KINDS["conv"].fill
    assert day in svg
    assert night in svg.partition("prefers-color-scheme:dark")[2]


def test_png_has_the_size_and_the_colours_of_the_day() -> None:
    image = Image.open(io.BytesIO(PICTURE.png(2.0))).convert("RGB")
    assert image.size == (240, 160)
    wanted = tuple(int(KINDS["conv"].fill[0][i : i + 2], 16) for i in (1, 3, 5))
    assert max(abs(a - b) for a, b in zip(image.getpixel((60, 56)), wanted, strict=True)) <= 2


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert PICTURE.png() == PICTURE.png()


def test_words_are_measured() -> None:
    assert width_of("", 12) == 0
    assert width_of("mm", 12) == 2 * width_of("m", 12)
    assert width_of("wide", 24) == 2 * width_of("wide", 12)
    assert width_of("wide", 12, bold=True) > width_of("wide", 12)
