"""The data of a training, opened again with the splits that it had; or others."""

from collections.abc import Callable
from pathlib import Path

from striate.data.dataset import Dataset
from striate.data.screen import Screened, screen
from striate.data.sources import located, open_dataset, open_for_evaluation, place_again
from striate.errors import DatasetError, UnknownName, UsageError
from striate.evaluation.facts import Opened, called, recipe_of
from striate.run.folder import Run

Progress = Callable[[str, int, int], None]  # what is done, images done, images in all


def open_for_run(
    run: Run, data: str | Path | None, split: str | None, data_dir: Path | None, download: bool, tell: Progress
) -> Opened:
    """The data as the training opened them, where they are those; else the split that is asked for, as a whole.

    Raises: UsageError where the run does not say what it was trained on, and nothing is given; as `open_dataset`.
    """
    opened = open_as_trained(run, data, data_dir, download, tell)
    if opened is not None:
        return opened
    data_dir = place_again(str(data), data_dir, run.config.get("data", {}).get("found_in"))
    other = open_for_evaluation(str(data), run.classes, role=split or "test", data_dir=data_dir, download=download,
                                background=run.preprocess.background)  # fmt: skip
    return Opened(screened(other, tell), str(data), called(str(data)), False, None)


def open_as_trained(
    run: Run, data: str | Path | None, data_dir: Path | None, download: bool, tell: Progress
) -> Opened | None:
    """The data as the training opened them, by its own rule; None where `data` are others.

    Raises: as `open_for_run`.
    """
    recipe = recipe_of(run)
    trained_on = recipe.get("data")
    source = str(trained_on if data is None else data)
    if data is None and not trained_on:
        raise UsageError(
            f"{run.folder} does not say what it was trained on; name the data: striate evaluate {run.folder} DATA"
        )

    data_dir = place_again(source, data_dir, run.config.get("data", {}).get("found_in"))
    named = source == str(trained_on) or _same_place(source, trained_on)
    background = run.preprocess.background
    try:
        dataset = open_dataset(
            source,
            data_dir=data_dir,
            download=download,
            val_share=float(recipe.get("val_share", 0.1)),
            group_by=recipe.get("group_by") or None,
            seed=int(recipe.get("seed", 0)),
            background=background,
        )
    except (DatasetError, UnknownName) as error:
        if data is None:
            hint = f"if it lies elsewhere now, say where: striate evaluate {run.folder} DATA"
            raise type(error)(f"{error}. The run was trained on it; {hint}") from error
        if named:
            raise
    else:
        # a copy under another name is still what the network was trained on: taken as a whole, it would be
        # evaluated on its own training images
        if named or _as_many(run, dataset):
            found = screened(dataset, tell)
            same = found.fingerprint.sha256 == run.config.get("data", {}).get("sha256")
            if named or same:
                return Opened(found, source, called(source), True, same)
    return None


def screened(dataset: Dataset, tell: Progress) -> Screened:
    """The data set without what can't be read."""
    return screen(dataset, workers=2, progress=lambda done, of: tell("reading images", done, of))


def _same_place(source: str, other: str | None) -> bool:
    if other is None or not (Path(source).exists() and Path(other).exists()):
        return located(source) == other
    return Path(source).samefile(other)


def _as_many(run: Run, dataset: Dataset) -> bool:
    """Whether there are as many images as in training: cheap to know, and without it the contents can't be the same."""
    stored = run.config.get("data", {})
    seen = sum(sum(counts.values()) for counts in stored.get("counts", {}).values())
    there = sum(len(split) for split in dataset.splits.values())
    return bool(seen + len(stored.get("quarantined", ())) == there)
