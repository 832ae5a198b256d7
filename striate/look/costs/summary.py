"""What a network costs, layer by layer: as text, as JSON, as a page, and in a notebook."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from striate.errors import UsageError
from striate.look.costs import layer_table
from striate.look.costs.layer_table import Line
from striate.look.costs.passed import Passed, passed
from striate.look.costs.quantities import brief, by, columns, scaled, size, wrapped
from striate.models.cost import CONVENTIONS, Cost, cost, cost_of_skeleton
from striate.models.memory import Memory
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
from striate.run.folder import CONFIG, Run

OPTIMIZERS = {"sgd": "SGD with momentum", "rmsprop": "RMSProp", "adam": "Adam", "adamw": "AdamW"}


@dataclass(frozen=True)
class Need:
    """Memory for a batch: of a training step, and of a prediction."""

    batch: int
    optimizer: str
    training: Memory
    prediction: Memory

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "optimizer": self.optimizer,
            "training": self.training.to_json(),
            "prediction": self.prediction.to_json(),
        }


@dataclass(frozen=True)
class Summary:
    """A network and what each of its layers costs; `str()` is the table, a notebook shows the page."""

    name: str
    about: str  # one line: year, paper; or the run it was read from
    cost: Cost
    need: Need | None = field(default=None, compare=False)  # where a batch was given

    @cached_property
    def passed(self) -> Passed:
        """Shapes of blocks, and what waits for the backward pass."""
        return passed(self.cost.skeleton, self.cost.input)

    @property
    def kept(self) -> int:
        """Bytes that a training step keeps of one image until the backward pass."""
        return sum(self.passed.kept.values())

    def lines(self, *, depth: int | None = None, every: bool = False) -> list[Line]:
        """The table's lines; see `striate.look.costs.layer_table`."""
        return layer_table.lines(self.cost, self.passed, depth=depth, every=every)

    def text(self, *, width: int = 100, depth: int | None = None, every: bool = False) -> str:
        """The table in `width` columns. `depth` folds blocks; `every` layer has its line only if asked for."""
        found = self.lines(depth=depth, every=every)
        folds = any(line.layers > 1 for line in found)
        how = "--every shows each layer" if depth is None else "folded by --depth"
        rows = len(self.cost.rows)
        title = f"{self.name} ({self.about}), image {by(self.cost.input)}"
        notes = [*(f"{name} did not run, its parameters count" for name in self.cost.unused), *self.cost.notes]
        notes += self.passed.notes
        legend = (
            f"{CONVENTIONS[0].upper()}{CONVENTIONS[1:]}. Memory: of the values that a layer makes. Kept: what it adds "
            "to that which a training step keeps until the backward pass. Field 11/4: a value depends on a window of "
            "11×11 pixels, padding included, and the next value's window is 4 pixels on; 11 alone: all positions are "
            "merged."
        )
        return "\n".join(
            [
                *wrapped(title, width),
                "",
                *layer_table.text(found, width),
                *(wrapped(f"{rows} layers in {len(found)} lines; {how}.", width) if folds else []),
                "",
                *self._totals(width),
                *(["", *_memory(self.need, width)] if self.need else []),
                "",
                *wrapped(legend, width),
                *(line for note in notes for line in wrapped(f"Note: {note}.", width)),
            ]
        )

    def to_json(self) -> dict[str, Any]:
        found = self.cost.to_json()
        rows = [row | {"kept": self.passed.kept.get(row["name"], 0)} for row in found["rows"]]
        return {
            "name": self.name,
            "about": self.about,
            **found,
            "rows": rows,
            "totals": found["totals"] | {"flops": 2 * self.cost.macs, "kept": self.kept},
            "memory": self.need.to_json() if self.need else None,
        }

    def html(self) -> str:
        """One self-contained page, with a drawing of the network."""
        from striate.look.costs.summary_page import page
        from striate.look.diagrams.diagram import diagram
        from striate.look.markup import Markup, tag

        return page(self, tag("figure", Markup(diagram(self).svg())))

    def _repr_html_(self) -> str:
        from striate.look.costs.summary_page import fragment

        return fragment(self)

    def __str__(self) -> str:
        return self.text()

    def _totals(self, width: int) -> list[str]:
        c = self.cost
        frozen, keras = f", {c.frozen:,} of them frozen" if c.frozen else "", f"{c.keras_parameters:,}"
        totals = [
            ("parameters", f"{c.parameters:,}", f"{size(c.weight_bytes)} with buffers{frozen}"),
            ("buffers", f"{c.buffers:,}", f"running statistics; Keras counts them, too: {keras} in total"),
            ("MACs", f"{c.macs:,}", f"{scaled(2 * c.macs)}FLOPs, where a multiply-add counts as two operations"),
            ("activations", f"{c.elements:,}", f"{size(c.bytes)} for one image, if all are kept"),
            ("backward", "", f"{size(self.kept)} for one image wait for the backward pass of a training step"),
        ]
        return _told(totals, width)


def summary(
    model: nn.Module | str,
    input_shape: tuple[int, int, int] | None = None,
    *,
    batch: int | None = None,
    optimizer: str = "sgd",
) -> Summary:
    """The layer table of a network, given as a module or by its name, for images (C, H, W).

    A name alone is enough: the shape is then the paper's. A module is not touched. With a `batch`, also the memory
    that a training step and a prediction need.

    Raises: UnknownName; UsageError without a shape; ShapeError where the network can't take it.
    """
    if isinstance(model, str):
        known = entry(model)
        c, h, w = input_shape or known.input
        with without_numbers():
            built = create_model(known.name, in_chans=c, input_size=(h, w))
        return _summary(
            known.name, f"{known.year}, {known.paper}", cost_of_skeleton(built, (c, h, w)), batch, optimizer
        )
    if input_shape is None:
        raise UsageError(f"input_shape is missing; expected (channels, height, width) for this {type(model).__name__}")
    return _summary(type(model).__name__, "a module", cost(model, input_shape), batch, optimizer)


def summarise(
    what: str,
    *,
    size: int | None = None,
    in_chans: int | None = None,
    num_classes: int | None = None,
    batch: int | None = None,
    optimizer: str = "sgd",
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
    return _summary(name, origin, cost_of_skeleton(model, (in_chans or c, h, w)), batch, optimizer)


def _summary(name: str, about: str, found: Cost, batch: int | None, optimizer: str) -> Summary:
    if batch is None:
        return Summary(name, about, found)
    try:
        training, prediction = (found.memory(batch, training=learns, optimizer=optimizer) for learns in (True, False))
    except ValueError as error:  # a norm that wants several images
        raise UsageError(f"{name} can't be trained on a batch of {batch}: {error}") from error
    return Summary(name, about, found, Need(batch, optimizer, training, prediction))


def _memory(need: Need, width: int) -> list[str]:
    m, p = need.training, need.prediction
    head = f"Memory for a batch of {brief(need.batch)}, {OPTIMIZERS[need.optimizer]}, float32 unless the model is not:"
    rows = [
        ("weights", size(m.weights), "parameters and buffers"),
        ("gradients", size(m.gradients), ""),
        ("optimiser", size(m.optimizer), ""),
        ("activations", size(m.activations), "images included; the most at any time"),
        ("training step", size(m.total), "the most at any time"),
        ("prediction", size(p.total), f"of which activations {size(p.activations)}"),
    ]
    return [*wrapped(head, width), *_told(rows, width)]


def _told(rows: list[tuple[str, str, str]], width: int) -> list[str]:
    """What, how much and a note: in columns or, where these are too wide, in sentences."""
    wide = columns(rows, "<><")
    if max(map(len, wide)) <= width:
        return wide
    return [line for what, count, note in rows for line in wrapped(f"{what}: {count} {note}", width)]
