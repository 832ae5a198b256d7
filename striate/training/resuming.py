"""Whether a run that was stopped can go on: the same settings, the same images, the weights that it kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.data.augment import Augment
from striate.data.screen import Screened
from striate.errors import ArtefactError, DatasetError, UsageError
from striate.models.registry import entry
from striate.run.folder import CONFIG, MODEL, RECIPE, Run, read_about
from striate.training.checkpoint import Progress
from striate.training.options import Options
from striate.training.recipe import Recipe
from striate.training.transfer import source as sources


def check_settings(folder: Path, recipe: Recipe, asked: Mapping[str, Any]) -> None:
    """Compare what is asked for now with the recipe of the run.  Raises: UsageError where it differs."""
    wanted = Recipe.make(recipe.model_dump() | dict(asked), str(folder / RECIPE))
    for key in asked.keys() - {"data"}:  # images are compared by their content
        before, now = getattr(recipe, key), getattr(wanted, key)
        same = now in (before, "auto") or (key == "size" and now == 0)
        if key == "model":
            same = entry(now).name == before
        if key == "weights":
            same = sources.located(now) == before
        if key == "augment" and not same:
            same = str(Augment.parse(now)) == before
        if not same:
            raise UsageError(
                f"{folder} was started with {key} = {before!r}, not {now!r}; --resume goes on with the run's own recipe"
            )


def recorded(run: Run, key: str, names: set[str]) -> dict[str, Any]:
    """A table in config.json that training wrote.  Raises: ArtefactError where it is not there."""
    table = run.config.get(key)
    if not isinstance(table, dict) or not names <= table.keys():
        raise ArtefactError(f"{run.folder / CONFIG}: expected a table {key!r} with {', '.join(sorted(names))}")
    return table


def same_data(folder: Path, run: Run, screened: Screened, options: Options) -> bool:
    """Whether the images are those of the run.  Raises: DatasetError where they are not, and it is not allowed."""
    stored = recorded(run, "data", {"sha256", "counts"})
    if screened.dataset.classes != run.classes:
        gone = sorted(set(run.classes) - set(screened.dataset.classes))
        new = sorted(set(screened.dataset.classes) - set(run.classes))
        raise DatasetError(
            f"{folder}: the classes have changed since the run began: gone {gone or 'none'}, new {new or 'none'}"
        )
    same = bool(screened.fingerprint.sha256 == stored["sha256"])
    if not same and not options.allow_changed_data:
        counts = sum(sum(each.values()) for each in stored["counts"].values())
        raise DatasetError(
            f"{folder}: the images are not those the run began with (then {counts}, now {screened.fingerprint.images}; "
            "contents, names or splits differ); --allow-changed-data goes on all the same"
        )
    return same


def chosen_later(folder: Path, progress: Progress) -> bool:
    """Whether the weights that were kept are of an epoch that the checkpoint has not seen, or never will in this form.

    A run that goes on to the same bytes chooses them again. One whose images or machine have changed may not, and
    would name one epoch as its best and hold another's weights.
    """
    about = read_about(folder / MODEL) if (folder / MODEL).is_file() else {}
    return progress.best is not None and about.get("epoch") != progress.best["epoch"]
