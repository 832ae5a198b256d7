"""From a split of image files to the patches in them, and their picture."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.data.dataset import FileImages, Split
from striate.data.preprocess import Preprocess
from striate.errors import DatasetError, UsageError
from striate.look.excite.exciting import what_excites
from striate.look.excite.picture import draw_top, pages

SPOT = 12  # pixels, a side


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, list[tuple[int, int]]]:
    """Photographs of several sizes, dark, with one bright spot; and where it is."""
    folder, rng = tmp_path_factory.mktemp("spots"), np.random.default_rng(0)
    paths, places = [], []
    for i in range(8):
        height, width = int(rng.integers(70, 120)), int(rng.integers(70, 120))
        pixels = rng.integers(0, 20, (height, width, 3), dtype=np.uint8)
        top, left = (int(rng.integers(side // 2 - 18, side // 2 + 6)) for side in (height, width))
        pixels[top : top + SPOT, left : left + SPOT] = 140 + 10 * i
        paths.append(folder / f"{i}.png")
        places.append((top, left))
        Image.fromarray(pixels).save(paths[-1])
    labels = np.arange(8, dtype=np.int64) % 2
    return Split(FileImages(tuple(paths)), labels, tuple(path.name for path in paths)), places


def detector() -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 2, 5, padding=2, bias=False), nn.ReLU(inplace=True))
    with torch.no_grad():
        net[0].weight[0].fill_(1.0)
        net[0].weight[1].fill_(-1.0)
    return net


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch", "pad"])
def test_a_patch_is_framed_where_it_is_in_the_source_image(
    resize: Any, spots: tuple[Split, list[tuple[int, int]]]
) -> None:
    split, places = spots
    prepare = Preprocess(size=(64, 64), resize=resize, short_side=72 if resize == "crop" else None, mean=(0.0,) * 3)
    found = what_excites(detector(), split, prepare, ["0"], classes=["a", "b"], channels=[0], most=8, batch=3)
    told = json.loads(json.dumps(found.to_json()))
    (channel,) = told["steps"][0]["channels"]
    assert sorted(one["image"] for one in channel["top"]) == sorted(split.keys)
    assert [one["image"] for one in channel["top"][:2]] == ["7.png", "6.png"]  # the brightest spots
    for one in channel["top"]:
        top, left = places[split.keys.index(one["image"])]
        y, x = (one["in_image"][0] + one["in_image"][2]) / 2, (one["in_image"][1] + one["in_image"][3]) / 2
        assert top <= y <= top + SPOT
        assert left <= x <= left + SPOT
        assert one["class"] == "ab"[split.keys.index(one["image"]) % 2]


def test_workers_and_batches_make_no_difference(spots: tuple[Split, list[tuple[int, int]]]) -> None:
    split, _ = spots
    prepare = Preprocess(size=(48, 48), short_side=48, mean=(0.0,) * 3)
    a, b = (
        what_excites(detector(), split, prepare, ["0", "1"], classes=["a", "b"], most=3, batch=n, workers=w)
        for n, w in ((8, 0), (3, 2))
    )
    for one, other in zip(a.tops, b.tops, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.places, other.places)
        torch.testing.assert_close(one.values, other.values)
    negative = a.tops[1]
    assert negative.values[1].tolist() == [0.0] * 3  # never above zero: of equals the first
    assert negative.images[1].tolist() == [0, 1, 2]
    assert int(negative.ties[1]) == 8


def test_a_page_holds_so_many_rows_and_shows_itself(spots: tuple[Split, list[tuple[int, int]]]) -> None:
    split, _ = spots
    found = what_excites(detector(), split, Preprocess(size=(48, 48)), ["1"], classes=["a", "b"], most=3)
    (one,) = found.tops
    assert pages(one, 1) == [range(0, 1), range(1, 2)]
    assert pages(one) == [range(0, 2)]
    short, long = draw_top(found, one, rows=range(1)), draw_top(found, one, who="a network on a set")
    assert long.width == short.width
    assert long.height > short.height + 200
    assert np.asarray(short).std() > 10
    with Image.open(io.BytesIO(found._repr_png_()), formats=["PNG"]) as picture:
        assert picture.height < 2000


def test_a_file_that_is_gone_and_no_images(spots: tuple[Split, list[tuple[int, int]]], tmp_path: Path) -> None:
    split, _ = spots
    prepare = Preprocess(size=(48, 48))
    gone = Split(FileImages((*split.images.paths[:2], tmp_path / "x.png")), split.labels[:3], split.keys[:3])  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match=r"2\.png was readable"):
        what_excites(detector(), gone, prepare, ["1"], classes=["a", "b"])
    with pytest.raises(UsageError, match="no images"):
        what_excites(detector(), split.take([]), prepare, classes=["a", "b"])
