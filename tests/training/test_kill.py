"""SIGKILL at random moments: the run is always readable, and goes on to the same bytes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from striate.errors import ArtefactError
from striate.run.folder import Run
from striate.training.checkpoint import FOLDER

RECIPES = {
    "adamw, augmentation, two workers": ["augment=rotation:10 shift:0.1", "batch=64", "epochs=4"],
    "sgd, plateau, moving average, accumulation": [
        "optimizer=sgd", "lr=0.05", "schedule=plateau", "patience=1", "ema=0.9", "accumulate=2", "batch=32", "epochs=4",
        "augment=none",
    ],
    "rmsprop, mixup, clipping, float32": [
        "optimizer=rmsprop", "lr=0.001", "augment=mixup:0.4", "clip=1.0", "precision=float32", "epochs=4", "batch=64",
    ],
}  # fmt: skip


def command(run: Path, settings: Sequence[str], *, resume: bool = False) -> list[str]:
    words = [
        sys.executable,
        "-m",
        "striate",
        "train",
        "digits",
        "--model",
        "lenet5",
        "--out",
        str(run),
        "--threads",
        "1",
    ]
    words += ["--workers", "2", "--save-every", "0.1", "--no-evaluate", "--quiet", *(["--resume"] if resume else [])]
    for setting in settings:
        words += ["--set", setting]
    return words


def finish(run: Path, settings: Sequence[str]) -> None:
    done = subprocess.run(command(run, settings, resume=True), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def digest(run: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in ("model.safetensors", "results.csv")
    }


def check_readable(run: Path) -> None:
    """Whatever is there can be read, or says that it is not there yet."""
    if not (run / "config.json").exists():
        return
    found = Run(run)
    if (run / "model.safetensors").exists():
        found.load_module()
    else:
        with pytest.raises(ArtefactError, match="not there yet"):
            found.load_module()


def kill_and_resume(tmp_path: Path, settings: Sequence[str], kills: int, seed: int) -> None:
    whole = tmp_path / "whole"
    begun = time.monotonic()
    finish(whole, settings)  # --resume of nothing starts from the beginning
    lasted = time.monotonic() - begun
    expected = digest(whole)
    dice = random.Random(seed)
    killed, rounds = 0, 0
    while killed < kills:
        rounds += 1
        run = tmp_path / f"run{rounds}"
        while killed < kills:
            process = subprocess.Popen(
                command(run, settings, resume=True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                process.wait(timeout=dice.uniform(0.3, 0.95) * lasted)
                break  # it came to its end first
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                check_readable(run)
        finish(run, settings)
        assert digest(run) == expected, f"round {rounds} of seed {seed}"
        assert not list(run.glob(".tmp-*")), "a stray file outlived the resume"
        assert not list((run / FOLDER).glob(".tmp-*")), "a stray file outlived the resume"


def test_a_run_that_is_killed_three_times_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, next(iter(RECIPES.values())), kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_is_killed_at_seventeen_random_moments_goes_on_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    """Three recipes, 51 kills in all."""
    kill_and_resume(tmp_path, RECIPES[name], kills=17, seed=len(name))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    run, settings = tmp_path / "run", ["epochs=500", "augment=none"]
    process = subprocess.Popen(
        command(run, settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background job ignores Ctrl-C
    )
    deadline = time.monotonic() + 120
    while not list((run / FOLDER).glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert len(list((run / FOLDER).glob("step-*"))) >= 1
    assert json.loads((run / "config.json").read_text())["model"]["name"] == "lenet5"
