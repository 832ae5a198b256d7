"""`striate predict`."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command


def test_every_file_of_a_folder_gets_one_line_in_order(striate: Command, small_run: Path, digit_files: Path) -> None:
    said = striate("predict", small_run, digit_files)
    lines = said.out.splitlines()
    assert said.code == 0, said.err
    assert [Path(line.split("\t")[0]).name for line in lines] == sorted(p.name for p in digit_files.iterdir())
    right = sum(line.split("\t")[1].split()[0] == Path(line.split("\t")[0]).stem[-1] for line in lines)
    assert right >= 16  # four epochs are enough for most of them


def test_json_lines_and_csv_say_the_same_as_text(striate: Command, small_run: Path, digit_files: Path) -> None:
    asked = ("predict", small_run, digit_files, "--top", 3)
    rows = [json.loads(line) for line in striate(*asked, "--json").out.splitlines()]
    table = list(csv.DictReader(io.StringIO(striate(*asked, "--csv").out)))
    assert [row["file"] for row in rows] == [row["file"] for row in table]
    for row, line in zip(rows, table, strict=True):
        assert [one["class"] for one in row["top"]] == [line[f"class{i}"] for i in (1, 2, 3)]
        assert [one["probability"] for one in row["top"]] == [float(line[f"probability{i}"]) for i in (1, 2, 3)]
        assert row["top"] == sorted(row["top"], key=lambda one: -one["probability"])


def test_bad_files_are_named_at_the_end_and_good_ones_still_answered(
    striate: Command, small_run: Path, digit_files: Path, tmp_path: Path
) -> None:
    good = min(digit_files.iterdir())
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:-20])
    said = striate("predict", small_run, broken, good, tmp_path / "missing.png")
    assert said.code == 4
    assert said.out.count("\n") == 1
    assert str(good) in said.out
    assert "2 of 3" in said.err
    assert "broken.png" in said.err
    assert "missing.png" in said.err


def test_standard_input_may_be_an_image_or_a_list_of_paths(
    striate: Command, small_run: Path, digit_files: Path
) -> None:
    files = sorted(digit_files.iterdir())
    image = striate("predict", small_run, "-", stdin=files[0].read_bytes())
    assert image.code == 0, image.err
    assert image.out.split("\t")[1] == striate("predict", small_run, files[0]).out.split("\t")[1]
    listed = striate("predict", small_run, "-", stdin="\n".join(map(str, files[:3])).encode())
    assert listed.out.count("\n") == 3


def test_nothing_to_predict_is_said(striate: Command, small_run: Path, tmp_path: Path) -> None:
    said = striate("predict", small_run, tmp_path)
    assert said.code == 4
    assert "no image" in said.err


def test_a_folder_that_is_no_run_is_named(striate: Command, digit_files: Path) -> None:
    said = striate("predict", digit_files, digit_files)
    assert said.code == 4
    assert "not a run" in said.err


def test_json_and_csv_together_are_a_usage_error(striate: Command, small_run: Path, digit_files: Path) -> None:
    assert striate("predict", small_run, digit_files, "--json", "--csv").code == 2


def test_a_reader_that_stops_early_does_no_harm(small_run: Path, digit_files: Path) -> None:
    command = f"'{sys.executable}' -m striate predict '{small_run}' '{digit_files}' --batch 1 | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
