"""The layer table of a network, and the table of all networks: plain text in 100 columns, or JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from torch import nn

from striate.errors import UnknownName, UsageError, suggest
from striate.models.cost import CONVENTIONS, Cost, Row, cost
from striate.models.registry import Entry, create_model, entry, list_models
from striate.models.shapes import without_numbers
from striate.run.folder import CONFIG, Run


@dataclass(frozen=True)
class Summary:
    """A network and what each of its layers costs; `str()` is the table."""

    name: str
    about: str  # one line: year, paper; or the run it was read from
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "about": self.about, **self.cost.to_json()}

    def __str__(self) -> str:
        c = self.cost
        titles = ("layer", "kind", "output", "parameters", "MACs", "memory", "field")
        layers = _table([titles, *(_cells(row) for row in c.rows)], "<<<>>>>")
        frozen = f", {c.frozen:,} of them frozen" if c.frozen else ""
        totals = [
            ("parameters", f"{c.parameters:,}", f"{_size(c.weight_bytes)} with buffers{frozen}"),
            (
                "buffers",
                f"{c.buffers:,}",
                f"running statistics; Keras counts them, too: {c.keras_parameters:,} in total",
            ),
            ("MACs", f"{c.macs:,}", f"{_scaled(2 * c.macs)}FLOPs, where a multiply-add counts as two operations"),
            ("activations", f"{c.elements:,}", f"{_size(c.bytes)} for one image, if all are kept"),
        ]
        notes = [*(f"{name} did not run, its parameters count" for name in c.unused), *c.notes]
        return "\n".join(
            [
                f"{self.name} ({self.about}), image {_by(c.input)}",
                "",
                *layers,
                "",
                *_table(totals, "<><"),
                "",
                f"{CONVENTIONS[0].upper()}{CONVENTIONS[1:]}.",
                "Memory: of the values that a layer makes. Field 11/4: a value depends on a window of 11×11 pixels,",
                "padding included, and the next value's window is 4 pixels on; 11 alone: all positions are merged.",
                *(f"Note: {note}." for note in notes),
            ]
        )


@dataclass(frozen=True)
class Zoo:
    """Architectures and what they cost at the paper's own size; `str()` is the table, by year."""

    lines: tuple[tuple[Entry, int, int], ...]  # entry, parameters, MACs

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {
                "name": e.name,
                "aliases": e.aliases,
                "year": e.year,
                "paper": e.paper,
                "about": e.about,
                "input": e.input,
                "classes": e.classes,
                "smallest": e.smallest,
                "fixed_size": e.fixed_size,
                "parameters": parameters,
                "macs": macs,
            }
            for e, parameters, macs in self.lines
        ]

    def __str__(self) -> str:
        titles = ("name", "parameters", "MACs", "input", "outputs", "also called")
        cells = [
            (e.name, f"{parameters:,}", f"{macs:,}", _by(e.input), str(e.classes), ", ".join(e.aliases))
            for e, parameters, macs in self.lines
        ]
        head, *table = _table([titles, *cells], "<>>>><")
        text = [f"      {head}"]
        for (year, about), family in groupby(zip(self.lines, table, strict=True), key=lambda pair: _what(pair[0])):
            text += [f"{year}  {about}", *(f"      {line}" for _, line in family)]
        return "\n".join(text)


def summary(model: nn.Module | str, input_shape: tuple[int, int, int] | None = None) -> Summary:
    """The layer table of a network, given as a module or by its name, for images (C, H, W).

    A name alone is enough: the shape is then the paper's. A module is not touched.

    Raises: UnknownName; UsageError without a shape; ShapeError where the network can't take it.
    """
    if isinstance(model, str):
        known = entry(model)
        c, h, w = input_shape or known.input
        with without_numbers():
            built = create_model(known.name, in_chans=c, input_size=(h, w))
        return Summary(known.name, f"{known.year}, {known.paper}", cost(built, (c, h, w)))
    if input_shape is None:
        raise UsageError(f"input_shape is missing; expected (channels, height, width) for this {type(model).__name__}")
    return Summary(type(model).__name__, "a module", cost(model, input_shape))


def summarise(
    what: str, *, size: int | None = None, in_chans: int | None = None, num_classes: int | None = None
) -> Summary:
    """The layer table of an architecture or of a run folder; what is not given is the paper's, or the run's.

    Raises: UnknownName, UsageError, ShapeError; ArtefactError for a folder that is no run.
    """
    if os.sep in what or (Path(what) / CONFIG).is_file():
        run = Run(what)
        name, arguments = run.identity.spec.name, dict(run.identity.spec.arguments)
        c, (h, w), origin = run.preprocess.channels, run.preprocess.size, f"run {run.name}"
    else:
        known = entry(what)
        name, arguments, (c, h, w) = known.name, {}, known.input
        origin = f"{known.year}, {known.paper}"
    arguments |= {"num_classes": num_classes} if num_classes else {}
    arguments |= {"in_chans": in_chans} if in_chans else {}
    arguments |= {"input_size": (size, size)} if size else {}
    with without_numbers():
        model = create_model(name, **arguments)
    h, w = (size, size) if size else (h, w)
    return Summary(name, origin, cost(model, (in_chans or c, h, w)))


def models_table(pattern: str = "*") -> Zoo:
    """What `list_models(pattern)` finds, with parameters and MACs at the paper's own input and number of outputs.

    Raises: UnknownName where nothing matches.
    """
    if not list_models(pattern):
        near = suggest(pattern.strip("*?"), list_models(), "`striate models` lists them all")
        raise UnknownName(f"no model matches {pattern!r}{near}")
    stored = json.loads(files("striate.models").joinpath("costs.json").read_text(encoding="utf-8"))
    lines = []
    for name in list_models(pattern):
        known = stored.get(name) or _counted(name)
        lines.append((entry(name), known["parameters"], known["macs"]))
    return Zoo(tuple(lines))


def _counted(name: str) -> dict[str, int]:
    """For a model that is not in costs.json: one that somebody else registered."""
    with without_numbers():
        found = cost(create_model(name), entry(name).input)
    return {"parameters": found.parameters, "macs": found.macs}


def _what(line: tuple[Entry, int, int]) -> tuple[int, str]:
    return line[0].year, line[0].about


def _cells(row: Row) -> tuple[str, ...]:
    weights = row.trainable + row.frozen
    field = "?"
    if row.field:
        field = _sides(row.field.size) + ("" if row.field.merged else f"/{_sides(row.field.jump)}")
    return (
        row.name or "(the model)",
        row.kind,
        _by(row.output),
        f"{weights:,}" if weights else "",
        f"{row.macs:,}" if row.macs else "",
        _size(row.bytes) if row.bytes else "",
        field,
    )


def _table(lines: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of cells, one below the other: each column as wide as its widest cell, to the left (<) or right (>)."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    pattern = "  ".join(f"{{:{side}{width}}}" for side, width in zip(align, widths, strict=True))
    return [pattern.format(*line).rstrip() for line in lines]


def _by(sides: Sequence[int]) -> str:
    return "×".join(map(str, sides))


def _sides(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _by(pair)


def _size(count: int) -> str:
    """Bytes, readable.

    >>> _size(512), _size(18_816), _size(102_441_088)
    ('512 B', '18.8 kB', '102.4 MB')
    """
    return f"{_scaled(count)}B"


def _scaled(count: int) -> str:
    """A number before its unit, with the decimal prefix of it."""
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {prefix}"
    return f"{count} "
