"""What the words on a command line mean, and what is said after a command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.evaluation.card import Card


@dataclass(frozen=True)
class TrainingRequest:
    """Arguments of `striate.training.job.train`."""

    settings: dict[str, Any]
    out: Path | None


def training_request(data: str, model: str, changes: list[str], out: Path | None, resume: bool) -> TrainingRequest:
    """DATA may be a recipe file, or with --resume the folder of a run.  Raises: UsageError, RecipeError."""
    from striate.data.sources import NAMES
    from striate.run.folder import CONFIG, RECIPE
    from striate.training.recipe import parse, read_settings

    settings: dict[str, Any] = {}
    place = Path(data) if data else None
    if place and place.suffix == ".toml":
        settings = read_settings(place)
        if "claim" in settings:
            raise UsageError(f"{place} reproduces a claim, with seeds and arms; run it: striate reproduce {place.stem}")
        data = ""
    elif (
        place
        and (resume or data not in NAMES)  # a name stays a name, even beside a run that is called so
        and place.is_dir()
        and ((place / RECIPE).is_file() or (place / CONFIG).is_file())
    ):
        if not resume:
            raise UsageError(f"{place} is a run, not images; to go on with it: striate train {place} --resume")
        if out is not None:
            raise UsageError(f"{place} is the run to go on with; --out can't name another one")
        out, data = place, ""
    if resume and out is None:
        raise UsageError("--resume needs the run: striate train RUN --resume")
    settings |= parse(changes)
    for key, value in (("data", data), ("model", model)):
        if value:
            settings[key] = value
    if not resume and "data" not in settings:
        raise UsageError("what should be learnt? Name a data set or a folder: striate train digits --model lenet5")
    of_a_run = Path(str(settings.get("weights") or "none given")).is_dir()  # which says its model itself
    if not resume and "model" not in settings and not of_a_run:
        raise UsageError("which network? Add --model NAME, for example --model lenet5 (`striate models` lists them)")
    return TrainingRequest(settings, out)


def what_next(run: Path, *, evaluated: bool) -> str:
    """The commands that a user would type now."""
    first = (
        (f"open {run / 'card.html'}", "the evaluation card")
        if evaluated
        else (f"striate evaluate {run}", "accuracy, mistakes, calibration")
    )
    rows = [first, (f"striate predict {run} IMAGE...", "name what is in your own images")]
    wide = max(len(command) for command, _ in rows)
    lines = [f"\nThe run is in {run}. What next:", *(f"  {command:<{wide}}  {why}" for command, why in rows)]
    return "\n".join(lines)


def card_summary(card: "Card", folder: Path) -> str:
    """The headline, what to know before believing it, the worst confusions, other runs, and where the card is."""
    from striate.evaluation.job import PAGE

    cautions = [f"  {'!' if one.grave else '-'} {one.text}" for one in card.cautions]
    worst = [
        f"  {one.count} of {one.images} '{one.truth}' called '{one.predicted}'" for one in card.metrics.confusions()[:3]
    ]
    beside = [
        f"  {100 * one.paired.difference:+.1f} points against {one.name} (exact McNemar p = {one.paired.p:.2g})"
        for one in card.compared
    ]
    return "\n".join([card.headline, *cautions, *worst, *beside, f"The card is in {folder / PAGE}"])
