"""From a recipe to its result."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from striate.data.dataset import Dataset
from striate.data.sources import open_dataset
from striate.errors import DatasetError
from striate.reproduce.experiment import Experiment
from striate.reproduce.result import Measured, Outcome, Result
from striate.training.machine import settle, survey
from striate.training.report import Report


@dataclass(frozen=True)
class Means:
    """Where things are, and with how many threads."""

    data_dir: Path | None = None  # where named data sets lie
    material: Path | None = None  # published weights and photographs
    download: bool = False
    workers: int | None = None
    threads: int | None = None


Tell = Callable[[str], None]


def carry_out(
    experiment: Experiment, means: Means, *, report: Report | None = None, tell: Tell = lambda _: None,
    timed: bool = False,
) -> Result:  # fmt: skip
    """Every arm with every seed; arm by arm, seed by seed, each from the beginning.

    `tell` is given a line after each run. `timed` says that the machine does nothing else, so that the time counts.

    Raises: DatasetError where data or material are not there; EnvironmentFault, Interrupted.
    """
    machine = survey(means.threads)
    settle(machine)
    report = report or Report()
    begun = time.monotonic()
    outcomes, images = [], 0
    opened: dict[str, Dataset] = {}
    for arm in experiment.arms:
        runs: list[Measured] = []
        for seed in range(experiment.work.seeds):
            if arm.published is not None:
                from striate.reproduce import published

                if means.material is None:
                    raise DatasetError(
                        f"{experiment.form} needs published weights and photographs; --material names their folder"
                    )
                asked = experiment.work.test_images
                images = len(published.photographs(means.material, asked)[1])
                runs.append(published.measure(arm.published, means.material, report.prepare, asked))
            else:
                from striate.reproduce.trained import train_once

                assert arm.recipe is not None
                data = arm.recipe.data
                if data not in opened:
                    opened[data] = open_dataset(
                        data, data_dir=means.data_dir, download=means.download, val_share=0.0,
                        progress=lambda file, done, of: report.prepare(f"downloading {file}", done, of),
                    )  # fmt: skip
                images = experiment.work.test_images or len(opened[data].split("test"))
                runs.append(train_once(arm, experiment.work, opened[data], seed, machine, means.workers, report))
            of = f", seed {seed}" if experiment.work.seeds > 1 else ""
            tell(f"{experiment.form}: {arm.name}{of}: {runs[-1].value:.2f}{' (diverged)' * runs[-1].diverged}")
        outcomes.append(Outcome(arm.name, tuple(runs)))
    seconds = round(time.monotonic() - begun, 1) if timed else None
    return Result(
        experiment.name, experiment.quick, experiment.digest, date.today().isoformat(), machine.describe(), images,
        tuple(outcomes), seconds,
    )  # fmt: skip
