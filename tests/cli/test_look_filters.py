"""`striate look filters` and `striate look patterns`: a sheet, numbers, notes, and errors that help."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command


def test_kernels_and_patterns_of_a_run_become_sheets(striate: Command, small_run: Path, tmp_path: Path) -> None:
    kernels, sheet = tmp_path / "kernels.png", tmp_path / "patterns.png"
    said = striate("look", "filters", small_run, "-o", kernels)
    assert (said.code, said.out) == (0, f"Wrote {kernels}: the kernels of C1, 6 × 1 × 5 × 5\n"), said.err
    said = striate("look", "patterns", small_run, "--layer", "tanh2", "-o", sheet, "--steps", "3")
    assert said.code == 0, said.err
    assert said.out.startswith(f"Wrote {sheet}: ")
    assert "patterns of 32 × 32 pixels; gradient ascent as in the lectures: 3 steps" in said.out
    for path in (kernels, sheet):
        with Image.open(path) as picture:
            assert picture.format == "PNG"


def test_numbers_alone(striate: Command, small_run: Path) -> None:
    told = json.loads(striate("look", "filters", small_run, "--json", "--layer", "C3").out)
    assert (told["model"], told["layer"], told["shape"][1:]) == ("lenet5", "C3", [6, 5, 5])
    words = ("look", "patterns", small_run, "--json", "--steps", "4", "--size", "28", "--seed", "3")
    told = json.loads(striate(*words, "--layer", "C1", "--unit", "2,9,9").out)
    assert (told["size"], told["seed"], told["patterns"][0]["of"]) == ([28, 28], 3, "C1 2,9,9")
    assert told["patterns"][0]["after"] > told["patterns"][0]["before"]
    told = json.loads(striate(*words, "--layer", "C1", "-c", "0,3-4", "-c", "1").out)
    assert [one["label"] for one in told["patterns"]] == ["0", "3", "4", "1"]
    words = words[:6]  # a class is read from the whole network, which takes its own size alone
    told = json.loads(striate(*words, "--class", "7", "--class", "1", "--method", "fourier").out)
    assert [one["of"] for one in told["patterns"]] == ["class 7", "class 1"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("filters",), 2, "Add -o FILE.png"),
        (("filters", "-o", "a.jpg"), 2, "the form '.jpg'; this one is a .png"),
        (("filters", "-o", "a.png", "--layer", "tanh1"), 2, "has no kernels; convolutions: C1, C3"),
        (("filters", "-o", "a.png", "--layer", "C9"), 2, "has no layer 'C9'"),
        (("filters", "-o", "a.png", "--contrast", "shard"), 2, "did you mean 'shared'"),
        (("patterns", "-o", "a.png"), 2, "which layer?"),
        (("patterns", "--layer", "C1"), 2, "Add -o FILE.png"),
        (("patterns", "-o", "a.png", "--layer", "C11"), 2, "no layer 'C11'; did you mean 'C1'"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--method", "forier"), 2, "did you mean 'fourier'"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--channel", "6"), 2, "has no channel 6; it has 6, 0 to 5"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--channel", "a-b"), 2, "as 3 or 3,8,9 or 0-15"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--unit", "1,2"), 2, "expected channel, row and column"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--unit", "1,99,2"), 2, "has no place 99,2; its maps are"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--unit", "1,2,2", "--channel", "1"), 2, "names its channel"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--class", "1"), 2, "without a layer, channel or unit"),
        (("patterns", "-o", "a.png", "--class", "ten"), 2, "no class is called 'ten'"),
        (("patterns", "-o", "a.png", "--class", "1", "--size", "50"), 2, ""),
        (("patterns", "-o", "a.png", "--layer", "C3", "--size", "4"), 2, ""),
        (("patterns", "-o", "a.png", "--layer", "C1", "--size", "99999"), 2, "a side can have 1 to 4096"),
        (("patterns", "-o", "a.png", "--layer", "C1", "--steps", "0"), 2, "steps is 0"),
    ],
)
def test_what_is_typed_wrong_is_answered_in_a_line(
    striate: Command, small_run: Path, words: tuple[str, ...], code: int, expected: str
) -> None:
    said = striate("look", words[0], small_run, *words[1:])
    assert said.code == code, said.err
    assert expected in said.err
    assert said.err.count("\n") == 1
