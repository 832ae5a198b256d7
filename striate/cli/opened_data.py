"""The data that the commands over whole sets are given: with the splits of the training where it is a run's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.data.dataset import Dataset, Split
    from striate.data.preprocess import Preprocess
    from striate.evaluation.opening import Progress

ROLES = ("train", "val", "test")
Data = Annotated[str, typer.Argument(metavar="DATA", help="Data set, folder or list; a run knows its own.")]
SplitName = Annotated[str, typer.Option("--split", help="train, val or test; by default test, else val.")]
DataDir = Annotated[Path | None, typer.Option(help="Where named data sets lie.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")]


class Part(NamedTuple):
    """A split of a data set, without what can't be read."""

    dataset: "Dataset"
    role: str
    split: "Split"
    title: str


def open_split(
    model: str, weights: str | None, data: str, preprocess: "Preprocess", *, split: str, data_dir: Path | None,
    download: bool, tell: "Progress",
) -> Part:  # fmt: skip
    """The split to look at: of a run's own data as in the training; of others, a folder that nobody divided as a whole.

    Classes are those of the data, which the network need not know.
    """
    from striate.data.sources import NAMES, look, open_dataset, open_for_evaluation
    from striate.evaluation.opening import open_as_trained, screened
    from striate.run.folder import Run

    if split and split not in ROLES:
        raise UsageError(f"no split is called {split!r}; they are {', '.join(ROLES)}")
    opened = open_as_trained(Run(Path(model)), data or None, data_dir, download, tell) if weights is None else None
    if opened is not None:
        dataset = opened.screened.dataset
    else:
        if not data:
            raise UsageError(f"which images? Name a data set, a folder or a list after {model}")
        background = preprocess.background
        if data in NAMES:
            dataset = open_dataset(data, data_dir=data_dir, download=download, background=background)
        else:
            dataset = open_for_evaluation(
                data, look(data, download=download).classes, role=split or "test", background=background,
                download=download,
            )  # fmt: skip
            for note in dataset.notes:
                typer.echo(f"note: {note}", err=True)
        dataset = screened(dataset, tell).dataset
    role = split or next(role for role in ("test", "val", "train") if role in dataset.splits)
    return Part(dataset, role, dataset.split(role), f"{dataset.name}, {role}")


def open_splits(
    model: str, weights: str | None, data: str, preprocess: "Preprocess", *, data_dir: Path | None, download: bool,
    tell: "Progress",
) -> "Dataset":  # fmt: skip
    """All splits: those of the training where it is a run's data, else as a training would set them apart."""
    from striate.data.sources import open_dataset
    from striate.evaluation.opening import open_as_trained, screened
    from striate.run.folder import Run

    opened = open_as_trained(Run(Path(model)), data or None, data_dir, download, tell) if weights is None else None
    if opened is not None:
        return opened.screened.dataset
    if not data:
        raise UsageError(f"which images? Name a data set, a folder or a list after {model}")
    dataset = open_dataset(data, data_dir=data_dir, download=download, background=preprocess.background)
    return screened(dataset, tell).dataset
