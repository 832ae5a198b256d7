"""`striate look activations`."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command


def test_a_folder_of_sheets(striate: Command, small_run: Path, digit_files: Path, tmp_path: Path) -> None:
    image, out = sorted(digit_files.iterdir())[0], tmp_path / "sheets"
    said = striate("look", "activations", small_run, image, "-o", out)
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {out / 'index.html'} and ")
    assert "What can be read of the image: " in said.out
    assert (out / "001-C1.png").is_file()


def test_one_picture_and_numbers(striate: Command, small_run: Path, digit_files: Path, tmp_path: Path) -> None:
    images, out = sorted(digit_files.iterdir())[:2], tmp_path / "one.png"
    said = striate(
        "look", "activations", small_run, images[0], "-o", out, "-l", "tanh2", "-l", "F6", "--scale", "shared"
    )
    assert said.out == f"Wrote {out}: tanh2, F6\n"
    with Image.open(out, formats=["PNG"]) as picture:
        assert picture.width > 700
    told = json.loads(striate("look", "activations", small_run, *images, "--json").out)
    assert (told["model"], told["images"], told["files"]) == ("lenet5", 2, [str(image) for image in images])
    by_name = {layer["layer"]: layer for layer in told["layers"]}
    assert by_name["tanh2"]["shape"] == [6, 14, 14]
    assert 0 <= by_name["tanh2"]["saturated"] <= 1
    assert len(by_name["tanh2"]["channel_sparsity"]) == 6


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Add -o FOLDER, or -o FILE.png"),
        (("-o", "a.jpg"), "would be a file of the form '.jpg'; expected a folder, or a .png"),
        (("-o", "out", "--layer", "tanh9"), "has no layer 'tanh9'; did you mean 'tanh"),
        (("-o", "out", "--scale", "chanel"), "did you mean 'channel'"),
        (("-o", "out", "--layer", "tanh2", "--all-layers"), "exclude each other"),
        (("-o", "a.png", "--all-layers"), "name a folder"),
    ],
)
def test_mistakes_are_told_with_what_was_expected(
    words: tuple[str, ...], expected: str, striate: Command, small_run: Path, digit_files: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = striate("look", "activations", small_run, sorted(digit_files.iterdir())[0], *words)
    assert said.code == 2
    assert expected in said.err
    assert list(tmp_path.iterdir()) == []
