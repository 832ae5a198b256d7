"""What is known about a run and the data it is evaluated on, for the card. No place of the user's machine is named."""

import csv
import json
import platform
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate import __version__
from striate.data import sources
from striate.data.dataset import ROLES, Dataset
from striate.data.screen import Screened
from striate.errors import ArtefactError
from striate.evaluation.card import Facts, Quarantined
from striate.models.cost import cost
from striate.run.folder import MODEL, RECIPE, RESULTS, TIMING, Run, read_about


@dataclass(frozen=True, eq=False)
class Opened:
    """Data that were screened, and how they relate to those of the training run."""

    screened: Screened
    source: str  # as the user wrote it
    name: str
    is_training_data: bool  # opened by the run's own rule, so its splits are those of the training
    same: bool | None  # whether the contents are those of the training run, too; None: other data


def gather(run: Run, module: nn.Module, opened: Opened, dataset: Dataset, role: str) -> Facts:
    """The facts of an evaluation of `role`; `dataset` has its classes in the run's order."""
    about = read_about(run.folder / MODEL)
    chosen = "val" if opened.is_training_data and about.get("val_accuracy") is not None else None
    places = [Path(opened.source), run.folder, Path.cwd()]
    stored = run.config.get("data", {})
    return Facts(
        run=run.name,
        model=run.identity.spec.name,
        data=opened.name,
        trained_on=str(stored.get("name", "")),
        counts={role: _counts(dataset, role) for role in ROLES if role in dataset.splits},
        preprocess=run.preprocess.describe(),
        chosen_on=chosen,
        chosen_how=_chosen_how(run, about),
        same_data=opened.same,
        seen_in_training=_copies(opened.screened, role) if opened.is_training_data else None,
        fingerprint=opened.screened.fingerprint.sha256,
        quarantined=tuple(
            Quarantined(q.key, q.role, without_places(q.reason, places)) for q in opened.screened.quarantined
        ),
        notes=tuple(without_places(note, places) for note in dataset.notes),
        recipe={key: called(value) if key == "data" else value for key, value in recipe_of(run).items()},
        cost=_cost(run, module),
        environment=_environment(run, module),
        made=datetime.now(UTC).date().isoformat(),
    )


def _counts(dataset: Dataset, role: str) -> dict[str, int]:
    return dict(zip(dataset.classes, dataset.counts(role).tolist(), strict=True))


def _copies(screened: Screened, role: str) -> int | None:
    """Images of the split whose stored content is also that of a training image."""
    records = screened.records
    if "train" not in records or role == "train":
        return None
    known = {record.digest for record in records["train"] if record.reason is None}
    return sum(record.digest in known for record in records[role] if record.reason is None)


def _cost(run: Run, module: nn.Module) -> dict[str, Any]:
    size = (run.preprocess.channels, *run.preprocess.size)
    whole = cost(module, size)
    found: dict[str, Any] = {
        "input": list(size), "parameters": whole.parameters, "macs": whole.macs, "weight_bytes": whole.weight_bytes,
        "activation_bytes": whole.bytes,
    }  # fmt: skip
    timing = _timing(run)
    if timing:
        found["training_s"] = sum(t["seconds"] + t["val_seconds"] for t in timing)
        found["training_images_per_s"] = sum(t["images"] for t in timing) / max(1e-9, sum(t["seconds"] for t in timing))
    return found


def _environment(run: Run, module: nn.Module) -> dict[str, str]:
    device = next(module.parameters()).device
    here = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    )
    found = {
        "Striate": __version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "Evaluated on": here,
    }
    machine = run.config.get("machine", {})
    if isinstance(machine, Mapping) and machine.get("name"):
        found["Trained on"] = (
            f"{machine['name']}, {machine.get('threads', '?')} threads, torch {machine.get('torch', '?')}"
        )
    return found


def _chosen_how(run: Run, about: Mapping[str, Any]) -> str:
    if "epoch" not in about:
        return ""
    epochs = len(results_of(run))
    return (
        f"epoch {about['epoch']}"
        + (f" of {epochs}" if epochs else "")
        + (f", {about['rule']}" if about.get("rule") else "")
    )


def recipe_of(run: Run) -> dict[str, Any]:
    """Every setting of the run; empty where it has no recipe (weights from elsewhere)."""
    path = run.folder / RECIPE
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArtefactError(f"{path}: can't be read ({error})") from error


def results_of(run: Run) -> list[dict[str, float | None]]:
    """The rows of results.csv, empty cells as None; none where there is no such file."""
    path = run.folder / RESULTS
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ArtefactError(f"{path}: not what `striate train` writes ({error})") from error


def _timing(run: Run) -> list[dict[str, float]]:
    """How long each epoch took; none where it was not recorded, or a line is cut off."""
    path = run.folder / TIMING
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            rows.append({key: float(row[key]) for key in ("seconds", "val_seconds", "images")})
        except (ValueError, KeyError, TypeError):
            return []  # an estimate from half a record would be worse than none
    return rows


def called(source: Any) -> str:
    """The name of data: that of the data set, or of the folder or list."""
    path = Path(str(source))
    return path.resolve().name if path.exists() else sources.called(str(source))


def differences(run: Run, other: Run) -> tuple[tuple[str, str, str], ...]:
    """What sets two runs apart: settings, preprocessing, data."""
    here, there = recipe_of(run), recipe_of(other)
    found = [
        (key, _plain(here.get(key)), _plain(there.get(key)))
        for key in {**here, **there}
        if here.get(key) != there.get(key) and key != "data"
    ]
    if run.preprocess != other.preprocess:
        found.append(("preprocessing", run.preprocess.describe(), other.preprocess.describe()))
    data = [str(one.config.get("data", {}).get("sha256", ""))[:12] for one in (run, other)]
    if data[0] != data[1]:
        found.append(("training data", data[0], data[1]))
    return tuple(found)


def without_places(text: str, places: Sequence[Path]) -> str:
    """Text in which files are named from where the user's data begin, not from the root of the machine.

    >>> without_places("/home/ada/pets/cat/1.jpg is cut off; read from /mnt/data", [Path("/home/ada/pets")])
    'cat/1.jpg is cut off; read from data'
    """
    for place in sorted(
        {str(place.resolve()) for place in places} | {str(place) for place in places if place.is_absolute()},
        key=len,
        reverse=True,
    ):
        if len(place) > 1:
            text = text.replace(f"{place}/", "").replace(place, Path(place).name)
    return re.sub(r"(?<![\w.:/-])/(?:[^\s/:;,'\"]+/)*([^\s/:;,'\"]+)", r"\1", text)


def _plain(value: Any) -> str:
    return "none" if value in (None, "") else str(value)
