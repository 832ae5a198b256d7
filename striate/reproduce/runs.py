"""One run of an arm, wherever it is carried out: what it needs is opened once and kept."""

from dataclasses import dataclass, field
from pathlib import Path

from striate.data.dataset import Dataset
from striate.data.sources import open_dataset
from striate.errors import DatasetError
from striate.reproduce.experiment import Arm, Experiment, Published, Trained, Transferred, Work
from striate.reproduce.fastest.way import Way
from striate.reproduce.result import Measured
from striate.training.machine import Machine
from striate.training.report import Report


@dataclass(frozen=True)
class Means:
    """Where things are, and how much of the machine may be used."""

    data_dir: Path | None = None  # where named data sets lie
    material: Path | None = None  # published weights and photographs
    download: bool = False
    workers: int | None = None  # threads that prepare batches; None: none where runs go side by side
    threads: int | None = None  # of a run's arithmetic; None: one
    together: int | None = None  # runs side by side; None: as many as the cores suffice for, on a GPU one


@dataclass(frozen=True)
class Task:
    """One run: an arm with a seed."""

    arm: Arm
    work: Work
    seed: int


@dataclass
class Opened:
    """The material of runs on a machine; the data set that was used last stays open."""

    means: Means
    machine: Machine
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def dataset(self, name: str, report: Report) -> Dataset:
        """Raises: DatasetError where it is not there."""
        if name not in self.datasets:
            self.datasets = {
                name: open_dataset(
                    name, data_dir=self.means.data_dir, download=self.means.download, val_share=0.0,
                    progress=lambda file, done, of: report.prepare(f"downloading {file}", done, of),
                )
            }  # fmt: skip
        return self.datasets[name]

    def test_images(self, experiment: Experiment, report: Report) -> int:
        """How many images the runs are tested on; what they need is there then.  Raises: DatasetError."""
        asked = experiment.work.test_images
        match experiment.arms[0].does:
            case Trained(recipe):
                return asked or len(self.dataset(recipe.data, report).split("test"))
            case Way(data=data):
                return len(self.dataset(data, report).split("test"))
            case Published():
                from striate.reproduce.published import photographs

                return len(photographs(self._material(experiment.form), asked)[1])
            case Transferred() as arm:
                from striate.reproduce.transferred import tested_on

                return tested_on(self._material(experiment.form), arm)

    def run(self, task: Task, report: Report) -> Measured:
        """Raises: DatasetError; ArtefactError for weights that are damaged; Interrupted after a signal."""
        name, seed, workers = task.arm.name, task.seed, self.means.workers
        match task.arm.does:
            case Trained() as arm:
                from striate.reproduce.trained import train_once

                dataset = self.dataset(arm.recipe.data, report)
                return train_once(arm, task.work, dataset, seed, self.machine, workers, report)
            case Way() as way:
                from striate.reproduce.fastest.run import run_once

                return run_once(way, self.dataset(way.data, report), seed, self.machine, report)
            case Published() as arm:
                from striate.reproduce.published import measure

                return measure(arm, self._material(name), report.prepare, task.work.test_images)
            case Transferred() as arm:
                from striate.reproduce import transferred

                return transferred.run_once(arm, self._material(name), seed, workers, self.machine.threads, report)

    def _material(self, of: str) -> Path:
        if self.means.material is None:
            raise DatasetError(f"{of} needs published weights and photographs; --material names their folder")
        return self.means.material
