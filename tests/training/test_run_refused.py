"""What a training is refused for, at its start and on resume, and what is left in the folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from striate import durable
from striate.errors import (
    ArtefactError,
    Busy,
    DatasetError,
    EnvironmentFault,
    Interrupted,
    RecipeError,
    ShapeError,
    StriateError,
    UnknownName,
    UsageError,
)
from striate.run.folder import MODEL, read_about, read_json, read_model, write_model
from striate.run.packed import pack, unpack
from striate.training import checkpoint
from striate.training.recipe import read
from striate.training.report import Report
from tests.training.runs import FILES, SMALL, STEPS, Listener, go, half, rows

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
