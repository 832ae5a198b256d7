"""The table of all networks, by year, and the fact sheet of one: plain text, or JSON."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from striate.errors import UnknownName, suggest
from striate.look.costs.quantities import by, columns, cut, folded, wrapped
from striate.models.cost import cost
from striate.models.registry import Entry, create_model, entry, list_models
from striate.models.shapes import without_numbers
from striate.models.sheets import Sheet, sheet

SHOWN = 6  # published weights on a fact sheet; --json has them all


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

    def text(self, width: int = 100) -> str:
        """Names, counts and input sizes under what their paper brought; as wide as it may be."""
        titles = ("name", "parameters", "MACs", "input", "outputs", "also called")
        cells = [
            (e.name, f"{parameters:,}", f"{macs:,}", by(e.input), str(e.classes), ", ".join(e.aliases))
            for e, parameters, macs in self.lines
        ]
        indent = " " * 6
        head, *table = (cut(line, width - 6) for line in columns([titles, *cells], "<>>>><"))
        text = [f"{indent}{head}"]
        pairs = zip(self.lines, table, strict=True)
        for (year, about, paper), family in groupby(pairs, key=lambda pair: _new(pair[0])):
            first, *more = wrapped(f"{about} [{paper}]", width, indent)
            text += ["", f"{year}  {first.strip()}", *more, *(f"{indent}{line}" for _, line in family)]
        return "\n".join(text)

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Facts:
    """The fact sheet of one network; `str()` is the text."""

    sheet: Sheet
    parameters: int
    macs: int

    def to_json(self) -> dict[str, Any]:
        return self.sheet.to_json() | {"parameters": self.parameters, "macs": self.macs}

    def text(self, width: int = 100) -> str:
        e, s = self.sheet.entry, self.sheet
        sizes = f"built for one size, at least {e.smallest} pixels" if e.fixed_size else f"from {e.smallest} pixels on"
        parts: list[tuple[str, list[str]]] = []
        for paper in s.papers:
            figures = [f"{what}: {value}" for what, value in paper.printed.items()]
            parts.append(("paper", [f"{paper.title}, {paper.number}", f"{paper.where}; {paper.checked}"]))
            parts.append(("printed there", figures))
        counted = f"{self.parameters:,} parameters, {self.macs:,} MACs"
        parts.append(("built here", [f"{counted}; images {by(e.input)}, {e.classes} outputs; {sizes}", s.file]))
        parts.append(("it differs", [s.differs]))
        parts.append(("others count", [_count(one.parameters, one.macs, one.by) for one in s.counts]))
        weights = [
            (w.publisher, f"{w.top1:.2f}", f"{w.top5:.2f}" if w.top5 else "", folded(w.tag, 24), w.data, w.protocol)
            for w in s.weights
        ]
        titles = ("publisher", "top-1, %", "top-5, %", "weights", "of", "tested on")
        table = columns([titles, *weights[:SHOWN]], "<>><<<") if weights else []
        more = [f"and {len(weights) - SHOWN} more: --json has them"] if len(weights) > SHOWN else []
        parts.append(("published", [*table, *more]))
        parts.append(("also called", [", ".join(e.aliases)]))
        parts.append(("next", [f"striate summary {e.name}", f"striate look diagram {e.name} -o {e.name}.svg"]))
        lines = [f"{s.title} ({e.name}), {e.year}", *wrapped(e.about, width)]
        for what, content in parts:
            body = [line for one in content if one for line in _fit(one, width - 15)]
            lines += ["", *(f"{what if i == 0 else '':<15}{line}" for i, line in enumerate(body))] if body else []
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def models_table(pattern: str = "*") -> Zoo:
    """What `list_models(pattern)` finds, with parameters and MACs at the paper's own input and number of outputs.

    Raises: UnknownName where nothing matches.
    """
    if not list_models(pattern):
        near = suggest(pattern.strip("*?"), list_models(), "`striate models` lists them all")
        raise UnknownName(f"no model matches {pattern!r}{near}")
    return Zoo(tuple((entry(name), *counted(name)) for name in list_models(pattern)))


def facts(name: str) -> Facts:
    """The fact sheet of a network, by its name or an alias.

    Raises: UnknownName, with the nearest names.
    """
    found = sheet(name)
    return Facts(found, *counted(found.entry.name))


def counted(name: str) -> tuple[int, int]:
    """Parameters and MACs at the paper's own size: from costs.json, or counted where somebody registered the model."""
    known = _stored().get(name)
    if known is None:
        with without_numbers():
            found = cost(create_model(name), entry(name).input)
        known = {"parameters": found.parameters, "macs": found.macs}
    return known["parameters"], known["macs"]


@cache
def _stored() -> dict[str, dict[str, int]]:
    stored: dict[str, dict[str, int]] = json.loads(
        files("striate.models").joinpath("costs.json").read_text(encoding="utf-8")
    )
    return stored


def _new(line: tuple[Entry, int, int]) -> tuple[int, str, str]:
    return line[0].year, line[0].about, line[0].paper


def _count(parameters: int, macs: int | None, names: tuple[str, ...]) -> str:
    operations = f", {macs:,} MACs" if macs else ""
    return f"{parameters:,} parameters{operations}: {', '.join(names)}"


def _fit(line: str, width: int) -> list[str]:
    """A line that is too wide, on several; what stands in columns is cut, not broken."""
    if len(line) <= width:
        return [line]
    return [cut(line, width)] if "  " in line else wrapped(line, width)
