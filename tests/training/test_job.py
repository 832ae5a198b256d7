"""A training run: what it leaves behind, and that stopping it anywhere changes not one byte of it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
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
from striate.data.loader import Loader
from striate.errors import (
    ArtefactError,
    Busy,
    DatasetError,
    EnvironmentFault,
    Interrupted,
    RecipeError,
    ShapeError,
    StriateError,
    TrainingError,
    UnknownName,
    UsageError,
)
from striate.models.registry import create_model
from striate.run.classifier import load
from striate.run.folder import MODEL, read_about, read_json, read_model
from striate.run.packed import unpack
from striate.training import checkpoint
from striate.training.checkpoint import FOLDER, Progress
from striate.training.job import COLUMNS, Options, Trained, train
from striate.training.loop import Trainer, predicted
from striate.training.plan import Plan
from striate.training.recipe import read
from striate.training.report import Report, Step, Timing

SMALL: dict[str, Any] = {"model": "test_norm", "epochs": 2, "batch": 4, "lr": 0.02}
STEPS = 6  # an epoch: 25 images in batches of four, the last one of five
FILES = {
    ".lock",
    "config.json",
    "last",
    "model.safetensors",
    "preprocess.json",
    "recipe.toml",
    "results.csv",
    "timing.jsonl",
}


class Killed(BaseException):
    """Ends a training as a kill would: nothing is saved."""


class Listener(Report):
    """Writes down what it is told; after update `at` it stops the training, by a signal or as a kill."""

    def __init__(self, at: int | None = None, how: str = "signal") -> None:
        self.at, self.how = at, how
        self.told: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps: list[Step] = []
        self.rows: list[dict[str, Any]] = []
        self.plans: list[Plan] = []
        self.prepared: list[tuple[str, int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
        if self.how == "note":
            raise Killed

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def prepare(self, what: str, done: int, of: int) -> None:
        self.prepared.append((what, done, of))

    def plan(self, plan: Plan) -> None:
        self.told.append("plan")
        self.plans.append(plan)

    def step(self, step: Step) -> None:
        self.told.append("step")
        self.steps.append(step)
        if len(self.steps) == self.at:
            if self.how == "kill":
                raise Killed
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch(self, row: dict[str, Any], timing: Timing) -> None:
        self.told.append("epoch")
        self.rows.append(row)
        assert timing.epoch == row["epoch"]


def options(**more: Any) -> Options:
    return Options(**({"threads": 1, "workers": 0} | more))


def go(data: Path | str, out: Path, *, listener: Report | None = None, resume: bool = False, **more: Any) -> Trained:
    how = {key: more.pop(key) for key in list(more) if key in Options.__dataclass_fields__}
    asked = more if resume else SMALL | more
    return train(data, out=out, resume=resume, options=options(**how), report=listener, **asked)


def files(run: Path) -> dict[str, bytes]:
    """All that must come out the same: not the log of times, the lock, and checkpoints."""
    kept = (path for path in run.iterdir() if path.is_file() and path.name not in (".lock", "timing.jsonl"))
    return {path.name: path.read_bytes() for path in kept}


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped. Not to be written to."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    go(images, out)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copied"))


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
    assert listener.steps[STEPS - 1].loss == trained.rows[0]["train_loss"]
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


# -- stopped and resumed -----------------------------------------------------------------------------------------------

FEATURES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd"},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.001},
    "adam": {"optimizer": "adam"},
    "accumulate": {"accumulate": 4},
    "ema": {"ema": 0.8},
    "clip": {"clip": 0.05},
    "plateau": {"schedule": "plateau", "patience": 1, "epochs": 4, "lr": 1e-6},
    "step": {"schedule": "step", "step_epochs": 1},
    "onecycle": {"schedule": "onecycle"},
    "early stopping": {"stop_after": 1, "epochs": 6},
    "augment": {"augment": "rotation:20 hflip crop:1 cutout:3 brightness:0.2"},
    "mixup": {"augment": "mixup:0.5 cutmix:1"},
    "resized crop": {"augment": "resized_crop:0.5 hflip"},
    "mse": {"loss": "mse"},
    "balanced": {"class_weights": "balanced", "smoothing": 0.1},
    "weights": {"class_weights": [1.0, 2.0, 0.5]},
    "bf16": {"precision": "bf16"},
    "channels first": {"channels_last": False},
}


def chain(data: Path, out: Path, stops: Iterator[int], how: str = "signal", **more: Any) -> int:
    """Train, be stopped after that many updates, resume, and so on to the end; how often it was stopped."""
    resume, stopped = False, 0
    while True:
        try:
            go(data, out, listener=Listener(next(stops, None), how), resume=resume, **({} if resume else more))
        except Interrupted as error:
            assert how == "signal"
            assert error.exit_code == 143
            assert "--resume" in str(error)
        except Killed:
            assert how == "kill"
        else:
            return stopped
        resume, stopped = True, stopped + 1
        assert not list(out.rglob(".tmp-*"))


@pytest.mark.parametrize("feature", FEATURES)
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(images: Path, tmp_path: Path, feature: str) -> None:
    """Stopped in the first epoch, on its last update, at the first of the second epoch, and so on."""
    go(images, tmp_path / "whole", **FEATURES[feature])
    per_epoch = 2 if "accumulate" in FEATURES[feature] else STEPS
    stops = iter([1] if per_epoch == 2 else [3, 3, 1, 4])
    assert chain(images, tmp_path / "parts", stops, **FEATURES[feature]) >= 1
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_with_one_output_too(two_classes: Path, tmp_path: Path) -> None:
    go(two_classes, tmp_path / "whole", model="test_sigmoid")
    recipe = read(tmp_path / "whole" / "recipe.toml")
    assert recipe.loss == "bce"
    chain(two_classes, tmp_path / "parts", iter([3, 3, 1]), model="test_sigmoid")
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert unpack(tmp_path / "whole" / MODEL)[0]["fc.weight"].shape[0] == 1


ALL_AT_ONCE = {"ema": 0.7, "clip": 1.0, "schedule": "onecycle", "augment": "hflip mixup:0.3", "smoothing": 0.1}


def test_a_run_may_be_stopped_after_every_single_step(images: Path, tmp_path: Path) -> None:
    go(images, tmp_path / "whole", **ALL_AT_ONCE)
    assert chain(images, tmp_path / "parts", iter([1] * 99), **ALL_AT_ONCE) == 2 * STEPS
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert checkpoint.newest(tmp_path / "parts", "") is None if not (tmp_path / "parts" / FOLDER).exists() else True


@pytest.mark.parametrize("save_every", [0.0, 1e9])
def test_a_run_may_be_killed_after_any_step(images: Path, tmp_path: Path, save_every: float) -> None:
    """With checkpoints after each step the last update is lost, without any of them all are."""
    go(images, tmp_path / "whole", **ALL_AT_ONCE)
    stops = iter([2, 3, 4, 2, 5, 3]) if save_every == 0 else iter([2, 5, 8, 12])
    chain(images, tmp_path / "parts", stops, how="kill", save_every=save_every, **ALL_AT_ONCE)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_checkpoints_come_when_they_are_due(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", lambda run, p, *a: (written.append(p.step), write(run, p, *a))[1])
    go(images, tmp_path / "each", save_every=0)
    assert written == [*range(1, STEPS + 1), *range(STEPS, 2 * STEPS + 1), 2 * STEPS, 2 * STEPS]
    assert len(checkpoint.stored(tmp_path / "each")) == 2
    written.clear()
    go(images, tmp_path / "end", save_every=1e9)
    assert written == [2 * STEPS]


def test_a_kill_between_the_last_epoch_and_the_end_trains_no_epoch_more(images: Path, tmp_path: Path) -> None:
    """Early stopping is decided, and before that is written down the process dies."""
    more = {"stop_after": 1, "epochs": 9, "lr": 1e-9, "save_every": 0}
    whole = go(images, tmp_path / "whole", **more)
    assert len(whole.rows) < 9
    with pytest.raises(Killed):
        go(images, tmp_path / "parts", listener=Listener(how="note"), **more)
    assert not unpack(checkpoint.stored(tmp_path / "parts")[-1][1])[1]["progress"]["finished"]
    assert go(images, tmp_path / "parts", resume=True).rows == whole.rows
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_signal_during_the_validation_stops_there_and_nothing_is_lost(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(images, tmp_path / "whole", ema=0.5)
    in_order, seen = Loader.in_order, []

    def interrupted(self: Loader) -> Iterator[Any]:
        for batch in in_order(self):
            seen.append(len(self.split))
            if seen.count(7) == 1 and seen[-1] == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(Loader, "in_order", interrupted)
    with pytest.raises(Interrupted, match=f"epoch 1, batch {STEPS} of {STEPS}"):
        go(images, tmp_path / "parts", ema=0.5)
    assert not (tmp_path / "parts" / MODEL).exists()
    monkeypatch.undo()
    go(images, tmp_path / "parts", resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_leads_to_the_same_bytes(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    with pytest.raises(Killed):
        go(images, out, listener=Listener(9, "kill"), save_every=0)
    newest = checkpoint.stored(out)[-1][1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    listener = Listener()
    go(images, out, resume=True, listener=listener)
    assert any(newest.name in said and "using the one before it" in said for said in listener.warnings)
    assert files(out) == files(finished)


def test_a_run_whose_checkpoints_are_all_damaged_is_not_quietly_begun_anew(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    with pytest.raises(Interrupted):
        go(images, out, listener=Listener(2))
    for _, path in checkpoint.stored(out):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match="no checkpoint is whole"):
        go(images, out, resume=True)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        go(images, tmp_path / "r", listener=Listener(2, "kill"), save_every=1e9)
    go(images, tmp_path / "r", resume=True)
    assert files(tmp_path / "r") == files(finished)


def test_a_run_that_was_killed_before_its_recipe_was_written_starts_with_what_is_asked_for(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    out.mkdir()
    (out / "config.json").write_text("{ half of it")
    listener = Listener()
    train(images, out=out, resume=True, options=options(), report=listener, **SMALL)
    assert any("starting from the beginning" in said for said in listener.notes)
    assert files(out) == files(finished)
    with pytest.raises(ArtefactError, match=r"nothing to resume: it holds no recipe\.toml"):
        train(out=tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_a_finished_run_is_left_untouched(images: Path, copied: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        found = (path for path in copied.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    before, listener = state(), Listener()
    result = train(out=copied, resume=True, options=options(), report=listener)
    assert state() == before
    assert listener.told == []
    assert any("finished; nothing to do" in said for said in listener.notes)
    assert [row["epoch"] for row in result.rows] == [1, 2]
    assert result.resumed


def test_a_finished_run_needs_its_data_no_more(copied: Path) -> None:
    recipe = (copied / "recipe.toml").read_text()
    assert "bands" in recipe
    result = train(out=copied, resume=True, options=options(data_dir=Path("nowhere")))
    assert result.best["epoch"] in (1, 2)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_has_its_exit_code_and_handlers_are_put_back(
    images: Path, tmp_path: Path, first: signal.Signals
) -> None:
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, lambda *_: None) for kind in kinds}
    mine = {kind: signal.getsignal(kind) for kind in kinds}
    try:

        class Once(Listener):
            def step(self, step: Step) -> None:
                super().step(step)
                if len(self.steps) == 2:
                    os.kill(os.getpid(), first)

        with pytest.raises(Interrupted) as caught:
            go(images, tmp_path / "r", listener=Once())
        assert caught.value.exit_code == 128 + first
        assert {kind: signal.getsignal(kind) for kind in kinds} == mine
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def test_a_signal_that_was_ignored_stays_ignored(finished: Path, images: Path, tmp_path: Path) -> None:
    """As under nohup: a hang-up does not stop the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        class HangUp(Listener):
            def step(self, step: Step) -> None:
                os.kill(os.getpid(), signal.SIGHUP)

        go(images, tmp_path / "r", listener=HangUp())
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert files(tmp_path / "r") == files(finished)


def test_the_second_signal_acts_at_once(images: Path, tmp_path: Path) -> None:
    class Twice(Report):
        def step(self, step: Step) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            go(images, tmp_path / "r", listener=Twice())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_it_trains_without_touching_signals(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    thread = threading.Thread(target=lambda: go(images, tmp_path / "r"))
    thread.start()
    thread.join()
    assert files(tmp_path / "r") == files(finished)


# -- the same bytes however it is carried out --------------------------------------------------------------------------


@pytest.mark.parametrize("augment", ["rotation:20 hflip", "mixup:0.5", "none"])
def test_workers_and_memory_change_no_byte(images: Path, tmp_path: Path, augment: str) -> None:
    found = []
    for i, how in enumerate([{"workers": 0}, {"workers": 1}, {"workers": 2, "keep": 0}, {"workers": None, "keep": 0}]):
        go(images, tmp_path / str(i), augment=augment, **how)
        found.append(files(tmp_path / str(i)))
    assert found == [found[0]] * 4


def test_workers_change_no_byte_where_the_network_has_two_threads(tmp_path: Path) -> None:
    """In processes of their own: there the loader's threads are the first to tell torch how many it has."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from striate.training.job import Options, train\n"
        "import torch\n"
        "train('digits', 'lenet5', out=Path(sys.argv[1]), epochs=1, batch=512, augment='hflip',\n"
        "      options=Options(threads=2, workers=int(sys.argv[2]), keep=0))\n"
        "assert torch.get_num_threads() == 2\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    for workers in ("0", "2"):
        command = [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path / workers), workers]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "0") == files(tmp_path / "2")


def test_groups_of_batches_are_one_larger_batch(images: Path, tmp_path: Path) -> None:
    """Gradients of parts, the smaller last ones among them, add up to that of the whole."""
    plain = {"model": "test_plain", "augment": "none", "epochs": 1, "optimizer": "sgd"}
    go(images, tmp_path / "parts", batch=4, accumulate=2, **plain)
    go(images, tmp_path / "whole", batch=8, **plain)
    parts, whole = (unpack(tmp_path / name / MODEL)[0] for name in ("parts", "whole"))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-6), name
    assert rows(tmp_path / "parts")[0]["step"] == "3"


def test_a_gradient_that_is_clipped_to_almost_nothing_moves_almost_nothing(images: Path, tmp_path: Path) -> None:
    still = {"model": "test_plain", "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "epochs": 1}
    go(images, tmp_path / "clipped", clip=1e-9, **still)
    go(images, tmp_path / "free", **still)
    torch.manual_seed(0)
    begin = create_model("test_plain", num_classes=3, in_chans=1, input_size=(12, 12)).state_dict()
    for out, moved in (("clipped", False), ("free", True)):
        found = unpack(tmp_path / out / MODEL)[0]
        distance = max(float((found[name] - tensor).abs().max()) for name, tensor in begin.items())
        assert (distance > 1e-3) == moved
        assert (distance < 1e-6) == (not moved)


def test_the_moving_average_is_what_is_evaluated_and_kept(images: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    begin = create_model("test_norm", num_classes=3, in_chans=1, input_size=(12, 12)).state_dict()
    go(images, tmp_path / "slow", ema=0.9999999)
    go(images, tmp_path / "fast", ema=1e-9)
    go(images, tmp_path / "none")
    slow, fast, none = (unpack(tmp_path / name / MODEL)[0] for name in ("slow", "fast", "none"))
    for name, tensor in begin.items():
        if tensor.is_floating_point():
            assert torch.allclose(slow[name], tensor, atol=1e-4), name
            assert torch.allclose(fast[name], none[name], atol=1e-6), name
    assert rows(tmp_path / "slow")[0]["val_loss"] != rows(tmp_path / "none")[0]["val_loss"]
    assert rows(tmp_path / "slow")[1]["train_loss"] == rows(tmp_path / "none")[1]["train_loss"]


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


@pytest.fixture
def mine(images: Path, tmp_path: Path) -> Path:
    """A copy of the images that may be harmed."""
    return Path(shutil.copytree(images, tmp_path / "mine"))


def half(data: Path, out: Path, **more: Any) -> Path:
    with pytest.raises(Interrupted):
        go(data, out, listener=Listener(3), **more)
    return out


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
    with pytest.raises(UsageError, match="already holds a run.*--resume"):
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
        {"channels": "rgb"}, {"precision": "bf16"}, {"channels_last": False},
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
    same = {"lr": 0.02, "epochs": 2, "batch": 4, "model": "test_norm", "size": 0, "loss": "auto", "channels": "auto",
            "precision": "auto", "channels_last": "auto", "augment": "auto", "resize": "auto", "momentum": 0.9}  # fmt: skip
    go(images, finished, resume=True, **same)
    go(images, finished, resume=True, augment=f" {stored.augment}  ", clip=0)


def test_a_recipe_that_was_edited_after_a_checkpoint_is_refused(images: Path, tmp_path: Path) -> None:
    out = half(images, tmp_path / "r")
    path = out / "recipe.toml"
    path.write_text(path.read_text().replace("lr = 0.02", "lr = 0.01"))
    with pytest.raises(ArtefactError, match="another recipe"):
        go(images, out, resume=True)


@pytest.mark.parametrize("key", ["machine", "data"])
def test_a_config_without_what_a_resume_needs_is_refused_by_name(images: Path, tmp_path: Path, key: str) -> None:
    out = half(images, tmp_path / "r")
    config = read_json(out / "config.json")
    for broken in ({k: v for k, v in config.items() if k != key}, config | {key: 3}, config | {key: {}}):
        (out / "config.json").write_text(json.dumps(broken))
        with pytest.raises(ArtefactError, match=f"config.json: expected a table '{key}'"):
            go(images, out, resume=True)


def test_a_checkpoint_of_another_network_is_refused_with_the_difference(images: Path, tmp_path: Path) -> None:
    from striate.run.packed import pack

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


# -- numbers that are not finite ---------------------------------------------------------------------------------------


def finite(run: Path) -> bool:
    """Whether every number in every file of weights is."""
    found = [unpack(path)[0] for _, path in checkpoint.stored(run)]
    found += [read_model(run / MODEL)[0]] if (run / MODEL).exists() else []
    return all(bool(torch.isfinite(t).all()) for tensors in found for t in tensors.values() if t.is_floating_point())


@pytest.mark.parametrize("model", ["test_plain", "test_norm"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_rate_that_is_far_too_high_ends_with_a_word_or_with_finite_weights(
    images: Path, tmp_path: Path, model: str, optimizer: str
) -> None:
    more = {"model": model, "optimizer": optimizer, "lr": 100.0, "epochs": 8, "save_every": 0, "schedule": "constant"}
    try:
        go(images, tmp_path / "r", momentum=0.99, weight_decay=10.0, **more)
    except TrainingError as error:
        said = str(error)
    else:
        said = ""
    if (model, optimizer) == ("test_plain", "sgd"):
        assert said
    assert finite(tmp_path / "r")
    if said:
        assert "lower lr" in said
        assert any(f"layer {name}" in said or f"{name}." in said for name in ("conv", "bn", "relu", "fc", "conv2"))
        assert "epoch " in said
        assert "step " in said


FAULTS = [
    ("output", "conv"),
    ("output", "bn"),
    ("output", "fc"),
    ("gradient", "conv2"),
    ("gradient", "fc"),
    ("weight", "conv2"),
]


@pytest.mark.parametrize(("kind", "layer"), FAULTS)
@pytest.mark.parametrize("at", [1, 8])
def test_the_layer_and_the_step_of_the_first_bad_number_are_named(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, layer: str, at: int
) -> None:
    """A NaN is planted in one layer, in the forward or backward pass of one step, or in its weights before that step."""
    update = Trainer._update
    steps = 0

    def planted(self: Trainer, group: Any, lr: float) -> None:
        nonlocal steps
        steps += 1
        module = self.module.get_submodule(layer)
        if steps == at:
            if kind == "output":
                module.register_forward_hook(lambda _m, _x, y: y * float("nan"))
            elif kind == "gradient":
                module.weight.register_hook(lambda g: g * float("nan"))  # type: ignore[union-attr, operator]
            else:
                with torch.no_grad():
                    module.weight.view(-1)[0] = float("nan")  # type: ignore[union-attr, operator]
        update(self, group, lr)

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError) as caught:
        go(images, tmp_path / "r", save_every=0)
    said = str(caught.value)
    assert f"epoch {1 + (at > STEPS)}, step {at}:" in said
    expected = {
        "output": f"layer {layer} is the first",
        "gradient": f"gradient of {layer}.weight",
        "weight": f"weights of {layer}.weight",
    }
    assert expected[kind] in said
    assert steps == at
    assert finite(tmp_path / "r")
    assert len(checkpoint.stored(tmp_path / "r")) == min(2, at - 1)


def test_memory_of_the_update_rule_that_is_not_finite_is_not_saved(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Trainer._update

    def planted(self: Trainer, group: Any, lr: float) -> None:
        update(self, group, lr)
        if self.progress.step == 4:
            self.optimiser.state[self.module.get_parameter("fc.bias")]["exp_avg_sq"][0] = float("inf")

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError, match=r"step 4: fc\.bias:exp_avg_sq \(optimiser\)"):
        go(images, tmp_path / "r", save_every=0)
    assert finite(tmp_path / "r")


def test_a_val_loss_that_is_not_finite_is_told_with_its_layer(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and statistics are finite, and what the evaluation makes of them is not."""
    validate = Trainer._validate

    def planted(self: Trainer, loader: Loader) -> Any:
        self.module.get_submodule("bn").running_var.fill_(1e-38)  # type: ignore[union-attr, operator]
        self.module.get_submodule("bn").eps = 0.0
        self.module.get_submodule("bn").weight.data.fill_(1e30)  # type: ignore[union-attr, operator]
        return validate(self, loader)

    monkeypatch.setattr(Trainer, "_validate", planted)
    with pytest.raises(TrainingError, match=f"epoch 1, step {STEPS}: the val loss is .*: layer bn is the first"):
        go(images, tmp_path / "r")
    assert not (tmp_path / "r" / MODEL).exists()


def test_a_bad_number_in_any_batch_of_a_group_is_found(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of four batches has the bad gradient, the others have none."""
    spoilt: list[int] = []
    update = Trainer._update

    def planted(self: Trainer, group: Any, lr: float) -> None:
        first = group[0].images

        def look(_m: Any, inputs: Any, y: torch.Tensor) -> torch.Tensor:
            if inputs[0].shape == first.shape and torch.equal(inputs[0].detach(), first):
                spoilt.append(1)
                y.register_hook(lambda g: g * float("inf"))
            return y

        self.module.get_submodule("conv").register_forward_hook(look)
        update(self, group, lr)

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError, match="the gradient is not finite: the gradient .* layer conv"):
        go(images, tmp_path / "r", accumulate=4)
    assert spoilt


def test_a_full_disk_ends_the_run_and_leaves_what_was_saved(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fsync, calls = tmp_path / "r", os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 20:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        go(images, out, save_every=0)
    monkeypatch.undo()
    assert finite(out)
    assert not list(out.rglob(".tmp-*"))
    go(images, out, resume=True)
    assert files(out) == files(finished)


def test_a_log_that_can_not_be_written_is_named(images: Path, tmp_path: Path) -> None:
    (tmp_path / "r" / "timing.jsonl").mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match=r"timing\.jsonl: could not be written"):
        go(images, tmp_path / "r")
