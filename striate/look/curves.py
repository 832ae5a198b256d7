"""Loss and accuracy over the epochs of a run, as a picture."""

import csv
import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from striate import durable
from striate.errors import ArtefactError
from striate.run.folder import RESULTS

CURVES = "curves.png"
TRAIN, VAL, INK = "#8a8f98", "#1f6feb", "#24292f"
NEEDED = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "best")

Rows = list[dict[str, float | None]]


def read_results(run: Path) -> Rows:
    """Rows of results.csv; an empty cell is None.  Raises: ArtefactError."""
    try:
        with (run / RESULTS).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restkey="more than the header has", strict=True)
            rows = [{k: float(v) if v else None for k, v in row.items()} for row in reader]
            columns = reader.fieldnames or ()
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ArtefactError(f"{run / RESULTS}: can't be read ({error})") from error
    if missing := [name for name in NEEDED if name not in columns]:
        raise ArtefactError(f"{run / RESULTS}: has no column {missing[0]!r}; `striate train` did not write it")
    return rows


def curves(rows: Rows, title: str) -> Figure:
    """Two panels, loss (logarithmic) and accuracy, with the epoch of the chosen weights marked."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")  # without pyplot: no window, no global state
    left, right = figure.subplots(1, 2)
    best = max((row for row in rows if row["best"]), key=lambda row: row["epoch"] or 0, default=None)
    for axes, what in ((left, "loss"), (right, "accuracy")):
        _panel(axes, rows, what, best)
    if any(row[name] for row in rows for name in ("train_loss", "val_loss")):  # zero has no logarithm
        left.set_yscale("log")
    right.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.4g} %")
    if rows:
        right.legend(frameon=False, loc="lower right")
    figure.suptitle(title.replace("$", r"\$"), color=INK, fontsize=11)  # a dollar would begin a formula
    return figure


def draw_curves(run: Path) -> Path:
    """Write curves.png into a run."""
    figure = curves(read_results(run), run.resolve().name)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png", metadata={"Software": None})
    durable.write_bytes(run / CURVES, picture.getvalue())
    return run / CURVES


def _panel(axes: Axes, rows: Rows, what: str, best: dict[str, float | None] | None) -> None:
    for side, colour, width in (("train", TRAIN, 1.4), ("val", VAL, 2.0)):
        points = [(row["epoch"], row[f"{side}_{what}"]) for row in rows if row[f"{side}_{what}"] is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                linewidth=width,
                label=side,
                marker="o" if len(points) < 3 else "",
            )
    x, y = (best["epoch"], best[f"val_{what}"]) if best else (None, None)
    if x is not None and y is not None:
        axes.plot(x, y, "o", color=VAL, markersize=6, label="chosen")
    axes.set_xlabel("epoch")
    axes.set_title(what, loc="left", color=INK, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#d0d7de", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
