"""A training run: what it leaves behind, what it is refused for, and which images it was trained on."""

import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from striate import durable
from striate.errors import (
    ArtefactError,
    Busy,
    DatasetError,
    EnvironmentFault,
    Interrupted,
    MissingExtra,
    RecipeError,
    ShapeError,
    StriateError,
    UnknownName,
    UsageError,
)
from striate.evaluation.job import evaluate
from striate.models.registry import create_model
from striate.run.classifier import load
from striate.run.folder import MODEL, read_about, read_json, read_model, write_model
from striate.run.packed import pack, unpack
from striate.training import checkpoint
from striate.training.checkpoint import FOLDER, Progress
from striate.training.job import train
from striate.training.loop import Trainer, predicted
from striate.training.recipe import read
from striate.training.records import COLUMNS
from striate.training.report import Report, Timing
from tests.training.runs import FILES, SMALL, STEPS, Listener, chain, files, go, half, options, rows

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


# -- data --------------------------------------------------------------------------------------------------------------


CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": lambda d: Image.new("L", (12, 12), 7).save(d / "train" / "ant" / "00.png"),
    "one image less": lambda d: (d / "train" / "bee" / "01.png").unlink(),
    "one image more": lambda d: shutil.copy(d / "train" / "bee" / "01.png", d / "train" / "ant" / "99.png"),
    "another name": lambda d: (d / "val" / "bee" / "01.png").rename(d / "val" / "bee" / "1.png"),
    "another label": lambda d: (d / "train" / "bee" / "01.png").rename(d / "train" / "cat" / "01.png"),
    "another split": lambda d: (d / "val" / "bee" / "01.png").rename(d / "train" / "bee" / "91.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_have_changed_are_noticed_and_can_be_allowed(mine: Path, tmp_path: Path, change: str) -> None:
    out = half(mine, tmp_path / "r")
    CHANGES[change](mine)
    with pytest.raises(DatasetError, match="--allow-changed-data"):
        go(mine, out, resume=True)
    trained = go(mine, out, resume=True, allow_changed_data=True)
    assert [row["epoch"] for row in trained.rows] == [1, 2]


def test_classes_that_have_changed_can_not_be_allowed(mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    for role in ("train", "val"):
        (mine / role / "bee").rename(mine / role / "wasp")
    with pytest.raises(DatasetError, match=r"gone \['bee'\], new \['wasp'\]"):
        go(mine, out, resume=True, allow_changed_data=True)


def test_files_that_were_only_touched_have_not_changed(finished: Path, mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    for path in mine.rglob("*.png"):
        os.utime(path, (0, 0))
    go(mine, out, resume=True)
    assert files(out)["model.safetensors"] == files(finished)["model.safetensors"]


def test_a_run_is_resumed_from_another_working_directory(
    finished: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    half(Path("mine"), Path("r"))
    assert read(Path("r/recipe.toml")).data == str(mine)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    train(out=Path("../r"), resume=True, options=options())
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


def test_images_that_lie_elsewhere_by_now_are_taken_from_there(finished: Path, mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    mine.rename(tmp_path / "moved")
    with pytest.raises(StriateError, match="mine"):
        go(mine, out, resume=True)
    go(tmp_path / "moved", out, resume=True)
    assert files(out)["model.safetensors"] == files(finished)["model.safetensors"]


def test_a_name_stays_a_name_even_where_a_folder_is_called_so(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the sources have it: the name wins."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(images, tmp_path / "digits")
    with pytest.raises(Interrupted):
        go("digits", tmp_path / "r", listener=Listener(1), batch=512)
    assert read(tmp_path / "r" / "recipe.toml").data == "digits"
    assert len(read_json(tmp_path / "r" / "config.json")["classes"]) == 10
    with pytest.raises(Interrupted):
        go("./digits", tmp_path / "s", listener=Listener(1))
    assert read(tmp_path / "s" / "recipe.toml").data == str(tmp_path / "digits")


def test_what_can_not_be_read_is_left_out_by_name(finished: Path, mine: Path, tmp_path: Path) -> None:
    (mine / "train" / "ant" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (mine / "val" / "bee" / "text.jpg").write_text("no image")
    listener = Listener()
    go(mine, tmp_path / "r", listener=listener)
    stored = read_json(tmp_path / "r" / "config.json")["data"]
    assert {(q["role"], Path(q["key"]).name) for q in stored["quarantined"]} == {
        ("train", "bad.png"),
        ("val", "text.jpg"),
    }
    assert all(len(q["reason"]) > 5 for q in stored["quarantined"])
    assert stored["counts"]["train"]["ant"] == 9
    (said,) = listener.warnings
    assert said.startswith("2 of 34 images can't be read: ")
    assert "bad.png" in said
    assert listener.plans[0].quarantined == 2
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


def test_strictly_nothing_is_left_out(mine: Path, tmp_path: Path) -> None:
    (mine / "train" / "ant" / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"1 of 33 images can't be read: .*bad\.png"):
        go(mine, tmp_path / "r", strict=True)
    assert not (tmp_path / "r").exists()


def test_an_image_that_goes_missing_while_training_stops_it_by_name_and_it_can_be_resumed(
    finished: Path, mine: Path, tmp_path: Path
) -> None:
    victim = mine / "train" / "ant" / "00.png"
    data = victim.read_bytes()

    class Remove(Report):
        def epoch(self, row: dict[str, Any], timing: Timing) -> None:
            victim.unlink()

    with pytest.raises(DatasetError, match=r"ant/00\.png was readable at the start"):
        go(mine, tmp_path / "r", keep=0, listener=Remove(), save_every=0)
    victim.write_bytes(data)
    go(mine, tmp_path / "r", resume=True)
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


# -- refused -----------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], type[StriateError], str]] = [
    ({"model": "test_nrm"}, UnknownName, "did you mean 'test_norm'"),
    ({"augment": "hflop"}, RecipeError, "hflip"),
    ({"lr": -1}, RecipeError, "lr = -1: expected a number, above 0"),
    ({"learning_rate": 1}, RecipeError, "no setting is called 'learning_rate'"),
    ({"class_weights": [1.0, 2.0]}, RecipeError, "2 numbers for 3 classes: ant, bee, cat"),
    ({"loss": "bce"}, RecipeError, "tells two classes apart; there are 3"),
    ({"model": "lenet5", "size": 8}, ShapeError, "lenet5 can't take images of 8"),
    ({"group_by": "("}, UsageError, "group_by"),
]


@pytest.mark.parametrize(("more", "kind", "said"), REFUSED)
def test_what_can_not_be_trained_is_refused_and_leaves_no_trace(
    images: Path, tmp_path: Path, more: dict[str, Any], kind: type[StriateError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        go(images, tmp_path / "runs" / "r", **more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [{"model": "test_nrm"}, {"augment": "hflop"}, {"lr": -1}])
def test_a_typing_mistake_is_told_before_a_single_image_is_read(
    images: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    listener = Listener()
    with pytest.raises(UsageError):
        go(images, tmp_path / "r", listener=listener, **more)
    assert listener.prepared == []


def test_one_class_is_refused(images: Path, tmp_path: Path) -> None:
    for name in ("train", "val"):
        shutil.copytree(images / name / "ant", tmp_path / "one" / name / "ant")
    with pytest.raises(DatasetError, match="at least two"):
        go(tmp_path / "one", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    for data in ("digitz", str(tmp_path / "nowhere")):
        with pytest.raises(StriateError):
            go(data, tmp_path / "r")
        assert not (tmp_path / "r").exists()


def test_a_run_is_never_overwritten(finished: Path, images: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(UsageError, match=r"already holds a run.*--resume"):
        go(images, finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_file_or_a_place_that_can_not_be_written_is_refused_before_an_image_is_read(
    images: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for out, kind in ((tmp_path / "file", UsageError), (tmp_path / "file" / "below", EnvironmentFault)):
        listener = Listener()
        with pytest.raises(kind, match="file"):
            go(images, out, listener=listener)
        assert listener.prepared == []


def test_what_else_lies_in_the_folder_stays(images: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "notes.txt").write_text("mine")
    (tmp_path / "r" / ".tmp-model.safetensors-00c0ffee").write_text("left by a crash")
    go(images, tmp_path / "r")
    assert {path.name for path in (tmp_path / "r").iterdir()} == FILES | {"notes.txt"}


def test_a_second_training_in_the_same_folder_is_refused_at_once(images: Path, tmp_path: Path) -> None:
    """At every moment of the first: while it reads, plans and trains."""
    out, refused = tmp_path / "r", []

    class Second(Report):
        def attempt(self, *_: Any) -> None:
            for resume in (False, True):
                listener = Listener()
                with pytest.raises((Busy, UsageError)) as caught:
                    go(images, out, listener=listener, resume=resume, **(SMALL if resume else {}))
                assert listener.prepared == []
                refused.append(type(caught.value))

        prepare = plan = step = epoch = attempt

    go(images, out, listener=Second())
    assert refused.count(Busy) > 10
    assert len(rows(out)) == 2


def test_a_resume_is_refused_while_another_one_runs(images: Path, tmp_path: Path) -> None:
    out = half(images, tmp_path / "r")
    with durable.lock(out), pytest.raises(Busy):
        go(images, out, resume=True)
    go(images, out, resume=True)


@pytest.mark.parametrize(
    "more",
    [
        {"lr": 0.03}, {"seed": 1}, {"epochs": 3}, {"batch": 5}, {"model": "test_plain"}, {"optimizer": "sgd"},
        {"augment": "hflip"}, {"loss": "mse"}, {"class_weights": "balanced"}, {"ema": 0.9}, {"size": 13},
        {"channels": "rgb"}, {"precision": "float32"}, {"channels_last": False},
    ],
)  # fmt: skip
def test_a_setting_can_not_be_changed_on_the_way(finished: Path, images: Path, more: dict[str, Any]) -> None:
    (key,) = more
    with pytest.raises(UsageError, match=f"was started with {key} = "):
        go(images, finished, resume=True, **more)


@pytest.mark.parametrize("more", [{"modle": "x"}, {"lr": "fast"}])
def test_a_mistyped_setting_is_told_on_resume_too(finished: Path, images: Path, more: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        go(images, finished, resume=True, **more)


def test_settings_that_mean_the_same_may_be_repeated(finished: Path, images: Path) -> None:
    stored = read(finished / "recipe.toml")
    asked = ("loss", "channels", "precision", "channels_last", "augment", "resize")
    same = {"lr": 0.02, "epochs": 2, "batch": 4, "model": "test_norm", "size": 0} | dict.fromkeys(asked, "auto")
    go(images, finished, resume=True, **same)
    go(images, finished, resume=True, augment=f" {stored.augment}  ", clip=0)


def test_a_recipe_that_was_edited_after_a_checkpoint_is_refused(images: Path, tmp_path: Path) -> None:
    out = half(images, tmp_path / "r")
    path = out / "recipe.toml"
    path.write_text(path.read_text().replace("lr = 0.02", "lr = 0.01"))
    with pytest.raises(ArtefactError, match="another recipe"):
        go(images, out, resume=True)


def test_a_comment_in_the_recipe_of_a_stopped_run_stops_nothing(images: Path, tmp_path: Path) -> None:
    whole, out = go(images, tmp_path / "whole").folder, half(images, tmp_path / "r")
    path = out / "recipe.toml"
    path.write_text("# the rate is from the slides\n" + path.read_text())
    go(images, out, resume=True)
    assert (out / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_named_data_are_found_again_where_they_were(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    copy = tmp_path / "data"
    (copy / "mnist").mkdir(parents=True)
    for role, n in (("train", 60), ("t10k", 20)):
        for kind, size in (("images-idx3", 784), ("labels-idx1", 1)):
            file = f"{role}-{kind}-ubyte.gz"
            with gzip.open(shared / "data" / "mnist" / file) as whole:
                head = bytearray(whole.read(16 if size > 1 else 8))
                body = whole.read(n * size)
            head[4:8] = n.to_bytes(4, "big")
            with gzip.open(copy / "mnist" / file, "wb") as short:
                short.write(bytes(head) + body)
    out = tmp_path / "r"
    one = {"epochs": 1, "batch": 16, "augment": "none"}
    train("mnist", "lenet5", out=out, options=options(data_dir=copy), **one)
    assert read_json(out / "config.json")["data"]["found_in"] == str(copy.resolve())
    assert evaluate(out).to_json()["accuracy"]["images"] == 20
    shutil.rmtree(out / "last")
    assert train(out=out, resume=True, options=options()).rows
    (copy / "mnist").rename(tmp_path / "away")
    with pytest.raises(DatasetError, match="not found in"):
        evaluate(out)


def test_the_best_epoch_is_chosen_anew_where_a_changed_run_kept_weights_that_it_has_not_seen(
    images: Path, tmp_path: Path
) -> None:
    """Killed after an epoch whose weights were kept and before the next checkpoint; then the machine is another."""
    out = tmp_path / "r"
    with pytest.raises(Interrupted):
        go(images, out, listener=Listener(STEPS + 2))
    tensors, identity = read_model(out / MODEL)
    write_model(out / MODEL, tensors, identity, {"epoch": 2, "val_loss": 0.0, "val_accuracy": 1.0})
    config = read_json(out / "config.json")
    config["machine"] |= {"torch": "1.0"}
    (out / "config.json").write_text(json.dumps(config))
    _, path = checkpoint.stored(out)[-1]
    kept, header = unpack(path)
    header["progress"]["best"] = {"epoch": 1, "val_loss": 0.0, "val_accuracy": 1.0}  # never to be surpassed
    path.write_bytes(pack(kept, header))
    listener = Listener()
    result = go(images, out, resume=True, listener=listener)
    assert any("chosen anew" in note for note in listener.notes)
    assert read_about(out / MODEL)["epoch"] == result.best["epoch"]
    assert result.best["val_accuracy"] == result.rows[result.best["epoch"] - 1]["val_accuracy"]


@pytest.mark.parametrize("key", ["machine", "data"])
def test_a_config_without_what_a_resume_needs_is_refused_by_name(images: Path, tmp_path: Path, key: str) -> None:
    out = half(images, tmp_path / "r")
    config = read_json(out / "config.json")
    for broken in ({k: v for k, v in config.items() if k != key}, config | {key: 3}, config | {key: {}}):
        (out / "config.json").write_text(json.dumps(broken))
        with pytest.raises(ArtefactError, match=f"config.json: expected a table '{key}'"):
            go(images, out, resume=True)


def test_a_checkpoint_of_another_network_is_refused_with_the_difference(images: Path, tmp_path: Path) -> None:
    out = half(images, tmp_path / "r")
    (_, path) = checkpoint.stored(out)[-1]
    tensors, header = unpack(path)
    tensors["model:fc.weight"] = tensors["model:fc.weight"][:, :-1]
    path.write_bytes(pack(tensors, header))
    with pytest.raises(ArtefactError, match=r"fc\.weight is \(3, 53\), the model has \(3, 54\)"):
        go(images, out, resume=True)


def test_another_machine_is_told_before_it_changes_the_last_bits(images: Path, tmp_path: Path) -> None:
    out = half(images, tmp_path / "r")
    config = read_json(out / "config.json")
    config["machine"] |= {"torch": "1.0", "capability": "none"}
    (out / "config.json").write_text(json.dumps(config))
    listener = Listener()
    go(images, out, resume=True, listener=listener, threads=None)
    assert sum("last bits" in said for said in listener.warnings) == 2
    assert torch.get_num_threads() == 1  # as the run began, not as many as there are cores


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
