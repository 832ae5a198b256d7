"""Where the time of a training step goes. The training itself is timed: its loader, its loop, its optimiser.

step      = waiting for data + forward + backward + update + rest          medians of the steps measured
in use    = 3 x multiply-adds of a forward pass x images a second          forward, and two of the kind backward
share     = in use / multiply-adds a second of a matrix product            same precision, threads and process
"""

import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from striate.errors import DatasetError
from striate.models.registry import entry
from striate.training.bench.kinds import seconds_by_kind
from striate.training.bench.made_up import write_made_up
from striate.training.bench.peak import peak_macs
from striate.training.job import train
from striate.training.options import Options
from striate.training.plan import Plan
from striate.training.recipe import Recipe
from striate.training.report import Laps, Report, Step

WARM, MEASURED, PROFILED = 3, 10, 3  # steps
PASSES = 3  # of the network in a step, with about as many multiply-adds each: forward, gradients of inputs, of weights
PARTS = ("waited", "forward", "backward", "update")


@dataclass(frozen=True)
class StepTimes:
    """What was found. Seconds are medians over the steps measured; they need not add up to that of the whole step."""

    model: str
    data: str
    batch: int
    precision: str
    machine: str
    steps: int
    step_s: float
    parts_s: dict[str, float]  # waited, forward, backward, update, rest
    images_per_s: float
    macs: int  # of one image, forward
    macs_per_s: float  # in the network
    peak_macs_per_s: dict[str, float]  # precision -> of a matrix product
    kinds: dict[str, float]  # kind of operation -> share of the time in operations, of some further steps

    @property
    def share_of_peak(self) -> float:
        return self.macs_per_s / self.peak_macs_per_s[self.precision]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"share_of_peak": self.share_of_peak}


def time_steps(
    data: str | None,
    model: str,
    *,
    options: Options | None = None,
    steps: int = MEASURED,
    report: Report | None = None,
    **settings: Any,
) -> StepTimes:
    """Train for a few steps in a temporary folder, and say where their time went.

    `settings` are those of `Recipe`. Without data, images of the model's own size are made up, ten classes of them.

    Raises: as `train`; DatasetError where an epoch is too short to measure.
    """
    recipe = Recipe.make({"data": data or "made up", "model": model} | settings)
    with tempfile.TemporaryDirectory(prefix="striate-bench-") as scratch:
        asked = dict(settings)
        if data is None:
            channels, *size = entry(model).input
            if recipe.size:
                size = [recipe.size, recipe.size]
            if recipe.batch == "auto":
                asked["batch"] = 128 if max(size) <= 64 else 32
            images = int(asked.get("batch", recipe.batch)) * recipe.accumulate * 8
            data = str(write_made_up(Path(scratch) / "made up", images, (size[0], size[1]), channels))
            asked = {"val_share": 0.0, "size": size[0]} | asked
        watch = _Stopwatch(report or Report(), steps)
        options = replace(options or Options(), save_every=1e9, together=1)
        try:
            train(data, model, out=Path(scratch) / "run", options=options, report=watch, **asked | {"epochs": 1000})
        except _Enough:
            return _times(watch, recipe.accumulate)
        finally:
            watch.end()
    raise DatasetError("the training ended before its steps could be timed")


class _Enough(BaseException):
    """Ends the training: what was to be seen has been seen."""


class _Stopwatch(Report):
    """Listens to a training; what it is told goes on to another report, but for the steps."""

    def __init__(self, other: Report, steps: int) -> None:
        self.other, self._wanted = other, steps
        self.laps: list[Laps] = []  # of each step alone
        self.plans: list[Plan] = []
        self.kinds: dict[str, float] = {}
        self._before, self._epoch = Laps(), 0
        self._done = 0
        self._profile: Any = None

    def note(self, text: str) -> None:
        pass  # what a training of a few steps has to say of its data is of no use

    def prepare(self, what: str, done: int, of: int) -> None:
        self.other.prepare(what, done, of)

    def plan(self, plan: Plan) -> None:
        self.plans.append(plan)

    def step(self, step: Step) -> None:
        before = self._before if step.epoch == self._epoch else Laps()
        self._before, self._epoch, self._done = step.laps, step.epoch, self._done + 1
        measured = self._done - WARM
        if 0 < measured <= self._wanted:
            now, then = asdict(step.laps), asdict(before)
            self.laps.append(Laps(**{name: now[name] - then[name] for name in now}))
        self.other.prepare("steps", self._done, WARM + self._wanted + PROFILED)
        if measured == self._wanted:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it writes to standard error when it begins and ends
            self._profile = profile(activities=_activities())
            self._profile.__enter__()
        elif measured == self._wanted + PROFILED:
            self.end()
            raise _Enough

    def end(self) -> None:
        """Of the profile, if it is under way."""
        if self._profile is not None:
            self._profile.__exit__(None, None, None)
            spent = seconds_by_kind(self._profile.key_averages(), cuda=torch.cuda.is_available())
            whole = sum(spent.values()) or 1.0
            self.kinds = {kind: seconds / whole for kind, seconds in sorted(spent.items(), key=lambda pair: -pair[1])}
            self._profile = None


def _activities() -> list[ProfilerActivity]:
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]


def _times(watch: _Stopwatch, accumulate: int) -> StepTimes:
    (plan,) = watch.plans
    precision = plan.precision.partition(",")[0]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    whole = median(lap.whole for lap in watch.laps)
    parts = {name: median(getattr(lap, name) for lap in watch.laps) for name in PARTS}
    parts["rest"] = median(lap.whole - sum(getattr(lap, name) for name in PARTS) for lap in watch.laps)
    per_s = plan.batch * accumulate / whole
    return StepTimes(
        model=plan.model, data=plan.data, batch=plan.batch * accumulate, precision=precision, machine=plan.machine,
        steps=len(watch.laps), step_s=whole, parts_s=parts, images_per_s=per_s, macs=plan.macs,
        macs_per_s=PASSES * plan.macs * per_s,
        peak_macs_per_s={name: peak_macs(name, device) for name in ("float32", "bf16")}, kinds=watch.kinds,
    )  # fmt: skip
