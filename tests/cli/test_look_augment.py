"""`striate look augment`: one picture, one line."""

from pathlib import Path

import typer
from PIL import Image
from typer.testing import CliRunner

from striate.cli.look_augment import look_augment
from striate.errors import RecipeError, StriateError

app = typer.Typer()
app.command()(look_augment)


def test_a_picture_of_the_digits_is_written_and_described(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    done = CliRunner().invoke(
        app, ["digits", "rotation:15 shift:0.1", "-o", str(out), "--images", "2", "--epochs", "3"]
    )
    assert done.exit_code == 0
    assert done.output.startswith(f"{out}: Each image")
    assert "15°" in done.output
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_a_wrong_spec_is_refused_before_the_data_are_opened(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path / "nowhere"), "rotatoin:15"])
    assert isinstance(done.exception, RecipeError)
    assert "'rotation'" in str(done.exception)


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path / "nowhere"), "hflip"])
    assert isinstance(done.exception, StriateError)
    assert "nowhere" in str(done.exception)
