"""`striate look unit`: a table, JSON, a picture; and what is said where something is wrong."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command


def test_a_unit_of_a_run_is_shown_as_a_table_and_as_a_picture(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path
) -> None:
    image, out = sorted(digit_files.iterdir())[0], tmp_path / "unit.png"
    said = striate("look", "unit", small_run, image, "--layer", "C3", "--at", "5,4,3", "--terms", 3, "-o", out)
    assert said.code == 0
    assert "C3, Conv2d: unit 5,4,3 of 16×10×10" in said.out
    assert "and 147 more, which add up to" in said.out
    assert "Back from L, the logit of class" in said.out
    assert said.err == ""
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600


def test_json_has_every_term_and_nothing_else_is_printed(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path
) -> None:
    image = sorted(digit_files.iterdir())[0]
    said = striate("look", "unit", small_run, image, "--layer", "F6", "--json", "--class", "7", "--loss",
                   "-o", tmp_path / "unit.png")  # fmt: skip
    found = json.loads(said.out)
    assert len(found["terms"]) == 120
    assert found["back"]["of"] == "the cross-entropy with class 7 as the label"
    assert abs(found["difference"]) < 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "C33"), "no layer 'C33'; did you mean 'C3'?"),
        (("--layer", "C3", "--at", "5,4,10"), "column 10 is not in 0 to 9; the nearest unit is 5,4,9"),
        (("--layer", "C3", "--at", "5,x"), "expected whole numbers with commas"),
        (("--layer", "C3", "--terms", "some"), "expected a whole number from 1, or all"),
        (("--layer", "C3", "--class", "seven"), "no class is called 'seven'"),
        (("--layer", "C3", "-o", "unit.gif"), "this one is a .png"),
    ],
)
def test_what_is_wrong_is_said(
    striate: Command, small_run: Path, digit_files: Path, words: tuple[str, ...], message: str
) -> None:
    said = striate("look", "unit", small_run, sorted(digit_files.iterdir())[0], *words)
    assert said.code == 2
    assert message in said.err
    assert said.out == ""


def test_an_image_that_is_not_there_is_named(striate: Command, small_run: Path) -> None:
    said = striate("look", "unit", small_run, "nowhere.png", "--layer", "C3")
    assert said.code == 4
    assert "nowhere.png" in said.err


@pytest.mark.parametrize("layer", ["tanh1", "S2", "flatten", "output"])
def test_every_kind_of_picture_is_drawn(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path, layer: str
) -> None:
    out = tmp_path / "unit.png"
    said = striate("look", "unit", small_run, sorted(digit_files.iterdir())[0], "--layer", layer, "-o", out)
    assert (said.code, said.err) == (0, "")
    with Image.open(out) as picture:
        assert len(set(picture.convert("L").resize((100, 60)).get_flattened_data())) > 20
