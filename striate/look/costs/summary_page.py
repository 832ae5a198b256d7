"""The layer table as a page, and as what a notebook shows."""

from collections.abc import Sequence

from striate.look import page as sheet
from striate.look.costs.layer_table import TITLES, Line, field_text
from striate.look.costs.quantities import brief, by, scaled, size
from striate.look.costs.summary import OPTIMIZERS, Need, Summary
from striate.look.markup import Markup, raw, tag
from striate.models.cost import CONVENTIONS


def page(summary: Summary, *above: Markup) -> str:
    """One self-contained page; `above` stands between the totals and the table: a picture."""
    return sheet.document(f"{summary.name}: layers and costs", *_body(summary, above))


def fragment(summary: Summary) -> str:
    """The same without a page around it."""
    return sheet.part(*_body(summary, ()))


def _body(summary: Summary, above: Sequence[Markup]) -> list[Markup]:
    c = summary.cost
    frozen = f"; {c.frozen:,} frozen" if c.frozen else ""
    facts = [
        ("parameters", brief(c.parameters), f"{c.parameters:,}{frozen}; {c.keras_parameters:,} as Keras counts"),
        ("MACs", brief(c.macs), f"{c.macs:,}; {scaled(2 * c.macs)}FLOPs, a multiply-add being two"),
        ("activations", size(c.bytes), f"{c.elements:,} values that the layers make of one image"),
        ("kept for backward", size(summary.kept), "of one image, in a training step"),
        (
            "weights",
            size(c.weight_bytes),
            f"with {c.buffers:,} running statistics" if c.buffers else "there are no running statistics",
        ),
    ]
    found = summary.lines()
    folds = any(line.layers > 1 for line in found)
    layers = f"{len(c.rows)} layers" + (f" in {len(found)} lines: blocks that repeat are folded." if folds else ".")
    notes = [*(f"{name} did not run; its parameters count" for name in c.unused), *c.notes, *summary.passed.notes]
    return [
        tag("header", tag("p", summary.about, class_="about"), tag("h1", summary.name)),
        tag("p", f"For images of {by(c.input)} (channels, height, width).", class_="about"),
        sheet.tiles(*facts),
        *([_need(summary.need)] if summary.need else []),
        *above,
        tag("h2", "Layers"),
        tag("p", layers, class_="notes"),
        _table(found),
        tag("p", f"{CONVENTIONS[0].upper()}{CONVENTIONS[1:]}.", class_="notes"),
        tag(
            "p",
            "Memory: of the values that a layer makes. Kept: what it adds to that which a training step keeps until "
            "the backward pass. Field 11/4: a value depends on a window of 11×11 pixels, padding included, and the "
            "next value's window is 4 pixels on; 11 alone: all positions are merged. Bars are relative to the largest.",
            class_="notes",
        ),
        *(tag("p", f"Note: {note}.", class_="notes") for note in notes),
    ]


def _need(need: Need) -> Markup:
    m, p = need.training, need.prediction
    return raw(
        tag("h2", f"Memory for a batch of {need.batch:,}"),
        sheet.tiles(
            ("training step", size(m.total), f"the most at any time; {OPTIMIZERS[need.optimizer]}"),
            ("weights", size(m.weights), "parameters and buffers"),
            ("gradients", size(m.gradients), "one for each trained parameter"),
            ("optimiser", size(m.optimizer), "what it remembers of each"),
            ("activations", size(m.activations), "images included; the most at any time"),
            ("prediction", size(p.total), "weights included; the most at any time"),
        ),
    )


def _table(found: Sequence[Line]) -> Markup:
    single = [line for line in found if not line.likeness]
    most = {name: max((getattr(line, name) for line in single), default=0) or 1 for name in ("macs", "parameters")}
    titles = [(title, "" if name in {"name", "kind", "output"} else "n") for name, title in TITLES.items()]
    rows, stage = [], None
    for line in found:
        own = line.name.split(".")[0]
        kinds = ["stage"] if own != stage and stage is not None and "." in line.name else []
        kinds += ["like"] if line.likeness else []
        stage = own
        rows.append(tag("tr", *(_cell(line, name, most) for name in TITLES), class_=" ".join(kinds) or None))
    return sheet.grid(titles, rows)


def _cell(line: Line, name: str, most: dict[str, int]) -> Markup:
    value = getattr(line, name)
    match name:
        case "name" | "kind":
            return tag("td", str(value), class_=name)
        case "output":
            return tag("td", by(value))
        case "field":
            return tag("td", field_text(value), class_="n soft")
        case "bytes" | "kept":
            return tag("td", size(value) if value else "", class_="n soft")
    if not value:
        return tag("td", class_="n")
    if line.likeness:
        return tag("td", f"{value:,}", class_="n")
    share = f"--share: {100 * value / most[name]:.1f}%"
    return tag("td", f"{value:,}", class_=f"n bar {name}", style=share)
