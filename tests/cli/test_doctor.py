"""`striate doctor`."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.data.faults import FAULTS, clean


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = clean(tmp_path_factory.mktemp("doctor") / "set")
    for name in ("truncated", "copy_across_splits", "odd_name", "hidden", "thin"):
        FAULTS[name](root)
    return root


def test_findings_are_told_with_files_actions_and_remedies(striate: Command, spoilt: Path) -> None:
    said = striate("doctor", spoilt, "--size", 64)
    assert said.code == 0, said.err
    for words in ("train/apples/bad.jpg", "[leak]", "1 image is cut short", "You can: ", "left out", "error"):
        assert words in said.out
    assert "\x1b" not in said.out  # plain where there is no terminal, whatever a file is called


def test_what_is_in_order_is_said_to_be_so(striate: Command) -> None:
    said = striate("doctor", "digits", "--strict")
    assert said.code == 0, said.err
    assert "Nothing found." in said.out


def test_strict_refuses_errors_after_telling_them(striate: Command, spoilt: Path) -> None:
    said = striate("doctor", spoilt, "--strict")
    assert said.code == 4
    assert "cut short" in said.out
    assert "2 of the findings are errors" in said.err


def test_json_is_the_whole_diagnosis_and_nothing_else(striate: Command, spoilt: Path) -> None:
    told = json.loads(striate("doctor", spoilt, "--json").out)
    kinds = {finding["kind"] for finding in told["findings"]}
    assert {"cut-short", "leak", "odd-name", "hidden", "thin"} <= kinds
    assert told["images"] == {"train": 38, "val": 13}


def test_the_contact_sheet_is_a_picture(striate: Command, spoilt: Path, tmp_path: Path) -> None:
    said = striate("doctor", spoilt, "--sheet", tmp_path / "sheet.png", "--size", 48)
    assert said.code == 0, said.err
    with Image.open(tmp_path / "sheet.png", formats=["PNG"]) as picture:
        assert picture.width > 300


def test_what_is_not_there_ends_in_one_line(striate: Command, tmp_path: Path) -> None:
    said = striate("doctor", tmp_path / "nothing")
    assert said.code in (2, 4)
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
