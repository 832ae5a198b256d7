"""`striate look top`, `field`, `embedding`, `pairs`, `probes`: files, numbers, and errors that help."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory, digit_files: Path) -> Path:
    """A folder of digits in two classes that no network was asked about."""
    folder = tmp_path_factory.mktemp("strangers")
    for i, path in enumerate(sorted(digit_files.iterdir())):
        place = folder / ("even" if i % 2 == 0 else "odd")
        place.mkdir(exist_ok=True)
        shutil.copy(path, place / path.name)
    return folder


def pixels(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=["PNG"]) as picture:
        return picture.size


def test_what_excites_the_channels_of_two_layers(striate: Command, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "top.png"
    said = striate("look", "top", small_run, "--layer", "tanh1", "--layer", "tanh5", "-n", 3, "-o", out)
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {out} to top-5.png: what excites tanh1 (6 channels), tanh5 (120 channels) most")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "top-2.png",
        "top-3.png",
        "top-4.png",
        "top-5.png",
        "top.png",
    ]
    assert pixels(out)[1] > 6 * 200
    told = json.loads(striate("look", "top", small_run, "--layer", "tanh1", "--channel", 4, "-n", 2, "--json").out)
    assert (told["model"], told["data"], told["split"], told["images"]) == ("lenet5", "digits", "test", 360)
    (step,) = told["steps"]
    assert step["field"] == {"how": "in theory", "size": [5, 5], "stride": [1, 1]}
    (channel,) = step["channels"]
    assert channel["channel"] == 4
    assert [len(one["box"]) for one in channel["top"]] == [4, 4]
    assert channel["top"][0]["value"] >= channel["top"][1]["value"]
    assert channel["top"][0]["image"] != channel["top"][1]["image"]


def test_other_images_are_taken_as_a_whole_whatever_their_classes(
    striate: Command, small_run: Path, strangers: Path
) -> None:
    said = striate("look", "top", small_run, strangers, "--layer", "tanh3", "--channel", 0, "-n", 99, "--json")
    told = json.loads(said.out)
    assert told["images"] == 20
    assert {one["class"] for one in told["steps"][0]["channels"][0]["top"]} == {"even", "odd"}
    assert "all are taken as test" in said.err
    said = striate("look", "pairs", small_run, strangers, "--json")
    assert said.code == 4
    assert "does not know: 'even', 'odd'" in said.err


def test_receptive_fields(striate: Command, small_run: Path, digit_files: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "field.png", sorted(digit_files.iterdir())[:2]
    said = striate("look", "field", small_run, *images, "-o", out)
    assert said.out.startswith(f"Wrote {out}: tanh5 sees 32×32 px in theory, ")
    assert min(pixels(out)) > 300
    told = json.loads(striate("look", "field", small_run, *images, "--layer", "tanh3", "--json").out)
    (step,) = told["steps"]
    assert step["theoretical"]["size"] == [14, 14]
    assert 0 < step["effective"]["side"] <= 14
    assert step["images"] == 2


def test_a_map_as_a_picture_and_as_a_table(striate: Command, small_run: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "map.png", tmp_path / "map.csv"
    said = striate("look", "embedding", small_run, "-o", out, "--csv", table, "--split", "val")
    assert said.out == f"Wrote {out} and {table}: 149 images\n"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 149
    assert pixels(out)[0] > 1000
    told = json.loads(striate("look", "embedding", small_run, "--json", "--most", 40, "--seed", 2).out)
    assert (told["images"], told["of"], told["seed"], len(told["points"])) == (40, 360, 2, 40)


def test_pairs_agree_with_the_evaluation(striate: Command, small_run: Path, tmp_path: Path) -> None:
    card = json.loads(striate("evaluate", small_run, "--out", tmp_path / "card", "--images", 0, "--json").out)
    told = json.loads(striate("look", "pairs", small_run, "--json", "-n", 45, "-o", tmp_path / "pairs.png").out)
    assert told["right"] == card["accuracy"]["right"]
    assert sum(way["count"] for pair in told["pairs"] for way in pair) == told["images"] - told["right"]
    assert pixels(tmp_path / "pairs.png")[0] > 300


def test_probes(striate: Command, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "probes.png"
    said = striate("look", "probes", small_run, "--layer", "F6", "-o", out, "--json")
    told = json.loads(said.out)
    assert (told["trained_on"], told["images"], told["split"]) == (1288, 360, "test")
    assert [one["step"] for one in told["probes"]] == ["the image", "F6"]
    assert told["probes"][1]["accuracy"]["low"] > 0.8
    assert min(pixels(out)) > 300


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("top",), 2, "Add -o FILE.png"),
        (("top", "-o", "a.jpg"), 2, "the form '.jpg'; this one is a .png"),
        (("top", "-o", "a.png", "--layer", "tanh9"), 2, "has no step 'tanh9'; did you mean"),
        (("top", "-o", "a.png", "--layer", "tanh1", "--channel", "6"), 2, "no channel 6; it has 6, from 0 to 5"),
        (("top", "-o", "a.png", "-n", "0"), 2, "both must be at least 1"),
        (("top", "-o", "a.png", "--split", "tests"), 2, "no split is called 'tests'; they are train, val, test"),
        (("top", "-o", "a.png", "--weights", "imagenet"), 2, "is a run and has its own weights"),
        (("embedding", "-o", "a.png", "-m", "t-sne"), 2, "did you mean 'tsne'"),
        (("embedding", "-o", "a.png", "-m", "tsne", "--perplexity", "999"), 2, "perplexity = 999 for 360 images"),
        (("pairs", "-o", "a.png", "-n", "0"), 2, ""),
        (("probes", "-o", "a.png", "--split", "train"), 2, "tested on val or test, not on 'train'"),
        (("probes", "-o", "a.png", "--layer", "tanh"), 2, "has no step 'tanh'"),
    ],
)
def test_mistakes_are_told_with_what_was_expected(
    words: tuple[str, ...],
    code: int,
    expected: str,
    striate: Command,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = words
    said = striate("look", command, small_run, *options)
    assert said.code == code
    assert expected in said.err
    assert list(tmp_path.iterdir()) == []


def test_data_that_are_not_there(striate: Command, small_run: Path, tmp_path: Path) -> None:
    said = striate("look", "top", small_run, tmp_path / "nowhere", "-o", tmp_path / "a.png")
    assert said.code == 4
    assert "there is nothing of that name" in said.err
    said = striate("look", "top", "resnet18", "digits", "-o", tmp_path / "a.png")
    assert "--weights imagenet" in said.err
