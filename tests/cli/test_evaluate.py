"""`striate evaluate`."""

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_the_result_is_a_sentence_and_three_files(striate: Command, small_run: Path, tmp_path: Path) -> None:
    said = striate("evaluate", small_run, "--out", tmp_path / "card")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("Right on ")
    assert lines[-1] == f"The card is in {tmp_path / 'card' / 'card.html'}"
    assert {path.name for path in (tmp_path / "card").iterdir()} >= {"predictions.csv", "card.json", "card.html"}


def test_json_is_the_card(striate: Command, small_run: Path, tmp_path: Path) -> None:
    said = striate("evaluate", small_run, "--out", tmp_path, "--json", "--images", 2, "--compare", small_run)
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads((tmp_path / "card.json").read_text())
    assert json.loads(said.out)["compared"][0]["difference"]["value"] == 0


def test_cautions_are_said_before_anything_is_opened(striate: Command, small_run: Path, tmp_path: Path) -> None:
    said = striate("evaluate", small_run, "--split", "val", "--out", tmp_path)
    assert said.code == 0, said.err
    assert said.out.splitlines()[1].startswith("  ! The weights were chosen on these images")


def test_mistakes_of_the_user_end_in_a_sentence_and_the_right_code(
    striate: Command, small_run: Path, tmp_path: Path
) -> None:
    assert striate("evaluate", tmp_path).code == 4
    wrong = striate("evaluate", small_run, "--split", "tset")
    assert wrong.code == 2
    assert "no split is called 'tset'" in wrong.err
    assert striate("evaluate", small_run, "nowhere-data").code == 2
