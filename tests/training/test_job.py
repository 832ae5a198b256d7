"""A training run: what it leaves behind, what it is told by, and what decides between its epochs."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from striate import durable
from striate.errors import (
    MissingExtra,
    RecipeError,
    UsageError,
)
from striate.models.registry import create_model
from striate.run.classifier import load
from striate.run.folder import MODEL, read_about, read_json
from striate.training.checkpoint import FOLDER, Progress
from striate.training.job import train
from striate.training.loop import Trainer, predicted
from striate.training.recipe import read
from striate.training.records import COLUMNS
from tests.training.runs import FILES, SMALL, STEPS, Listener, chain, files, go, options, rows

# -- what a run is -----------------------------------------------------------------------------------------------------


def test_a_run_holds_what_the_house_says_and_nothing_else(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    assert [path.name for path in sorted((finished / FOLDER).iterdir())] == ["step-00000012.safetensors"]


def test_its_recipe_has_no_open_questions_and_can_be_trained_again(finished: Path, tmp_path: Path) -> None:
    recipe = read(finished / "recipe.toml")
    for key, value in recipe.model_dump().items():
        assert value != "auto", key
    assert (recipe.size, recipe.channels, recipe.loss) == (12, "gray", "cross_entropy")
    train(out=tmp_path / "again", options=options(), **recipe.model_dump())
    assert files(tmp_path / "again") == files(finished)


def test_its_config_tells_model_classes_data_and_machine(finished: Path) -> None:
    config = read_json(finished / "config.json")
    assert config["classes"] == ["ant", "bee", "cat"]
    assert config["model"]["name"] == "test_norm"
    assert config["data"]["name"] == "bands"
    assert config["data"]["counts"]["train"] == {"ant": 9, "bee": 8, "cat": 8}
    assert config["data"]["counts"]["val"] == {"ant": 3, "bee": 2, "cat": 2}
    assert config["data"]["quarantined"] == []
    assert config["machine"]["threads"] == 1
    assert config["machine"]["torch"] == torch.__version__


def test_its_results_are_one_row_an_epoch_with_exact_numbers(finished: Path, images: Path, tmp_path: Path) -> None:
    found = rows(finished)
    assert tuple(found[0]) == COLUMNS
    assert [(row["epoch"], row["step"]) for row in found] == [("1", "6"), ("2", "12")]
    trained = go(images, tmp_path / "again")
    for row, told in zip(found, trained.rows, strict=True):
        assert {key: float(value) for key, value in row.items()} == told
    assert len((finished / "timing.jsonl").read_text().splitlines()) == 2
    timing = json.loads((finished / "timing.jsonl").read_text().splitlines()[0])
    assert timing["images"] == 25
    assert 0 <= timing["data_wait"] <= 1


def test_the_kept_weights_are_those_of_the_best_epoch_and_give_the_accuracy_that_is_stated(
    finished: Path, images: Path
) -> None:
    best = max(
        rows(finished), key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"]), -int(row["epoch"]))
    )
    about = read_about(finished / MODEL)
    assert about["epoch"] == int(best["epoch"])
    assert [row["epoch"] for row in rows(finished) if row["best"] == "1"][-1] == best["epoch"]
    classifier = load(finished)
    paths = sorted((images / "val").glob("*/*.png"))
    said = classifier.predict(paths)
    right = [answer.label == path.parent.name for answer, path in zip(said, paths, strict=True)]
    assert np.mean(right) == pytest.approx(float(best["val_accuracy"]))
    truth = [
        dict(zip(classifier.classes, a.probabilities, strict=True))[p.parent.name]
        for a, p in zip(said, paths, strict=True)
    ]
    assert -np.log(truth).mean() == pytest.approx(float(best["val_loss"]), rel=1e-5)


def test_it_learns(images: Path, tmp_path: Path) -> None:
    trained = go(images, tmp_path / "r", epochs=15, augment="none")
    assert trained.best["val_accuracy"] == 1.0
    assert trained.rows[-1]["train_loss"] < 0.5 < trained.rows[0]["train_loss"]


def test_the_same_settings_give_the_same_bytes_and_another_seed_gives_others(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    go(images, tmp_path / "same")
    assert files(tmp_path / "same") == files(finished)
    go(images, tmp_path / "other", seed=1)
    assert files(tmp_path / "other")["results.csv"] != files(finished)["results.csv"]


def test_whoever_listens_is_told_the_plan_then_every_step_and_epoch(images: Path, tmp_path: Path) -> None:
    listener = Listener()
    trained = go(images, tmp_path / "r", listener=listener)
    assert listener.told == ["plan", *(["step"] * STEPS + ["epoch"]) * 2]
    assert [(s.epoch, s.batch) for s in listener.steps] == [(e, b) for e in (1, 2) for b in range(1, STEPS + 1)]
    assert {(s.epochs, s.batches) for s in listener.steps} == {(2, STEPS)}
    assert tuple(listener.rows) == trained.rows
    for row, last in zip(trained.rows, (listener.steps[STEPS - 1], listener.steps[-1]), strict=True):
        assert (row["train_loss"], row["train_accuracy"], row["lr"]) == (last.loss, last.accuracy, last.lr)
    assert ("reading images", 32, 32) in listener.prepared
    assert listener.warnings == []


def test_the_plan_tells_what_is_going_to_happen(images: Path, tmp_path: Path) -> None:
    listener = Listener()
    go(images, tmp_path / "r", listener=listener)
    (plan,) = listener.plans
    assert plan.images == {"train": 25, "val": 7}
    assert plan.per_class == (9, 8, 8)
    assert (plan.steps, plan.epochs, plan.batch) == (2 * STEPS, 2, 4)
    assert plan.parameters == sum(p.numel() for p in create_model("test_norm", num_classes=3, in_chans=1).parameters())
    assert plan.memory_bytes > 0
    assert plan.seconds > 0
    assert set(plan.files) <= FILES | {"last/"}
    assert "12x12" in plan.preprocess


def test_what_may_be_wrong_is_told_while_it_trains(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first loss that is far off, and layers that are dead after the first and after the last epoch."""
    update = Trainer._update

    def planted(self: Trainer, group: Any, lr: float) -> None:
        if self.progress.step == 0:
            with torch.no_grad():
                self.module.get_parameter("fc.weight").mul_(1e4)
                self.module.get_parameter("bn.bias")[1:] = -1e6
        update(self, group, lr)

    monkeypatch.setattr(Trainer, "_update", planted)
    listener = Listener()
    go(images, tmp_path / "r", listener=listener, lr=1e-9, epochs=3)
    first, *dead = listener.warnings
    assert "the first loss is" in first
    assert "1.1" in first  # ln 3
    assert len(dead) == 2
    assert all("relu (3 of 4)" in said for said in dead)


def test_epochs_go_to_tensorboard_where_it_is_installed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "r" / "tensorboard")

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

        def close(self) -> None:
            written.append(("closed", 0, 0))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    trained = go(images, tmp_path / "r", tensorboard=True)
    names = ["lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy"]
    assert [(name, epoch) for name, _, epoch in written] == [(n, e) for e in (1, 2) for n in names] + [("closed", 0)]
    assert written[1][1] == trained.rows[0]["train_loss"]


def test_tensorboard_that_is_not_installed_is_told_before_an_image_is_read(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    listener = Listener()
    with pytest.raises(MissingExtra, match=r"striate\[tensorboard\]"):
        go(images, tmp_path / "r", tensorboard=True, listener=listener)
    assert listener.prepared == []
    assert not (tmp_path / "r").exists()


# -- what decides between epochs ---------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=25), st.integers(1, 4))
def test_a_plateau_is_torchs_own(losses: list[int], patience: int) -> None:
    mine = SimpleNamespace(progress=Progress(), recipe=SimpleNamespace(schedule="plateau", patience=patience))
    rule = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = ReduceLROnPlateau(rule, factor=0.1, patience=patience, threshold=0, eps=0)
    for loss in losses:
        Trainer._plateau(mine, float(loss))  # type: ignore[arg-type]
        theirs.step(float(loss))
        assert mine.progress.factor == pytest.approx(rule.param_groups[0]["lr"], rel=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_came_first(
    measured: list[tuple[int, int]],
) -> None:
    mine = SimpleNamespace(progress=Progress())
    for epoch, (accuracy, loss) in enumerate(measured):
        row = {"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss}
        if Trainer._is_better(mine, row):  # type: ignore[arg-type]
            mine.progress.best = row
    expected = min(range(len(measured)), key=lambda e: (-measured[e][0], measured[e][1], e))
    assert mine.progress.best is not None
    assert mine.progress.best["epoch"] == expected


def test_training_stops_when_it_gets_no_better(images: Path, tmp_path: Path) -> None:
    listener = Listener()
    trained = go(images, tmp_path / "r", epochs=20, stop_after=3, lr=1e-9, augment="none", listener=listener)
    best = trained.best["epoch"]
    assert len(trained.rows) == best + 3 < 20
    assert any("3 epochs without a better val accuracy" in said for said in listener.notes)


def test_without_a_val_split_the_last_epoch_is_kept_and_early_stopping_is_said_to_do_nothing(
    images: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(images / "train", data / "train")
    listener = Listener()
    trained = go(data, tmp_path / "r", val_share=0.0, stop_after=1, listener=listener)
    assert trained.best == {"epoch": 2, "val_loss": None, "val_accuracy": None}
    assert "no val split" in read_about(tmp_path / "r" / MODEL)["rule"]
    assert rows(tmp_path / "r")[0]["val_loss"] == ""
    assert any("stop_after does nothing" in said for said in listener.warnings)
    chain(data, tmp_path / "parts", iter([3, 3]), val_share=0.0, stop_after=1)
    assert files(tmp_path / "parts") == files(tmp_path / "r")


def test_one_logit_above_zero_is_the_second_class() -> None:
    assert predicted(torch.tensor([[-1.0], [0.0], [2.0]])).tolist() == [0, 0, 1]
    assert predicted(torch.tensor([[1.0, 3.0, 2.0]])).tolist() == [1]


# -- names -------------------------------------------------------------------------------------------------------------


def test_runs_without_a_name_get_one_each(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = SMALL | {"epochs": 1}
    found = [train(images, options=options(), **one).folder.as_posix() for _ in range(2)]
    with durable.claim(Path("runs/bands-test_norm-3")):
        found.append(train(images, options=options(), **one).folder.as_posix())
    assert found == ["runs/bands-test_norm", "runs/bands-test_norm-2", "runs/bands-test_norm-4"]
    with pytest.raises(RecipeError):
        train(images, options=options(), **(one | {"class_weights": [1.0]}))
    assert sorted(path.name for path in Path("runs").iterdir()) == sorted(Path(name).name for name in found)


def test_what_must_be_given_is_asked_for() -> None:
    with pytest.raises(RecipeError, match="model and data must be given"):
        train()
    with pytest.raises(UsageError, match="out="):
        train("digits", resume=True)
