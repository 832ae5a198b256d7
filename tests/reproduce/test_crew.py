"""Runs side by side give the numbers of runs one after the other."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from striate.errors import DatasetError
from striate.reproduce.carry_out import carry_out, hired
from striate.reproduce.crew import Crew, Watching
from striate.reproduce.experiment import Experiment
from striate.reproduce.reading import open_experiment
from striate.reproduce.result import Measured
from striate.reproduce.runs import Means, Opened, Task
from striate.training.machine import survey
from striate.training.report import Report


def tasks(experiment: Experiment) -> list[Task]:
    return [Task(arm, experiment.work, seed) for arm in experiment.arms for seed in range(experiment.work.seeds)]


def test_one_after_the_other_starts_no_process(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    with Crew(1, 1, Means()) as crew:
        found = dict(crew.runs(tasks(experiment), lambda task: Measured(float(task.seed))))
        assert crew._members == {}
    assert [found[i].value for i in range(4)] == [0.0, 1.0, 0.0, 1.0]


def test_as_many_runs_go_side_by_side_as_cores_suffice_for() -> None:
    for threads, wanted in ((1, len(os.sched_getaffinity(0))), (64, 1)):
        with hired(Means(threads=threads)) as crew:
            assert (crew.threads, crew.together) == (threads, wanted)


def test_a_process_whose_parent_is_gone_ends() -> None:
    Watching(os.getppid()).prepare("photographs", 1, 2)
    with pytest.raises(SystemExit):
        Watching(os.getppid() + 1).prepare("photographs", 1, 2)


@pytest.mark.slow
def test_side_by_side_gives_the_same_numbers_whoever_dies(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    with hired(Means(threads=1, workers=0, together=1)) as crew:
        alone = carry_out(experiment, crew)
    with hired(Means(threads=1, together=2)) as crew:
        beside = carry_out(experiment, crew)
        again = carry_out(experiment, crew)
        processes = list(crew._members.values())
        assert len(processes) == 2
        assert processes[0].pid is not None
        os.kill(processes[0].pid, signal.SIGKILL)
        broken = carry_out(experiment, crew)
    assert not any(process.is_alive() for process in processes)
    assert replace(beside, together=1) == alone
    assert beside == again == broken


@pytest.mark.slow
def test_an_error_in_another_process_is_raised_here(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    asked = [replace(task, work=task.work.model_copy(update={"test_images": 9_999})) for task in tasks(experiment)]
    opened = Opened(Means(threads=1, workers=0), survey(1))
    with (
        Crew(2, 1, opened.means) as crew,
        pytest.raises(DatasetError, match="asks for 9,999 images; there are 360"),
    ):
        dict(crew.runs(asked, lambda task: opened.run(task, Report())))
