"""Activations as a page: the curves over depth, then every layer with its numbers and its liveliest channels."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from striate.look import page as base
from striate.look.activations.activations import Activations
from striate.look.activations.depth import curves, things_to_note
from striate.look.activations.steps import Fold
from striate.look.activations.tally import LayerActivations
from striate.look.markup import Child, Markup, tag

ROWS = 400  # of the table in a notebook
CSS = """
.striate .layers { display: grid; gap: 0.9rem; margin: 0.8rem 0; }
.striate .layer { background: var(--raised); border: 1px solid var(--line); border-radius: 0.6rem; padding: 0.7rem 1rem;
  break-inside: avoid; }
.striate .layer h3 { font: 600 1rem/1.3 var(--sans); margin: 0; overflow-wrap: anywhere; }
.striate .layer .facts { color: var(--soft); font-size: 0.84rem; max-width: none; margin: 0.15rem 0 0.5rem; }
.striate .layer img, .striate .input img { max-width: 100%; height: auto; display: block; image-rendering: pixelated;
  border-radius: 0.2rem; }
.striate .layer a + a { margin-top: 0.4rem; }
.striate .layer a { display: block; text-decoration: none; }
.striate .inputs { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.striate .input { margin: 0; }
.striate .input img { max-height: 14rem; width: auto; }
.striate .input figcaption { color: var(--soft); font-size: 0.84rem; margin-top: 0.3rem; }
.striate .curves svg { min-width: 40rem; }
.striate ul.told { padding-left: 1.1rem; margin: 0.6rem 0; max-width: 50rem; }
"""


@dataclass(frozen=True)
class Shown:
    """A layer with its sheets: for each image the name of the file, and a PNG of its liveliest channels."""

    layer: LayerActivations
    files: tuple[str, ...]
    strips: tuple[bytes, ...]


def page(
    found: Activations, title: str, inputs: Sequence[tuple[str, bytes]], shown: Sequence[Shown], folds: Sequence[Fold]
) -> str:
    """One page that needs nothing but the sheets beside it; `inputs` are PNGs of the images as the network sees."""
    pictures = [
        tag("figure", tag("img", src=_data(png), alt=f"{name}, as the network sees it"), tag("figcaption", name),
            class_="input")
        for name, png in inputs
    ]  # fmt: skip
    left = list(folds)
    cards = [_card(one, [name for name, _ in inputs], left) for one in shown]
    how = (
        "Each strip shows the channels that vary most across the image, up to twelve, each on a scale of its own; "
        "where a layer has one place, its first values. It leads to the sheet with all channels."
    )
    return base.document(
        f"{title}: activations",
        tag("style", Markup(CSS)),
        tag("header", tag("p", "Activations", class_="about"), tag("h1", title)),
        tag("div", *pictures, class_="inputs"),
        _tiles(found),
        *_depth(found),
        tag("h2", "Layers"),
        tag("p", how, class_="notes"),
        *_folded(folds),
        tag("div", *cards, class_="layers"),
        *(tag("p", f"Note: {note}.", class_="notes") for note in found.notes),
    )


def fragment(found: Activations) -> str:
    """The curves and a table, for a notebook."""
    titles = [("layer", ""), ("kind", ""), ("shape", "")]
    titles += [(name, "n") for name in ("mean", "deviation", "zeros, %", "blank, %", "dead channels", "retained, %")]
    rows = [_row(layer) for layer in found.layers[:ROWS]]
    more = [tag("p", f"and {len(found) - ROWS:,} more", class_="notes")] if len(found) > ROWS else []
    notes = [tag("p", f"Note: {note}.", class_="notes") for note in found.notes]
    return base.part(tag("style", Markup(CSS)), *_depth(found), base.grid(titles, rows), *more, *notes)


def layer_fragment(layer: LayerActivations) -> str:
    """One layer for a notebook: its numbers, and the sheet of the first image where its maps were kept."""
    sheet = layer._repr_png_()
    drawn = [tag("img", src=_data(sheet), alt=f"all channels of {layer.name}")] if sheet else []
    facts = tag("p", _facts(layer), class_="facts")
    body = tag("div", tag("h3", layer.name), facts, *drawn, class_="layer")
    return base.part(tag("style", Markup(CSS)), body)


def _tiles(found: Activations) -> Markup:
    maps = [layer for layer in found if layer.places > 1]
    channels = sum(layer.shape[0] for layer in maps)
    blank = sum(int(layer.blank.sum()) for layer in maps) / max(found.images, 1)
    dead = sum(int(layer.dead.sum()) for layer in found if layer.rectified)
    size = "×".join(map(str, found.size))
    plural = "" if found.images == 1 else "s"
    return base.tiles(
        ("images", f"{found.images:,}", f"{size} (channels, height, width)"),
        ("layers", f"{len(found):,}", f"{len(maps):,} of them put out maps"),
        ("maps", f"{channels:,}", "channels of these layers, for an image"),
        ("blank maps", f"{blank:,.0f}", "the same value everywhere, mean of the images"),
        ("dead channels", f"{dead:,}", f"rectified, and above zero nowhere in {found.images:,} image{plural}"),
    )


def _depth(found: Activations) -> list[Markup]:
    if len(found) < 2:
        return []
    told = tag("ul", *(tag("li", one) for one in things_to_note(found)), class_="told")
    how = (
        "The line goes through the activation functions, pale points are the other layers; in columns, the sides of "
        "the maps. What can be read of the image: the share of the variance of its colours, averaged to 14×14 places, "
        "that a ridge regression predicts from all channels at a place, having been fitted to other places."
    )
    figure = tag("figure", tag("div", Markup(curves(found).svg()), class_="scroll curves"))
    return [tag("h2", "Along the depth"), told, figure, tag("p", how, class_="notes")]


def _folded(folds: Sequence[Fold]) -> list[Markup]:
    if not folds:
        return []
    count = sum(len(fold.like) for fold in folds)
    words = f"{count} blocks are folded: of those wired alike in a row the last is shown. Its numbers are its own."
    return [tag("p", words, class_="notes")]


def _card(one: Shown, names: Sequence[str], folds: list[Fold]) -> Markup:
    layer = one.layer
    links: list[Child] = []
    for name, file, strip in zip(names, one.files, one.strips, strict=True):
        alt = f"the liveliest channels of {layer.name} for {name}"
        links.append(tag("a", tag("img", src=_data(strip), alt=alt, loading="lazy"), href=quote(file)))
    begins = [fold for fold in folds if layer.name == fold.shown or layer.name.startswith(f"{fold.shown}.")]
    for fold in begins:  # told once, at the first layer of the block
        folds.remove(fold)
        first, last = fold.like[0], fold.like[-1]
        those = first if first == last else f"{first} to {last}"
        links.insert(0, tag("p", f"{those}, wired like {fold.shown}: folded", class_="facts"))
    return tag("section", tag("h3", layer.name), tag("p", _facts(layer), class_="facts"), *links, class_="layer")


def _facts(layer: LayerActivations) -> str:
    facts = [layer.label, "×".join(map(str, layer.shape)), f"mean {layer.mean:.3g}", f"deviation {layer.std:.3g}"]
    facts.append(f"{100 * layer.sparsity:.1f} % zeros")
    if layer.places > 1:
        facts.append(f"{100 * layer.blank_share:.1f} % blank")
    if layer.rectified:
        facts.append(f"{int(layer.dead.sum()):,} dead channels")
    if layer.saturated is not None:
        facts.append(f"{100 * layer.saturated:.1f} % saturated")
    if layer.retained is not None:
        facts.append(f"{100 * layer.retained:.0f} % of the image can be read")
    return "  ·  ".join(facts)


def _row(layer: LayerActivations) -> Markup:
    blank = f"{100 * layer.blank_share:.1f}" if layer.places > 1 else ""
    retained = "" if layer.retained is None else f"{100 * layer.retained:.0f}"
    dead = f"{int(layer.dead.sum()):,}" if layer.rectified else ""
    numbers = [f"{layer.mean:.3g}", f"{layer.std:.3g}", f"{100 * layer.sparsity:.1f}", blank, dead, retained]
    cells = [tag("td", layer.name, class_="name"), tag("td", layer.label, class_="kind")]
    return tag(
        "tr", *cells, tag("td", "×".join(map(str, layer.shape))), *(tag("td", one, class_="n") for one in numbers)
    )


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
