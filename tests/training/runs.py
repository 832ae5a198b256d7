"""A training with little data and a small network, that can be watched, stopped and killed."""

import csv
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from striate.errors import (
    Interrupted,
)
from striate.training.job import Trained, train
from striate.training.options import Options
from striate.training.plan import Plan
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
        if self.how == "giving up" and text.startswith("stopped after"):
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


def chain(data: Path, out: Path, stops: Iterator[int], how: str = "signal", **more: Any) -> int:
    """Train, be stopped after that many updates, resume, and so on to the end; how often it was stopped."""
    resume, stopped = False, 0
    expected: type[BaseException] = Killed if how == "kill" else Interrupted
    while True:
        try:
            go(data, out, listener=Listener(next(stops, None), how), resume=resume, **({} if resume else more))
        except expected:
            stopped += 1
        else:
            return stopped
        resume = True
        assert not list(out.rglob(".tmp-*"))


def half(data: Path, out: Path, **more: Any) -> Path:
    with pytest.raises(Interrupted):
        go(data, out, listener=Listener(3), **more)
    return out
