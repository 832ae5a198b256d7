"""The curves of a run show the numbers of its results, and nothing when there are none."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from striate.errors import ArtefactError, EnvironmentFault
from striate.look.curves import CURVES, curves, draw_curves, read_results

HEADER = "epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy,best\n"
RESULTS = HEADER + "1,6,0.1,1.5,0.25,1.25,0.5,1\n2,12,0.05,1.0,0.5,1.5,0.375,0\n3,18,0.01,0.5,0.75,0.75,0.875,1\n"


@pytest.fixture(autouse=True)
def no_warning() -> None:
    warnings.simplefilter("error")


def run(folder: Path, text: str = RESULTS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "results.csv").write_text(text, encoding="utf-8")
    return folder


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): list(zip(*map(list, line.get_data()), strict=True)) for line in axes.get_lines()}


def test_results_are_read_as_numbers(tmp_path: Path) -> None:
    rows = read_results(run(tmp_path))
    assert rows[0] == {"epoch": 1, "step": 6, "lr": 0.1, "train_loss": 1.5, "train_accuracy": 0.25, "val_loss": 1.25,
                       "val_accuracy": 0.5, "best": 1}  # fmt: skip
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_each_panel_shows_its_numbers_and_the_epoch_that_was_chosen(tmp_path: Path) -> None:
    loss, accuracy = curves(read_results(run(tmp_path)), "a run").axes
    assert lines(loss) == {
        "train": [(1, 1.5), (2, 1.0), (3, 0.5)],
        "val": [(1, 1.25), (2, 1.5), (3, 0.75)],
        "chosen": [(3, 0.75)],
    }
    assert lines(accuracy) == {
        "train": [(1, 0.25), (2, 0.5), (3, 0.75)], "val": [(1, 0.5), (2, 0.375), (3, 0.875)], "chosen": [(3, 0.875)]
    }  # fmt: skip
    assert (loss.get_title("left"), accuracy.get_title("left")) == ("loss", "accuracy")
    assert loss.get_yscale() == "log"
    assert accuracy.yaxis.get_major_formatter()(0.875, 0) == "87.5 %"


def test_without_a_val_split_there_is_one_curve(tmp_path: Path) -> None:
    figure = curves(read_results(run(tmp_path, HEADER + "1,6,0.1,1.5,0.25,,,1\n2,12,0.1,1.0,0.5,,,1\n")), "a run")
    for axes in figure.axes:
        assert list(lines(axes)) == ["train"]


def test_a_single_epoch_is_a_point_that_can_be_seen(tmp_path: Path) -> None:
    figure = curves(read_results(run(tmp_path, HEADER + "1,6,0.1,1.5,0.25,1.25,0.5,1\n")), "a run")
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.get_lines())


def test_a_loss_of_zero_and_no_epoch_at_all_are_drawn_without_a_word(tmp_path: Path) -> None:
    for text in (HEADER, HEADER + "1,6,0.1,0.0,1.0,0.0,1.0,1\n2,12,0.1,0.0,1.0,0.0,1.0,0\n"):
        draw_curves(run(tmp_path, text))


@pytest.mark.parametrize("name", ["plain", "costs $5", "$\\frac$", "a_b^c", "50% {x}", "naïve"])
def test_a_picture_is_written_for_a_run_of_any_name(tmp_path: Path, name: str) -> None:
    path = draw_curves(run(tmp_path / name))
    assert path == tmp_path / name / CURVES
    picture = Image.open(io.BytesIO(path.read_bytes()), formats=("PNG",))
    assert picture.size[0] > 1000
    assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    first = draw_curves(run(tmp_path / "r")).read_bytes()
    assert draw_curves(run(tmp_path / "r")).read_bytes() == first
    assert b"matplotlib" not in first.lower()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'epoch'"),
        ("a,b\n1,2\n", "no column 'epoch'"),
        (RESULTS.replace("val_loss", "loss"), "no column 'val_loss'"),
        (RESULTS.replace("1.25", "much"), "could not convert"),
        (RESULTS.replace("1.25", "1.25,7,8"), "can't be read"),
    ],
)
def test_results_of_somebody_else_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ArtefactError, match=said) as caught:
        draw_curves(run(tmp_path, text))
    assert "results.csv" in str(caught.value)


def test_results_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="can't be read"):
        read_results(tmp_path)
    (tmp_path / "results.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtefactError, match="can't be read"):
        read_results(tmp_path)


def test_a_picture_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (run(tmp_path) / CURVES).mkdir()
    with pytest.raises(EnvironmentFault, match=CURVES):
        draw_curves(tmp_path)
