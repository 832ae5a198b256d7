"""What the network sees of an image: one rule, checked against doing it the slow and obvious way."""

import copy
import importlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.preprocess import Interpolation, Order, Preprocess, Resize
from striate.errors import ArtefactError, RecipeError

CONTINUOUS = ("bilinear", "bicubic", "lanczos")  # the others jump where a border of two pixels is hit exactly
RESIZES, INTERPOLATIONS, ORDERS = get_args(Resize), get_args(Interpolation), get_args(Order)
sides = st.integers(1, 40)


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Smooth shapes with some noise, so that a wrong place or a wrong filter shows."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(rows / (3 + c) + columns / (5 - c)) for c in range(channels)]
    return np.clip(np.stack(planes, axis=2) + rng.normal(0, 15, (height, width, channels)), 0, 255).astype(np.uint8)


def noise(n: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def rule(size: tuple[int, int] = (8, 8), order: str = "rgb", **more: Any) -> Preprocess:
    c = 1 if order == "gray" else 3
    return Preprocess(size=size, order=order, mean=(0.5,) * c, std=(0.25,) * c, **more)  # type: ignore[arg-type]


@st.composite
def rules(draw: st.DrawFn) -> Preprocess:
    size, order = (draw(sides), draw(sides)), draw(st.sampled_from(ORDERS))
    c = 1 if order == "gray" else 3
    share = st.integers(1, 9999).map(lambda v: v / 10_000)
    byte = st.integers(0, 255)
    return Preprocess(
        size=size,
        resize=draw(st.sampled_from(RESIZES)),
        short_side=draw(st.none() | st.integers(max(size), max(size) + 20)),
        interpolation=draw(st.sampled_from(INTERPOLATIONS)),
        order=order,
        mean=tuple(draw(share) for _ in range(c)),
        std=tuple(draw(share) for _ in range(c)),
        fill=draw(byte),
        background=(draw(byte), draw(byte), draw(byte)),
    )


# -- form --------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(rules(), sides, sides, st.sampled_from([1, 3]))
def test_every_image_comes_out_in_the_size_and_channels_that_were_asked_for(
    made: Preprocess, height: int, width: int, c: int
) -> None:
    out = made.pixels(picture(height, width, c))
    assert out.shape == (made.channels, *made.size)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    seen = made([picture(height, width, c), picture(width, height, 4 - c)])
    assert seen.shape == (2, made.channels, *made.size)
    assert seen.dtype == torch.float32


@settings(max_examples=150, deadline=None)
@given(rules(), sides, sides, st.sampled_from([1, 3]), st.booleans())
def test_many_images_at_once_are_what_they_are_one_by_one(
    made: Preprocess, height: int, width: int, c: int, fits: bool
) -> None:
    if fits:
        height, width = made.size
    images = noise(3, height, width, c)
    at_once = made.all_pixels(images)
    if at_once is not None:
        assert np.array_equal(at_once, np.stack([made.pixels(image) for image in images]))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("resize", RESIZES)
def test_images_of_the_right_size_take_the_short_way_and_keep_every_byte(order: str, resize: str) -> None:
    made = rule((9, 7), order, resize=resize)
    images = noise(4, 9, 7, made.channels)
    at_once = made.all_pixels(images)
    assert at_once is not None
    planes = images.transpose(0, 3, 1, 2)
    assert np.array_equal(at_once, planes[:, ::-1] if order == "bgr" else planes)


def test_what_has_to_be_computed_does_not_take_the_short_way() -> None:
    assert rule().all_pixels(noise(2, 9, 8, 3)) is None
    assert rule(order="gray").all_pixels(noise(2, 8, 8, 3)) is None
    assert rule(short_side=9).all_pixels(noise(2, 8, 8, 3)) is None


def test_an_image_is_not_changed_by_looking_at_it() -> None:
    for made in (rule(), rule(order="bgr", resize="pad"), rule((5, 7), "gray", resize="letterbox")):
        for image in (picture(8, 8, 3), picture(5, 7, 1)):
            before = image.copy()
            assert not np.shares_memory(made.pixels(image), image)
            assert np.array_equal(image, before)


@pytest.mark.parametrize("flip", [np.flipud, np.fliplr])
def test_an_image_that_is_a_view_of_another_is_read_as_it_is_seen(flip: Any) -> None:
    image = flip(picture(12, 10, 3))
    assert np.array_equal(rule((5, 5)).pixels(image), rule((5, 5)).pixels(image.copy()))


# -- geometry ----------------------------------------------------------------------------------------------------------


def nearest(image: np.ndarray, out: np.ndarray, sides: tuple[int, int], top: int, left: int) -> bool:
    """Whether each pixel of `out` is the one that its centre lies in, or on the border of."""
    c, h, w = out.shape
    found = np.zeros((c, h, w), bool)
    for down in (-1e-6, 1e-6):
        for right in (-1e-6, 1e-6):
            rows = (top + np.arange(h) + 0.5) * image.shape[0] / sides[0] + down
            columns = (left + np.arange(w) + 0.5) * image.shape[1] / sides[1] + right
            found |= out == image[rows.astype(int)][:, columns.astype(int)].transpose(2, 0, 1)
    return bool(found.all())


def scaled(image: np.ndarray, made: Preprocess) -> tuple[tuple[int, int], int, int]:
    """Height and width that a crop is cut out of, and the corner where it begins."""
    height, width = image.shape[:2]
    h, w = made.size
    if made.short_side:
        short = made.short_side
        if height <= width:
            sides = (short, max(w, short * width // height))
        else:
            sides = (max(h, short * height // width), short)
    else:
        sides = (h, max(w, h * width // height)) if h * width >= w * height else (max(h, w * height // width), w)
    return sides, round((sides[0] - h) / 2), round((sides[1] - w) / 2)


def whole_then_middle(image: np.ndarray, made: Preprocess) -> np.ndarray:
    """Resize all of it, without rounding, then cut out the middle: what `crop` says that it does."""
    (h, w), (sides, top, left) = made.size, scaled(image, made)
    resample = Image.Resampling[made.interpolation.upper()]
    bands = [
        Image.fromarray(image[:, :, c].astype(np.float32)).resize(sides[::-1], resample) for c in range(image.shape[2])
    ]
    big = np.stack([np.asarray(band) for band in bands])
    return big[:, top : top + h, left : left + w]


@settings(max_examples=300, deadline=None)
@given(st.data(), sides, sides, sides, sides, st.sampled_from([*CONTINUOUS, "nearest"]), st.sampled_from([1, 3]))
def test_a_crop_is_the_middle_of_the_whole_resized_image(
    data: st.DataObject, height: int, width: int, h: int, w: int, interpolation: str, c: int
) -> None:
    short = data.draw(st.none() | st.integers(max(h, w), max(h, w) + 20))
    made = rule((h, w), "gray" if c == 1 else "rgb", short_side=short, interpolation=interpolation)
    image = picture(height, width, c, seed=height)
    if interpolation == "nearest":
        assert nearest(image, made.pixels(image), *scaled(image, made))
        return
    # Pillow rounds (and clips) between rows and columns; a filter with negative weights enlarges what it lost
    image, most = (image, 1.01) if interpolation == "bilinear" else (image // 2 + 64, 1.5)
    assert np.abs(made.pixels(image) - whole_then_middle(image, made)).max() <= most


def test_a_crop_with_the_box_filter_is_the_mean_of_blocks() -> None:
    image = picture(60, 90, 3)
    out = rule((10, 10), short_side=20, interpolation="box").pixels(image)
    middle = image[15:45, 30:60].reshape(10, 3, 10, 3, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(out - middle).max() <= 1


def test_a_crop_enlarges_an_image_of_the_final_size_when_a_larger_short_side_is_asked_for() -> None:
    made, image = rule((20, 20), short_side=40), picture(20, 20, 3)
    assert not np.array_equal(made.pixels(image), image.transpose(2, 0, 1))
    middle = np.asarray(Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR))[10:30, 10:30]
    assert np.abs(made.pixels(image).astype(int) - middle.transpose(2, 0, 1)).max() <= 1


def test_a_crop_without_a_short_side_loses_as_little_as_can_be() -> None:
    image = picture(30, 60, 3)
    assert np.array_equal(rule((30, 60)).pixels(image), image.transpose(2, 0, 1))  # nothing
    half = np.asarray(Image.fromarray(image).resize((30, 15), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(rule((15, 30)).pixels(image), half)
    assert np.abs(rule((15, 15)).pixels(image).astype(int) - half[:, :, 8:23]).max() <= 1


@settings(max_examples=200, deadline=None)
@given(sides, sides, sides, sides, st.integers(1, 254))
def test_a_letterbox_shows_the_whole_image_as_large_as_it_fits_in_the_middle(
    height: int, width: int, h: int, w: int, fill: int
) -> None:
    image = np.full((height, width, 1), 255, np.uint8)
    out = rule((h, w), "gray", resize="letterbox", fill=fill).pixels(image)[0]
    assert set(np.unique(out)) <= {fill, 255}
    rows, columns = np.nonzero(out == 255)
    tall, wide = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    assert (out == 255).sum() == tall * wide  # one rectangle
    scale = min(h / height, w / width)
    assert abs(tall - height * scale) <= 0.5 or tall == 1
    assert abs(wide - width * scale) <= 0.5 or wide == 1
    assert tall == h or wide == w
    assert rows.min() == (h - tall) // 2
    assert columns.min() == (w - wide) // 2


@settings(max_examples=200, deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 255), st.sampled_from([1, 3]))
def test_padding_keeps_every_pixel_of_what_fits_and_letterboxes_what_does_not(
    height: int, width: int, h: int, w: int, fill: int, c: int
) -> None:
    order = "gray" if c == 1 else "rgb"
    image = picture(height, width, c)
    out = rule((h, w), order, resize="pad", fill=fill).pixels(image)
    if height > h or width > w:
        assert np.array_equal(out, rule((h, w), order, resize="letterbox", fill=fill).pixels(image))
        return
    top, left = (h - height) // 2, (w - width) // 2
    expected = np.full((c, h, w), fill, np.uint8)
    expected[:, top : top + height, left : left + width] = image.transpose(2, 0, 1)
    assert np.array_equal(out, expected)


@settings(max_examples=60, deadline=None)
@given(sides, sides, sides, sides)
def test_stretching_moves_each_edge_to_the_edge(height: int, width: int, h: int, w: int) -> None:
    image = picture(height, width, 3)
    out = rule((h, w), resize="stretch", interpolation="nearest").pixels(image)
    assert nearest(image, out, (h, w), 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RESIZES), sides, sides)
def test_an_image_of_one_colour_stays_of_one_colour(resize: str, height: int, width: int) -> None:
    image = np.broadcast_to(np.array([10, 200, 99], np.uint8), (height, width, 3))
    out = rule((17, 11), resize=resize, fill=255).pixels(image)
    colours = {tuple(v) for v in out.reshape(3, -1).T.tolist()}
    assert (10, 200, 99) in colours
    assert colours <= {(10, 200, 99), (255, 255, 255)}


@pytest.mark.parametrize("interpolation", ["box", "bilinear", "bicubic", "lanczos"])
def test_shrinking_does_not_skip_pixels(interpolation: str) -> None:
    """Fine stripes become an even gray; without antialiasing they would become black, white or broad stripes."""
    image = np.zeros((64, 64, 1), np.uint8)
    image[:, ::2] = 255
    for resize in ("crop", "stretch", "letterbox"):
        out = rule((8, 8), "gray", resize=resize, interpolation=interpolation).pixels(image)[0, :, 1:-1]
        assert np.abs(out.astype(int) - 127).max() <= 8


def test_a_box_is_cut_out_and_resized() -> None:
    image = picture(40, 60, 3)
    made = rule((10, 15))
    whole = made.cut(image, (0, 0, 40, 60))
    assert np.array_equal(whole, replace(made, resize="stretch").pixels(image))
    inner = made.cut(image, (10, 20, 10, 15))
    assert np.array_equal(inner, image[10:20, 20:35].transpose(2, 0, 1))
    gray = rule((10, 15), "gray").cut(image, (10, 20, 10, 15))
    expected = np.asarray(Image.fromarray(image[10:20, 20:35]).convert("L"))
    assert np.array_equal(gray[0], expected)


# -- channels and values -----------------------------------------------------------------------------------------------


def test_channels_are_in_the_order_that_was_asked_for() -> None:
    image = picture(8, 8, 3)
    rgb = rule().pixels(image)
    assert np.array_equal(rgb, image.transpose(2, 0, 1))
    assert np.array_equal(rule(order="bgr").pixels(image), rgb[::-1])
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(rule(order="gray").pixels(image)[0] - luma).max() <= 1
    gray = picture(8, 8, 1)
    assert np.array_equal(rule().pixels(gray), np.repeat(gray.transpose(2, 0, 1), 3, axis=0))


@settings(max_examples=50, deadline=None)
@given(rules())
def test_normalising_is_the_textbook_formula(made: Preprocess) -> None:
    pixels = noise(2, *made.size, made.channels).transpose(0, 3, 1, 2)
    mean, std = (np.array(v).reshape(1, -1, 1, 1) for v in (made.mean, made.std))
    expected = (pixels / 255.0 - mean) / std
    for given_as in (torch.from_numpy(pixels), torch.from_numpy(pixels).float()):
        found = made.normalise(given_as)
        assert found.dtype == torch.float32
        assert np.abs(found.numpy() - expected).max() < 4e-6 * (1 / np.array(made.std)).max()


# -- stored and told ---------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(rules())
def test_what_is_stored_is_read_back_as_the_same(made: Preprocess) -> None:
    assert Preprocess.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert Preprocess.from_json(made.to_json()) == made


WRONG: dict[str, list[Any]] = {
    "size": [[0, 8], [8], [8, 8, 8], 8, "88", [8.0, 8], ["8", "8"], [True, 8], [-1, 8], None, [1, 10**9], {"h": 8}],
    "resize": ["Crop", "squash", None, 3, ["crop"], {}],
    "short_side": [7, 8.5, "9", [9], True, 10**9],
    "interpolation": ["bilinar", "", None, 2],
    "order": ["RGB", "grey", None, 3],
    "mean": [[0.5], 0.5, "abc", [0.5, 0.5, "x"], [0.5, 0.5, None], [float("nan")] * 3, [float("inf")] * 3, []],
    "std": [[0.5, 0.5, 0.0], [0.5, 0.5, -1], [0.5, 0.5], ["a", "b", "c"], [float("nan")] * 3, [float("inf")] * 3],
    "fill": [-1, 256, 0.5, "0", None, [0]],
    "background": [[0, 0], [0, 0, 256], [0, 0, -1], 255, "white", None, [0.0, 0.0, 0.0]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_stored_value_that_can_not_be_is_refused_by_name(key: str, value: Any) -> None:
    good = json.loads(json.dumps(rule().to_json()))
    assert Preprocess.from_json(copy.deepcopy(good)) == rule()
    with pytest.raises(ArtefactError, match="preprocessing: ") as caught:
        Preprocess.from_json(good | {key: value})
    assert str(caught.value).count("preprocessing") == 1


@pytest.mark.parametrize("change", [{"size": None}, {"more": 1}, None, [], "crop", 3])
def test_missing_and_unknown_keys_are_refused(change: Any) -> None:
    good = rule().to_json()
    if isinstance(change, dict):
        for key, value in change.items():
            if value is None:
                del good[key]
            else:
                good[key] = value
    with pytest.raises(ArtefactError, match="expected the keys"):
        Preprocess.from_json(good if isinstance(change, dict) else change)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mean": (0.5,)}, "rgb has 3 channels, but mean has 1 values"),
        ({"std": (0.5, 0.5, 0.0)}, "std must be above zero"),
        ({"short_side": 7}, "short_side is 7; expected from 8"),
        ({"size": (0, 8)}, "size is"),
        ({"resize": "letterboxed"}, "did you mean 'letterbox'"),
        ({"fill": 300}, "fill is 300"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_what_was_expected(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Preprocess(**({"size": (8, 8)} | values))


@settings(max_examples=200, deadline=None)
@given(rules(), st.data())
def test_the_sentence_tells_any_two_rules_apart_that_give_different_pixels(
    made: Preprocess, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["size", "resize", "interpolation", "order", "mean", "std", "background"]))
    other = data.draw(rules().filter(lambda r: r.channels == made.channels))
    try:
        changed = replace(made, **{name: getattr(other, name)})
    except RecipeError:
        assume(False)
    assert (changed == made) == (changed.describe() == made.describe())
    if made.resize in ("letterbox", "pad"):
        assert str(made.fill) in made.describe()
    if made.resize == "crop" and made.short_side:
        assert f"short side to {made.short_side} px" in made.describe()


@pytest.mark.parametrize("resize", RESIZES)
def test_the_sentence_is_one_sentence_without_a_hole(resize: str) -> None:
    said = rule((8, 12), resize=resize).describe()
    assert "12x8 px" in said
    assert said.endswith(".")
    assert "None" not in said
    assert ".." not in said


# -- against another implementation ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchvision() -> Iterator[Any]:
    """torchvision beside the CPU build of torch: two operators of its compiled part are declared, not defined."""
    library = torch.library.Library("torchvision", "DEF")
    with suppress(RuntimeError):  # the right build is installed, or another test has been here
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    pytest.importorskip("torchvision.transforms.v2")
    yield importlib.import_module("torchvision")
    del library


@pytest.mark.oracle
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(50, 70), (70, 50), (33, 33), (20, 90), (224, 120)])
def test_torchvision_sees_the_same(torchvision: Any, height: int, width: int, interpolation: str) -> None:
    mode = torchvision.transforms.InterpolationMode(interpolation)
    functional = torchvision.transforms.v2.functional
    image = picture(height, width, 3)
    made = Preprocess(size=(24, 24), short_side=32, interpolation=interpolation)  # type: ignore[arg-type]
    planes = torch.from_numpy(image.transpose(2, 0, 1).copy()).float()
    resized = functional.resize(planes, [32], interpolation=mode, antialias=True).clamp(0, 255)
    seen = functional.center_crop(resized, [24, 24])
    assert (torch.from_numpy(made.pixels(image)).float() - seen).abs().max() <= 1.01
    expected = functional.normalize(seen / 255, list(made.mean), list(made.std))
    assert (made([image])[0] - expected).abs().max() <= 1.01 / 255 / 0.224
