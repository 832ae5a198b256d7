"""From a recipe to its result."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

from striate.data.loader import available_cores
from striate.reproduce.crew import Crew
from striate.reproduce.experiment import Experiment
from striate.reproduce.result import Measured, Outcome, Result
from striate.reproduce.runs import Means, Opened, Task
from striate.training.machine import settle, survey
from striate.training.report import Report

Tell = Callable[[str], None]


@contextmanager
def hired(means: Means) -> Iterator[Crew]:
    """Who carries out the runs of any number of recipes, as many side by side as the means allow."""
    threads = means.threads or 1
    together = means.together or max(1, available_cores() // threads)
    if survey(threads).device != "cpu":
        together = 1
    means = replace(means, workers=0 if together > 1 and means.workers is None else means.workers)
    with Crew(together, threads, means) as crew:
        yield crew


def carry_out(
    experiment: Experiment, crew: Crew, *, report: Report | None = None, tell: Tell = lambda _: None,
    timed: bool = False,
) -> Result:  # fmt: skip
    """Every arm with every seed, each from the beginning. How many go side by side changes no number.

    `tell` is given a line after each run. `timed` says that the machine does nothing else, so that the time counts:
    then the result holds it and, where the recipe asks for costs, that of a training step of each arm.

    Raises: DatasetError where data or material are not there; EnvironmentFault, Interrupted.
    """
    # a fastest road is one run at a time with the whole machine: its time is what it is about
    one_by_one = experiment.work.kind == "fastest"
    machine = survey(crew.means.threads if one_by_one else crew.threads)
    settle(machine)
    report = report or Report()
    begun = time.monotonic()
    opened = Opened(crew.means, machine)
    images = opened.test_images(experiment, report)
    tasks = [Task(arm, experiment.work, seed) for arm in experiment.arms for seed in range(experiment.work.seeds)]
    done: dict[int, Measured] = {}

    def alone(task: Task) -> Measured:
        return opened.run(task, report)

    for i, run in enumerate(map(alone, tasks)) if one_by_one else crew.runs(tasks, alone):
        done[i] = run
        of = f", seed {tasks[i].seed}" if experiment.work.seeds > 1 else ""
        tell(f"{experiment.form}: {tasks[i].arm.name}{of}: {run.value:.2f}{' (diverged)' * run.diverged}")
    seconds = round(time.monotonic() - begun, 1)
    if timed and experiment.work.costs and experiment.trained:
        from striate.reproduce.pace import step_ms

        names = {arm.recipe.data for arm in experiment.trained.values()}
        datasets = {name: opened.dataset(name, report) for name in names}
        took = step_ms(experiment.trained, experiment.work, datasets, machine)
        done = {i: replace(run, details=run.details | {"step_ms": took[tasks[i].arm.name]}) for i, run in done.items()}
    seeds = experiment.work.seeds
    outcomes = [
        Outcome(arm.name, tuple(done[n * seeds + seed] for seed in range(seeds)))
        for n, arm in enumerate(experiment.arms)
    ]
    return Result(
        experiment.name, experiment.quick, experiment.digest, date.today().isoformat(), machine.describe(), images,
        tuple(outcomes), seconds if timed else None, 1 if one_by_one else min(crew.together, len(tasks)),
    )  # fmt: skip
