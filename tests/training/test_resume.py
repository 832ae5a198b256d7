"""Stopping a training anywhere, by a signal or a kill, changes not one byte of what comes out."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.data.loader import Loader
from striate.errors import (
    ArtefactError,
    Interrupted,
)
from striate.models.registry import create_model
from striate.run.folder import MODEL
from striate.run.packed import unpack
from striate.training import checkpoint
from striate.training.job import train
from striate.training.recipe import read
from striate.training.report import Report, Step
from tests.training.runs import SMALL, STEPS, Killed, Listener, chain, files, go, options, rows

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
    more = {"stop_after": 1, "epochs": 9, "save_every": 0, "augment": "none"}
    whole = go(images, tmp_path / "whole", **more)
    assert len(whole.rows) < 9
    with pytest.raises(Killed):
        go(images, tmp_path / "parts", listener=Listener(how="giving up"), **more)
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
        "from striate.training.job import train\n"
        "from striate.training.options import Options\n"
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
    plain = {"model": "test_plain", "augment": "none", "epochs": 1, "optimizer": "sgd", "precision": "float32"}
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
