"""What the words on a command line mean, and what is said after a command."""

import json
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
    from striate.run.folder import CONFIG, RECIPE
    from striate.training.recipe import parse, read_settings

    settings: dict[str, Any] = {}
    place = Path(data) if data else None
    if place and place.suffix == ".toml":
        settings = read_settings(place)
        data = ""
    elif place and place.is_dir() and ((place / RECIPE).is_file() or (place / CONFIG).is_file()):
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
    if not resume and "model" not in settings:
        raise UsageError("which network? Add --model NAME, for example --model lenet5 (`striate models` lists them)")
    return TrainingRequest(settings, out)


def what_next(run: Path, *, evaluated: bool) -> str:
    """The commands that a user would type now."""
    lines = [f"\nThe run is in {run}. What next:"]
    if evaluated:
        lines.append(f"  open {run}/card.html                   the evaluation card")
    else:
        lines.append(f"  striate evaluate {run}                  accuracy, mistakes, calibration")
    lines.append(f"  striate predict {run} IMAGE...          name what is in your own images")
    return "\n".join(lines)


def card_summary(card: "Card", folder: Path, *, as_json: bool) -> str:
    """The headline, its cautions, and where the rest is; or card.json."""
    if as_json:
        return json.dumps(card.to_json(), indent=2, ensure_ascii=False)
    cautions = [f"  {'caution' if caution.grave else 'note'}: {caution.text}" for caution in card.cautions]
    return "\n".join([card.headline, *cautions, f"The whole card: {folder}/card.html"])
