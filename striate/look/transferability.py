"""The curve of a transferability study: accuracy by how many layers come from another task."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from striate import durable
from striate.look.curves import INK, TRAIN, VAL

Curve = Sequence[Sequence[float]]  # for each place the accuracies of its seeds


def transfer_curve(places: Sequence[str], nothing: Sequence[float], frozen: Curve, tuned: Curve, title: str) -> Figure:
    """Means over the seeds, each seed as a dot; `nothing` is the line that transfer has to beat.

    Source: Yosinski et al. 2014, arXiv:1411.1792, figure 2.
    """
    figure = Figure(figsize=(max(5.0, 1.6 + 0.9 * len(places)), 3.6), layout="constrained")
    axes = figure.subplots()
    base = sum(nothing) / len(nothing)
    axes.axhline(base, color=TRAIN, linewidth=1.4, linestyle="--", label="from nothing")
    for label, colour, mark, values in (
        ("first layers taken and frozen", VAL, "o", frozen),
        ("first layers taken, then trained further", "#d1242f", "s", tuned),
    ):
        axes.plot([sum(v) / len(v) for v in values], color=colour, marker=mark, markersize=5, linewidth=2, label=label)
        for i, seeds in enumerate(values):
            axes.plot([i] * len(seeds), seeds, ".", color=colour, alpha=0.4, markersize=5)
    axes.set_xticks(range(len(places)), places, rotation=30 if len(places) > 5 else 0)
    axes.set_xlabel("last step that comes from the other task")
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.4g} %")
    axes.grid(axis="y", color="#d0d7de", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title(title.replace("$", r"\$"), loc="left", color=INK, fontsize=10)
    return figure


def draw_transfer_curve(figure: Figure, path: Path) -> Path:
    """Write the curve as a PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png", metadata={"Software": None})
    durable.write_bytes(path, picture.getvalue())
    return path
