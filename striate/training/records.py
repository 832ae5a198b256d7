"""What a run writes of its epochs while it is trained: results.csv, timing.jsonl, TensorBoard's events."""

import csv
import io
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from striate import durable
from striate.errors import EnvironmentFault, MissingExtra
from striate.run.folder import RESULTS, TIMING
from striate.training.checkpoint import Progress
from striate.training.report import Timing

COLUMNS = (  # of results.csv
    "epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "best",
)  # fmt: skip


def write_results(folder: Path, progress: Progress) -> None:
    """results.csv as the progress has it; left alone where it says the same."""
    if not progress.rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: "" if v is None else repr(v) if isinstance(v, float) else v for k, v in row.items()}
        for row in progress.rows
    )
    path = folder / RESULTS
    if not path.is_file() or path.read_bytes() != text.getvalue().encode():
        durable.write_text(path, text.getvalue())


def log(folder: Path, timing: Timing) -> None:
    """Add an epoch to timing.jsonl: nothing depends on it; it is opened each time, for it may have been moved away."""
    path = folder / TIMING
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(timing)) + "\n")
    except OSError as error:
        raise EnvironmentFault(f"{path}: could not be written ({error.strerror or error})") from error


def summary_writer() -> Any:
    """TensorBoard's class.  Raises: MissingExtra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("TensorBoard is not installed; `pip install 'striate[tensorboard]'` brings it") from error
    return SummaryWriter


def tensorboard(folder: Path, stack: ExitStack) -> Any:
    """What writes a row of results.csv as TensorBoard events, until the stack is unwound."""
    writer = summary_writer()(str(folder / "tensorboard"))
    stack.callback(writer.close)

    def write(row: dict[str, Any]) -> None:
        for key, value in row.items():
            if value is not None and key not in ("epoch", "step", "best"):
                writer.add_scalar(key.replace("_", "/", 1), value, row["epoch"])

    return write
