"""`striate look cam` and `striate look attribution`: a picture, numbers, warnings, and errors that help."""

import json
from pathlib import Path

import pytest
from PIL import Image

from striate.cli.look_cam import CAM, PIXELS
from striate.look.explain.methods import ATTRIBUTION, CLASS_ACTIVATION
from tests.cli.conftest import Command


def test_the_help_names_the_methods_that_there_are() -> None:
    assert set(CAM) == set(CLASS_ACTIVATION)
    assert set(PIXELS) == set(ATTRIBUTION)


def test_a_picture_and_one_line(striate: Command, small_run: Path, digit_files: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "cam.png", sorted(digit_files.iterdir())[:2]
    said = striate("look", "cam", small_run, *images, "-o", out)
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {out}: Grad-CAM, layer tanh4, about ")
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.height > picture.width / 2


def test_numbers_alone(striate: Command, small_run: Path, digit_files: Path) -> None:
    image = sorted(digit_files.iterdir())[0]
    said = striate("look", "cam", small_run, image, "--json", "--method", "layercam", "--class", "3", "--share", "0.4")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["model"], told["method"], told["layer"], told["grid"]) == ("lenet5", "LayerCAM", "tanh4", [5, 5])
    (one,) = told["images"]
    assert (one["file"], one["class"], one["size"]) == (str(image), "3", [32, 32])
    assert one["place"] is None or one["place"]["share_of_maximum"] == 0.4
    assert {"rank_correlation", "share", "down_to"} == told["randomised_weights"].keys()
    pixels = striate("look", "attribution", small_run, image, "--json", "--no-check")
    told = json.loads(pixels.out)
    assert told["method"] == "Integrated gradients"
    assert abs(told["images"][0]["completeness_error"]) < 0.1
    assert "areas" not in told


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("cam", "-m", "gradcan", "-o", "a.png"), 2, "did you mean 'gradcam'"),
        (("cam", "-m", "saliency", "-o", "a.png"), 2, "saliency is a method of `striate look attribution`"),
        (("attribution", "-m", "gradcam", "-o", "a.png"), 2, "gradcam is a method of `striate look cam`"),
        (("cam",), 2, "Add -o FILE.png"),
        (("cam", "-o", "a.jpg"), 2, "the form '.jpg'; this one is a .png"),
        (("cam", "-o", "a.png", "--layer", "tanh6x"), 2, "has no layer 'tanh6x'; did you mean 'tanh"),
        (("cam", "-o", "a.png", "--layer", "fc6"), 2, "has no layer 'fc6'"),
        (("cam", "-o", "a.png", "--class", "ten"), 2, "no class is called 'ten'"),
        (("cam", "-o", "a.png", "--share", "2"), 2, "share = 2.0; expected a part of the maximum"),
        (("cam", "-o", "a.png", "-m", "cam"), 2, "CAM has no weights to read"),
    ],
)
def test_mistakes_are_told_with_what_was_expected(
    words: tuple[str, ...],
    code: int,
    expected: str,
    striate: Command,
    small_run: Path,
    digit_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = words
    said = striate("look", command, small_run, sorted(digit_files.iterdir())[0], *options)
    assert said.code == code
    assert expected in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_layer_with_one_place_is_warned_of(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path
) -> None:
    image = sorted(digit_files.iterdir())[0]
    said = striate("look", "cam", small_run, image, "-o", tmp_path / "a.png", "--layer", "tanh5", "--no-check")
    assert "warning: layer tanh5 has one place only" in said.err


def test_a_model_without_weights_and_a_file_that_is_no_image(striate: Command, small_run: Path, tmp_path: Path) -> None:
    text = tmp_path / "note.png"
    text.write_text("no image")
    assert "--weights imagenet" in striate("look", "cam", "resnet18", text, "-o", tmp_path / "a.png").err
    said = striate("look", "cam", small_run, text, "-o", tmp_path / "a.png")
    assert said.code == 4
    assert "note.png" in said.err
    assert not (tmp_path / "a.png").exists()
