"""What is seen while training: bars on a terminal, plain lines elsewhere."""

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from striate.training.plan import Plan
from striate.training.report import Report, Step, Timing

NAMES_END = 11  # columns that the names of the plan take


@contextmanager
def listener(*, quiet: bool = False) -> Iterator[Report]:
    """A report that shows what happens on standard error; only warnings where `quiet`."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if quiet:
        yield Quiet(console)
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield Bars(console, bars)
    else:
        yield Lines(console)


class Quiet(Report):
    """Warnings only."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}", indent=9, style="yellow")

    def _say(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Folded to the width of a terminal, under its first word; elsewhere one line, for whoever searches."""
        if self.console.is_terminal:
            text = "\n".join(
                textwrap.fill(
                    line, self.console.width, subsequent_indent=" " * indent,
                    break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
                )
                for line in text.splitlines()
            )  # fmt: skip
        self.console.print(text, markup=False, style=style)


class Lines(Quiet):
    """One line for each thing worth a line."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._said = time.monotonic()

    def note(self, text: str) -> None:
        self._say(f"note: {text}", indent=6, style="dim")

    def plan(self, plan: Plan) -> None:
        self._say(describe_plan(plan), indent=NAMES_END)

    def prepare(self, what: str, done: int, of: int) -> None:
        if time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            self.console.print(f"{what}: {done:,} of {of:,}", markup=False)

    def step(self, step: Step) -> None:
        if time.monotonic() - self._said > 30:
            self._said = time.monotonic()
            self.console.print(f"epoch {step.epoch}/{step.epochs}, {_progress(step)}", markup=False)

    def epoch(self, row: dict[str, Any], timing: Timing) -> None:
        self._said = time.monotonic()
        self.console.print(describe_epoch(row, timing), markup=False)


class Bars(Lines):
    """A bar for what is being read, and one for the epoch under way."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__(console)
        self.bars = bars
        self._reading: dict[str, TaskID] = {}
        self._whole: TaskID | None = None

    def prepare(self, what: str, done: int, of: int) -> None:
        if what not in self._reading:
            self._reading[what] = self.bars.add_task(what, total=of, said="")
        self.bars.update(self._reading[what], completed=done, total=of, said=f"{done:,} of {of:,}", visible=done < of)

    def step(self, step: Step) -> None:
        whole = step.epochs * step.batches
        done = (step.epoch - 1) * step.batches + step.batch
        if self._whole is None:
            self._whole = self.bars.add_task("training", total=whole, completed=done, said="")
        self.bars.update(
            self._whole, completed=done, description=f"epoch {step.epoch}/{step.epochs}", said=_progress(step)
        )


def _progress(step: Step) -> str:
    return f"loss {step.loss:.4f}, accuracy {step.accuracy:.2%}, {step.images_per_s:,.0f} images/s"


def describe_epoch(row: dict[str, Any], timing: Timing) -> str:
    """One line."""
    val = "" if row["val_accuracy"] is None else f"  val loss {row['val_loss']:.4f} accuracy {row['val_accuracy']:.2%}"
    star = " *" if row["best"] else ""
    return (
        f"epoch {row['epoch']:3d}  train loss {row['train_loss']:.4f} accuracy {row['train_accuracy']:.2%}{val}"
        f"  {timing.seconds:.1f} s, {timing.images_per_s:,.0f} images/s{star}"
    )


def describe_plan(plan: Plan) -> str:
    """What is going to happen, in a few lines."""
    images = ", ".join(f"{n:,} {role}" for role, n in plan.images.items())
    few, many = min(plan.per_class), max(plan.per_class)
    spread = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    left_out = f", {plan.quarantined} left out" if plan.quarantined else ""
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    rows = {
        "data": f"{plan.data}: {images}; {len(plan.classes)} classes of {spread} training images{left_out}",
        "input": f"{plan.preprocess} ({plan.preprocess_why})",
        "augment": plan.augment,
        "model": f"{plan.model}: {plan.parameters:,} parameters, {plan.macs:,} multiply-adds an image",
        "weights": plan.weights,
        "frozen": plan.frozen,
        "features": plan.features,
        "training": f"{epochs}, {plan.steps:,} steps of {plan.batch} images; {plan.loss}; {plan.precision}",
        "machine": plan.machine,
        "estimate": f"{_duration(plan.seconds)}, {plan.memory_bytes / 2**20:,.0f} MiB",
        "writes": f"{plan.run}: {', '.join(plan.files)}",
    }
    return "\n".join(f"{name:>{NAMES_END - 2}}  {text}" for name, text in rows.items() if text)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
