"""The study of how general layers are: which trainings it consists of, that it goes on, and its curve."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from striate.cli.main import main
from striate.errors import DatasetError, UnknownName, UsageError
from striate.look.transferability import transfer_curve
from striate.models.registry import create_model
from striate.run.folder import Run, read_model
from striate.training.recipe import read
from striate.training.transfer.transferability import stages, transferability
from tests.training.runs import options

QUICK = {"epochs": 1, "batch": 8, "augment": "none"}


def test_it_trains_from_nothing_and_from_each_place_frozen_and_tuned(
    finished: Path, two_classes: Path, tmp_path: Path
) -> None:
    study = transferability(finished, str(two_classes), tmp_path / "s", places=["bn", "conv2"], seeds=2,
                            options=options(), settings=QUICK)  # fmt: skip
    assert [(p.place, p.way) for p in study.points] == [
        ("", "nothing"), ("bn", "frozen"), ("bn", "tuned"), ("conv2", "frozen"), ("conv2", "tuned"),
    ]  # fmt: skip
    assert (study.images, study.epochs, study.model) == (7, 1, "test_norm")
    before = read_model(finished / "model.safetensors")[0]
    for place, kept in (("bn", ("conv.", "bn.")), ("conv2", ("conv.", "bn.", "conv2."))):
        for seed in (0, 1):
            frozen = read_model(tmp_path / "s" / f"{place}-frozen-{seed}" / "model.safetensors")[0]
            assert {n for n in before if torch.equal(before[n], frozen[n])} == {n for n in before if n.startswith(kept)}
            tuned = read(tmp_path / "s" / f"{place}-tuned-{seed}" / "recipe.toml")
            assert (tuned.freeze, tuned.weights_to, tuned.seed, tuned.lr) == ("none", place, seed, 0.002)
    for point in study.points:
        assert len(point.accuracies) == 2
        for seed, accuracy in enumerate(point.accuracies):
            name = f"{point.place}-{point.way}-{seed}" if point.place else f"nothing-{seed}"
            last = (tmp_path / "s" / name / "results.csv").read_text().splitlines()[-1]
            assert repr(accuracy) in last
    written = json.loads((tmp_path / "s" / "transferability.json").read_text())
    assert written == json.loads(json.dumps(study.to_json()))


def test_from_nothing_takes_nothing_but_the_preprocessing(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    transferability(finished, str(two_classes), tmp_path / "s", places=["conv"], options=options(),
                    settings=QUICK | {"lr": 1e-9, "weight_decay": 0.0})  # fmt: skip
    torch.manual_seed(0)
    fresh = create_model("test_norm", num_classes=2, in_chans=1).state_dict()
    run = Run(tmp_path / "s" / "nothing-0")
    found = read_model(run.folder / "model.safetensors")[0]
    assert all(torch.allclose(found[n], t, atol=1e-6) for n, t in fresh.items() if "weight" in n)
    assert run.preprocess == Run(finished).preprocess


def test_it_goes_on_where_it_was(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    def study(*places: str) -> bytes:
        transferability(finished, str(two_classes), tmp_path / "s", places=places, options=options(), settings=QUICK)
        return (tmp_path / "s" / "transferability.json").read_bytes()

    study("bn")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*/model.safetensors")}
    both = study("bn", "conv2")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert study("bn", "conv2") == both


def test_by_default_it_cuts_behind_each_resolution(finished: Path, tmp_path: Path) -> None:
    assert stages(Run(finished)) == ["relu2"]


def test_what_the_study_decides_can_not_be_set(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"freeze can't be set here"):
        transferability(finished, str(two_classes), tmp_path / "s", settings={"freeze": "head"})
    with pytest.raises(UnknownName, match=r"layer = 'layer1'"):
        transferability(finished, str(two_classes), tmp_path / "s", places=["layer1"])
    train, undivided = str(two_classes / "train"), QUICK | {"val_share": 0.0}
    with pytest.raises(DatasetError, match="compares on a val split"):
        transferability(finished, train, tmp_path / "t", places=["bn"], options=options(), settings=undivided)


def test_the_command_draws_the_curve(
    finished: Path, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    words = [
        "transferability",
        finished,
        two_classes,
        "--layer",
        "bn",
        "--out",
        tmp_path / "s",
        "--quiet",
        "--threads",
        "1",
    ]
    with pytest.raises(SystemExit) as end:
        main([*map(str, words), *changes])
    assert not end.value.code
    said = capsys.readouterr().out
    assert "last step taken" in said
    assert "from nothing" in said
    with Image.open(tmp_path / "s" / "transferability.png") as picture:
        assert picture.size[0] > 500


def test_the_curve_shows_the_means_and_every_seed() -> None:
    figure = transfer_curve(["a", "b"], [0.5, 0.7], [[0.6, 0.8], [0.4]], [[0.9], [0.8, 0.6]], "m: r to d")
    (axes,) = figure.axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["from nothing"] == [0.6, 0.6]
    assert lines["first layers taken and frozen"] == pytest.approx([0.7, 0.4])
    assert lines["first layers taken, then trained further"] == pytest.approx([0.9, 0.7])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]
