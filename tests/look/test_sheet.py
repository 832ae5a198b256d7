"""The contact sheet shows what enters the network, in its place."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.dataset import ArrayImages, Dataset, Split
from striate.data.preprocess import Preprocess
from striate.errors import EnvironmentFault
from striate.look.sheet import GAP, LABEL, PAPER, contact_sheet, seen_by_network, write
from tests.data.pictures import drawn


def made(n: int = 12, channels: int = 3) -> Dataset:
    pixels = np.stack([drawn(i, 40, 60, channels) for i in range(n)])
    split = Split(ArrayImages(pixels), np.arange(n) % 2, tuple(f"train/{i}" for i in range(n)))
    return Dataset("made", ("cats", "dogs"), {"train": split}, channels)


def cell(sheet: Image.Image, row: int, column: int, side: int, top: int) -> np.ndarray:
    x, y = LABEL + column * (side + GAP), top + row * (side + GAP)
    return np.asarray(sheet)[y : y + side, x : x + side]


def test_small_images_are_enlarged_pixel_by_pixel() -> None:
    image = drawn(1, 8, 8)
    sheet = contact_sheet([("a", [image])], side=32)
    assert np.array_equal(cell(sheet, 0, 0, 32, GAP), image.repeat(4, axis=0).repeat(4, axis=1))


def test_gray_and_odd_shapes_are_centred_on_paper() -> None:
    sheet = contact_sheet([("a", [np.zeros((8, 16, 1), np.uint8)])], side=32)
    shown = cell(sheet, 0, 0, 32, GAP)
    assert (shown[8:24] == 0).all()
    assert (shown[:8] == PAPER).all()
    assert (shown[24:] == PAPER).all()


def test_what_is_shown_is_what_preprocessing_makes_of_the_images_of_that_class() -> None:
    dataset = made()
    for order in ("rgb", "bgr"):
        preprocess = Preprocess(size=(16, 16), resize="letterbox", order=order)
        images = dataset.split("train").images
        wanted = {
            label: {
                preprocess.pixels(images.read(i)).transpose(1, 2, 0)[:, :, :: -1 if order == "bgr" else 1].tobytes()
                for i in range(label, 12, 2)
            }
            for label in (0, 1)
        }
        sheet = seen_by_network(dataset, preprocess, across=6)
        side = 112
        tops = sheet.height - GAP - 2 * (side + GAP)
        for row in (0, 1):
            shown = {cell(sheet, row, column, side, tops)[::7, ::7].tobytes() for column in range(6)}
            assert shown == wanted[row]


def test_the_same_images_are_chosen_every_time_and_others_with_another_seed() -> None:
    preprocess = Preprocess(size=(16, 16))
    one, two, other = (seen_by_network(made(60), preprocess, across=4, seed=seed) for seed in (0, 0, 1))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_long_names_many_classes_and_empty_ones_have_room() -> None:
    names = ("x" * 200, "ein Name mit vielen Wörtern und чужие буквы", "empty", *(f"class {i}" for i in range(60)))
    pixels = np.stack([drawn(i, 16, 16) for i in range(63)])
    labels = np.array([i if i != 2 else 0 for i in range(63)])
    dataset = Dataset("many", names, {"train": Split(ArrayImages(pixels), labels, tuple(map(str, range(63))))}, 3)
    sheet = seen_by_network(dataset, Preprocess(size=(16, 16)), most=10)
    assert sheet.height < 10 * 125 + 100
    assert sheet.width > LABEL


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    sheet = contact_sheet([("a", [drawn(1, 8, 8)])])
    write(sheet, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png", formats=["PNG"]) as again:
        assert again.tobytes() == sheet.tobytes()
    with pytest.raises(EnvironmentFault):
        write(sheet, tmp_path / "no such folder" / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
