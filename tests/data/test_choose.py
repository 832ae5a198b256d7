"""The preprocessing that is chosen where nobody has said anything: the rule, its reason, and exact numbers."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.choose import choose, statistics
from striate.data.dataset import ArrayImages, FileImages, Split
from striate.data.preprocess import Interpolation, Preprocess, Resize


def split_of(pixels: np.ndarray) -> Split:
    return Split(ArrayImages(pixels), np.zeros(len(pixels), np.int64), tuple(map(str, range(len(pixels)))))


def noise(n: int, height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def stretched(size: tuple[int, int], channels: int) -> Preprocess:
    order = "gray" if channels == 1 else "rgb"
    return Preprocess(size=size, resize="stretch", order=order, mean=(0.0,) * channels, std=(1.0,) * channels)


def chosen(sizes: list[tuple[int, int]], size: tuple[int, int]) -> str:
    images = split_of(noise(2, 8, 8, 3))
    return choose(images, np.array(sizes, dtype=np.int64), size=size, channels=3).preprocess.resize


# -- the rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "size", "resize"),
    [
        ([(32, 32)] * 5, (32, 32), "stretch"),  # nothing to do
        ([(28, 28)] * 5, (32, 32), "pad"),  # MNIST in LeNet-5, as the paper has it
        ([(26, 30)] * 5, (32, 32), "pad"),
        ([(25, 28)] * 5, (32, 32), "stretch"),  # too small to be padded
        ([(8, 8)] * 5, (32, 32), "stretch"),
        ([(33, 28)] * 5, (32, 32), "stretch"),  # padding would not hold it
        ([(100, 150)] * 5, (32, 32), "stretch"),  # all alike: no image is deformed against another
        ([(100, 100), (104, 100), (100, 105)], (32, 32), "stretch"),
        ([(100, 150), (150, 100), (100, 100)], (32, 32), "crop"),
        ([(100, 200), (200, 100), (100, 100)], (32, 32), "letterbox"),
        ([(100, 100)] * 95 + [(100, 300)] * 5, (32, 32), "stretch"),  # one in twenty does not decide
        ([(100, 100)] * 80 + [(100, 300)] * 20, (32, 32), "letterbox"),
        ([(100, 200), (102, 200)], (16, 32), "stretch"),  # the network's own shape
    ],
)
def test_the_shapes_decide(sizes: list[tuple[int, int]], size: tuple[int, int], resize: str) -> None:
    assert chosen(sizes, size) == resize
    assert chosen([pair[::-1] for pair in sizes], size[::-1]) == resize  # lying or standing


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=12), st.integers(1, 64))
def test_every_set_of_shapes_has_a_rule_and_a_reason(sizes: list[tuple[int, int]], side: int) -> None:
    found = choose(split_of(noise(2, 4, 4, 1)), np.array(sizes), size=(side, side), channels=1)
    assert found.preprocess.resize in get_args(Resize)
    assert found.preprocess.size == (side, side)
    assert len(found.why) > 10
    assert not found.why.endswith(".")  # it stands in the middle of a sentence
    if found.preprocess.resize == "pad":
        assert max(max(pair) for pair in sizes) <= side


@pytest.mark.parametrize("resize", get_args(Resize))
@pytest.mark.parametrize("interpolation", get_args(Interpolation))
def test_what_was_asked_for_is_not_overruled(resize: Resize, interpolation: Interpolation) -> None:
    images = split_of(noise(3, 20, 10, 3))
    sizes = np.array([(20, 10)] * 3)
    found = choose(images, sizes, size=(8, 8), channels=1, resize=resize, interpolation=interpolation)
    assert (found.preprocess.resize, found.preprocess.interpolation) == (resize, interpolation)
    assert found.preprocess.order == "gray"
    assert found.why == "as asked for"


def test_the_number_of_channels_decides_the_order() -> None:
    sizes = np.array([(8, 8)] * 2)
    for channels, order in ((1, "gray"), (3, "rgb")):
        found = choose(split_of(noise(2, 8, 8, 3)), sizes, size=(8, 8), channels=channels).preprocess
        assert found.order == order
        assert len(found.mean) == len(found.std) == channels


# -- mean and deviation ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 5))
def test_mean_and_deviation_are_those_of_all_pixels(n: int, channels: int, seed: int) -> None:
    pixels = noise(n, 6, 6, channels, seed)
    mean, std = statistics(split_of(pixels), stretched((6, 6), channels))
    flat = pixels.reshape(-1, channels) / 255
    assert np.abs(np.array(mean) - flat.mean(axis=0)).max() <= 5.1e-5
    assert np.abs(np.array(std) - flat.std(axis=0)).max() <= 5.1e-5
    assert all(round(v, 4) == v for v in (*mean, *std))


def test_they_are_taken_after_resizing_padding_included() -> None:
    pixels = np.full((2, 4, 4, 1), 255, np.uint8)
    padded = Preprocess(size=(8, 8), resize="pad", order="gray", mean=(0.0,), std=(1.0,))
    mean, std = statistics(split_of(pixels), padded)
    assert (mean, std) == ((0.25,), (round(float(np.sqrt(0.25 * 0.75)), 4),))


def test_a_normalised_training_set_has_mean_zero_and_deviation_one() -> None:
    pixels = noise(40, 8, 8, 3)
    made = choose(split_of(pixels), np.array([(8, 8)] * 40), size=(8, 8), channels=3).preprocess
    seen = made(list(pixels)).double()
    assert seen.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (seen.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_channel_of_one_value_is_not_divided_by_zero(value: int) -> None:
    pixels = noise(3, 6, 6, 3)
    pixels[..., 1] = value
    mean, std = statistics(split_of(pixels), stretched((6, 6), 3))
    assert std[1] == 1.0
    assert mean[1] == round(value / 255, 4)
    assert std[0] < 0.5


def test_the_order_of_the_images_and_where_they_are_stored_change_nothing(tmp_path: Path) -> None:
    pixels = noise(6, 9, 7, 3)
    paths = []
    for i, image in enumerate(pixels):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(paths[-1])
    files = Split(FileImages(tuple(paths)), np.zeros(6, np.int64), tuple(map(str, range(6))))
    for size in ((9, 7), (5, 5)):
        rule = stretched(size, 3)
        expected = statistics(split_of(pixels), rule)
        assert statistics(split_of(pixels[::-1]), rule) == expected
        assert statistics(files, rule) == expected
        assert statistics(files.take([5, 3, 1, 0, 2, 4]), rule) == expected


def test_of_many_files_some_are_looked_at_spread_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (4, 4), 51).save(tmp_path / "a.png")
    files = Split(FileImages((tmp_path / "a.png",) * 1000), np.zeros(1000, np.int64), tuple(map(str, range(1000))))
    seen: list[int] = []
    read = FileImages.read
    monkeypatch.setattr(FileImages, "read", lambda self, index: (seen.append(index), read(self, index))[1])
    assert statistics(files, stretched((4, 4), 1), most=30) == ((0.2,), (1.0,))
    assert 15 <= len(seen) <= 30
    assert len(set(np.diff(seen).tolist())) == 1
    assert seen[-1] > 900


def test_of_images_in_memory_all_are_looked_at() -> None:
    pixels = np.zeros((3000, 2, 2, 1), np.uint8)
    pixels[1::2] = 255
    assert statistics(split_of(pixels), stretched((2, 2), 1)) == ((0.5,), (0.5,))
    assert statistics(split_of(pixels), stretched((3, 3), 1)) == ((0.5,), (0.5,))
