"""All that a resume needs, in one file that is there whole or not at all.

    last/step-00001234.safetensors    tensors: model:*, average:*, optimiser:*; header: counters and rows

The two newest are kept. A damaged one is noticed by its SHA-256, named, and the one before it is used.
Random numbers need no state: they are keyed by (seed, epoch, sample) and (seed, step).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from striate import durable
from striate.errors import ArtefactError
from striate.run.packed import pack, unpack

FOLDER = "last"
KEEP = 2
NAME = re.compile(r"step-(\d+)\.safetensors")


@dataclass
class Progress:
    """Where training is. Whole numbers and floats, stored exactly."""

    step: int = 0  # updates done
    epoch: int = 0  # epochs done
    batch: int = 0  # batches done in the epoch that is under way
    seen: int = 0  # images of it
    right: int = 0  # of them classified right, as they were trained on
    loss_sum: float = 0.0  # of loss times images
    factor: float = 1.0  # what a plateau has left of the learning rate
    plateau_best: float | None = None  # lowest val loss so far
    plateau_waited: int = 0  # epochs since then
    best: dict[str, Any] | None = None  # row of the chosen weights
    waited: int = 0  # epochs since then
    finished: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)  # of results.csv
    receipt: dict[str, dict[str, Any]] = field(default_factory=dict)  # of what is frozen, see transfer/receipt.py


@dataclass(frozen=True)
class Found:
    """A checkpoint that was read, and what was wrong with newer ones."""

    path: Path
    progress: Progress
    tensors: dict[str, Tensor]
    damaged: tuple[str, ...]


def write(run: Path, progress: Progress, tensors: Mapping[str, Tensor], recipe_sha256: str) -> Path:
    """Add a checkpoint, then drop those that are older than the one before it."""
    folder = run / FOLDER
    durable.make_folder(folder)
    path = folder / f"step-{progress.step:08d}.safetensors"
    durable.write_bytes(path, pack(tensors, {"progress": asdict(progress), "recipe": recipe_sha256}))
    own = [file for step, file in stored(run) if step <= progress.step]
    for _, file in stored(run):  # newer ones are damaged, or they would have been resumed from
        if file not in own[-KEEP:]:
            file.unlink(missing_ok=True)
    return path


def stored(run: Path) -> list[tuple[int, Path]]:
    """Checkpoints that are there, whole or not, by step."""
    found = ((NAME.fullmatch(path.name), path) for path in (run / FOLDER).glob("step-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def newest(run: Path, recipe_sha256: str) -> Found | None:
    """The newest checkpoint that is whole, by step; None where there is none at all.

    Raises: ArtefactError where there are some and none is whole, or where it is of another recipe.
    """
    damaged: list[str] = []
    for _, path in reversed(stored(run)):
        try:
            tensors, header = unpack(path)
            known = {f.name for f in fields(Progress)}
            progress = Progress(**{k: v for k, v in header["progress"].items() if k in known})
        except (ArtefactError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"{path.name} is damaged ({error})")
            continue
        if header.get("recipe") != recipe_sha256:
            raise ArtefactError(f"{path}: of another recipe than {run}'s recipe.toml; it can't be resumed with it")
        return Found(path, progress, tensors, tuple(damaged))
    if damaged:
        raise ArtefactError(
            f"{run}: no checkpoint is whole: {'; '.join(damaged)}. To train from the beginning, remove {run / FOLDER}"
        )
    return None
