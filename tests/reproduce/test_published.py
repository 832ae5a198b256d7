"""Published networks on photographs: how they are chosen and prepared, and that the networks know what they see."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.errors import DatasetError
from striate.reproduce.experiment import Published
from striate.reproduce.published import measure, photographs, preparation
from striate.reproduce.reading import open_experiment

RECIPES = Path(__file__).parents[2] / "recipes"


def arm(prepare: str, size: int = 227) -> Published:
    return Published.model_validate({"model": "squeezenet1_0", "weights": "a.net", "size": size, "prepare": prepare})


@pytest.fixture
def material(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "imagenet_samples"
    (folder / "images").mkdir(parents=True)
    rows = ["path\twnid\tindex"]
    for i in range(10):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(folder / "images" / f"{i}.png")
        rows.append(f"images/{i}.png\tn{i}\t{100 - i}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_fewer_photographs_are_spread_evenly_and_keep_their_labels(material: Path) -> None:
    pictures, labels = photographs(material, 4)
    assert [int(pictures.read(i)[0, 0, 0]) for i in range(4)] == [0, 2, 5, 7]
    assert labels.tolist() == [100, 98, 95, 93]
    assert len(photographs(material)[1]) == 10


def test_what_is_missing_is_said(material: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="asks for 11 photographs; there are 10"):
        photographs(material, 11)
    with pytest.raises(DatasetError, match=r"a\.net: not there; --material names the folder"):
        measure(arm("caffe"), material, lambda what, done, of: None)
    (material / "data/imagenet_samples/labels.tsv").write_text("file\tindex\nx\t1\n")
    with pytest.raises(DatasetError, match=r"labels\.tsv: can't be read \(KeyError\)"):
        photographs(material)


def test_caffes_preparation_squashes_takes_the_middle_and_subtracts_the_mean_as_bgr() -> None:
    middle, preprocess = preparation(arm("caffe"))
    image = np.zeros((256, 512, 3), np.uint8)
    image[:, :29], image[:, -29:], image[:14] = 255, 255, 255  # what the middle leaves out: 29/512 and 14.5/256
    image[14:-14, 29:-29] = (10, 20, 30)
    x = preprocess([middle(image)])
    assert x.shape == (1, 3, 227, 227)
    for channel, value in enumerate((30 - 104, 20 - 117, 10 - 123)):
        assert x[0, channel, 5:-5, 5:-5].flatten().tolist() == pytest.approx([value] * 217**2, abs=1e-3)


def test_tensorflows_preparation_is_the_middle_seven_eighths_from_minus_one_to_one() -> None:
    middle, preprocess = preparation(arm("tensorflow", 224))
    image = np.full((256, 300, 3), 255, np.uint8)
    assert preprocess.kept(256, 300) == pytest.approx((38, 16, 262, 240), abs=0.51)
    assert preprocess([middle(image)]).unique().tolist() == [1.0]
    assert preprocess([middle(image * 0)]).unique().tolist() == [-1.0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), [("mobilenet_v1", 3), ("deep_compression", 0)])
def test_the_published_networks_know_the_photographs(shared: Path, name: str, number: int) -> None:
    one = open_experiment(RECIPES, name).arms[number].does
    assert isinstance(one, Published)
    found = measure(one, shared, lambda what, done, of: None, images=50)
    assert found.value > 25  # a guess is right on 0.1 %
    assert found.details["top5"] > 50
