"""The sheet shows what training will see, and its picture says what is on it."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate import durable
from striate.data.augment import Augment
from striate.data.dataset import ArrayImages, Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.errors import EnvironmentFault, UsageError
from striate.look.augment import augment_sheet, draw_augment_sheet, plain_preprocess
from striate.look.png import figure_png

CLASSES = ("cats", "dogs", "newts")


def split(channels: int = 3, n: int = 12) -> Split:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 6 + [1] * 4 + [2] * 2)[:n]
    pixels = rng.integers(0, 256, (n, 20, 30, channels), dtype=np.uint8)
    return Split(ArrayImages(pixels), labels, tuple(f"image {i}" for i in range(n)))


def test_rows_are_of_all_classes_in_turn() -> None:
    sheet = augment_sheet(split(), CLASSES, Augment(), Preprocess(size=(16, 16)), images=7, epochs=2)
    assert sheet.labels == ("cats", "dogs", "newts", "cats", "dogs", "newts", "cats")
    assert sheet.keys == ("image 0", "image 6", "image 10", "image 1", "image 7", "image 11", "image 2")
    assert sheet.originals.shape == (7, 16, 16, 3)
    assert sheet.variants.shape == (7, 2, 16, 16, 3)
    np.testing.assert_array_equal(sheet.variants[:, 1], sheet.originals)


@pytest.mark.parametrize("spec", ["rotation:40 zoom:0.2 hflip", "resized_crop hflip colour:0.3", "erasing:1"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_variants_are_what_the_loader_gives_the_network_in_that_epoch(spec: str, order: str) -> None:
    data, augment = split(), Augment.parse(spec)
    preprocess = Preprocess(size=(16, 20), order=order, mean=(0.0,) * 3, std=(1 / 255,) * 3)  # type: ignore[arg-type]
    sheet = augment_sheet(data, CLASSES, augment, preprocess, images=12, epochs=2, seed=9)
    loader = Loader(data, preprocess, classes=3, batch=5, seed=9, augment=augment, workers=0)
    for epoch in range(2):
        seen = torch.cat([batch.images for batch in loader.epoch(epoch)]).round().to(torch.uint8).numpy()
        network = {image[:: -1 if order == "bgr" else 1].transpose(1, 2, 0).tobytes() for image in seen}
        assert {np.ascontiguousarray(variant).tobytes() for variant in sheet.variants[:, epoch]} == network


def test_mixed_labels_are_written_below_and_sum_to_one() -> None:
    sheet = augment_sheet(split(), CLASSES, Augment.parse("mixup:1"), Preprocess(size=(16, 16)), images=3, epochs=4)
    assert sheet.shares is not None
    assert sheet.shares.shape == (3, 4, 3)
    np.testing.assert_allclose(sheet.shares.sum(-1), 1, atol=1e-6)
    written = [axes.get_xlabel() for axes in draw_augment_sheet(sheet).axes]
    assert len(written) == 3 * 5
    top = sheet.shares[0, 0]
    assert f"cats: {top[0]:.0%}" in written[1]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_is_labelled_and_none_of_it_lies_outside(channels: int) -> None:
    spec = "rotation:40 shift:0.2 shear:0.2 zoom:0.2 crop:2 hflip vflip fill:reflect colour:0.2 cutout:4 erasing:0.3"
    data = split(channels)
    sheet = augment_sheet(data, CLASSES, Augment.parse(spec), plain_preprocess(data, channels), images=2, epochs=3)
    assert sheet.variants.shape == (2, 3, 20, 30, channels)
    figure = draw_augment_sheet(sheet)
    assert [axes.get_title() for axes in figure.axes[:4]] == ["original", "epoch 1", "epoch 2", "epoch 3"]
    assert figure.axes[0].get_ylabel() == "cats"
    assert "".join(figure.texts[0].get_text().split()) == "".join(spec.split())
    figure.savefig(io.BytesIO())  # lays everything out
    frame = figure.bbox
    for text in (*figure.texts, *(label for axes in figure.axes for label in (axes.title, axes.yaxis.label))):
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text.get_text()
        assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text.get_text()
    # the words above do not run into the headings of the columns
    assert figure.texts[1].get_window_extent().y0 > figure.axes[0].title.get_window_extent().y1


def test_values_that_rescaling_drives_out_of_range_are_cut_off() -> None:
    sheet = augment_sheet(split(), CLASSES, Augment.parse("rescale:2"), Preprocess(size=(20, 30)), images=2, epochs=1)
    np.testing.assert_array_equal(sheet.variants[:, 0], np.minimum(sheet.originals.astype(int) * 2, 255))


def test_nothing_to_show_is_said() -> None:
    for images, data in ((0, split()), (2, split(n=0))):
        with pytest.raises(UsageError, match="nothing to show"):
            augment_sheet(data, CLASSES, Augment(), Preprocess(size=(16, 16)), images=images)


def test_a_picture_that_cannot_be_written_names_its_path(tmp_path: Path) -> None:
    figure = draw_augment_sheet(augment_sheet(split(), CLASSES, Augment(), Preprocess(size=(8, 8)), images=1, epochs=1))
    with pytest.raises(EnvironmentFault, match="not there"):
        durable.write_bytes(tmp_path / "not there" / "a.png", figure_png(figure))
    durable.write_bytes(tmp_path / "a.png", figure_png(figure))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
