"""Fact sheets: what the paper prints of a network, what others count, what its published weights reach.

What papers print and others count is in sheets.json, which tests/models/make_sheets.py writes; each figure says where
it is printed, and how that was checked. A paper's accuracy and that of published weights are different facts: the
latter, with the preprocessing that it was claimed for, is in the catalogue of weights (`published`); sheets.json has it
for the weights of publishers whose files are not in there. Where our form differs is what the docstring of the model's
file says after `Differs:`.
"""

import json
import re
import sys
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

from striate.models.published import Publication, catalogue
from striate.models.registry import Entry, entry

MORE_IMAGES = re.compile(r"in21k|in22k|in12k|jft|_ig|ig1b|yfcc|bamboo|ssl|swsl|laion|mim", re.IGNORECASE)
RECALLED = "recalled"  # how a figure was checked that nobody has looked up again


@dataclass(frozen=True)
class Paper:
    """A publication and what it prints."""

    title: str
    number: str  # arXiv:1512.03385, doi:..., "book"
    where: str  # tables and sections
    checked: str  # how the figures were checked
    printed: dict[str, str]  # what -> figure, as printed


@dataclass(frozen=True)
class Count:
    """What implementations count; they agree on it."""

    parameters: int
    macs: int | None
    by: tuple[str, ...]


@dataclass(frozen=True)
class Reached:
    """An accuracy that somebody published, and for what."""

    publisher: str
    tag: str  # which weights of theirs; "" for the paper itself
    data: str  # "ImageNet", validation set; "CIFAR-10"; "MNIST"
    top1: float  # per cent
    top5: float | None
    side: int  # of the test image in pixels
    protocol: str


@dataclass(frozen=True)
class Sheet:
    """All that is known about one network."""

    entry: Entry
    title: str
    papers: tuple[Paper, ...]
    counts: tuple[Count, ...]
    weights: tuple[Reached, ...]
    printed: Reached | None  # accuracy of one network on ImageNet, as the paper prints it
    differs: str
    file: str  # where it is built: striate/models/resnet.py

    def to_json(self) -> dict[str, Any]:
        e = self.entry
        known = {"name": e.name, "aliases": e.aliases, "year": e.year, "about": e.about, "paper": e.paper}
        shape = {"input": e.input, "classes": e.classes, "smallest": e.smallest, "fixed_size": e.fixed_size}
        rest = {
            "papers": [asdict(one) for one in self.papers],
            "counts": [asdict(one) for one in self.counts],
            "weights": [asdict(one) for one in self.weights],
            "printed": asdict(self.printed) if self.printed else None,
        }
        return {**known, "title": self.title, **shape, "differs": self.differs, "file": self.file, **rest}


def sheet(name: str) -> Sheet:
    """The fact sheet of a model, by its name or an alias; one that somebody else registered has no figures.

    Raises: UnknownName, with the nearest names.
    """
    known = entry(name)
    stored = _stored().get(known.name, {"title": known.name, "papers": [], "counts": [], "weights": []})
    top1 = stored.get("printed_top1")
    printed = top1 and Reached("paper", "", "ImageNet", top1["top1"], None, known.input[1], top1["protocol"])
    file, about = _source(known)
    return Sheet(
        entry=known,
        title=stored["title"],
        papers=tuple(Paper(**one) for one in stored["papers"]),
        counts=tuple(Count(one["parameters"], one["macs"], tuple(one["by"])) for one in stored["counts"]),
        weights=(*_of_catalogue(known.name), *(Reached(**one) for one in stored["weights"])),
        printed=printed,
        differs=differs(about),
        file=file,
    )


def _of_catalogue(name: str) -> list[Reached]:
    """What the weights that can be loaded here are claimed to reach, unless they learnt from more images."""
    mine = [one for one in catalogue() if one.model == name and one.top1 and one.urls and not one.misfit]
    return [_reached(one) for one in mine if not MORE_IMAGES.search(one.name)]


def _reached(one: Publication) -> Reached:
    prepared = one.preprocess
    side, short = prepared.size[0], prepared.short_side
    if one.dataset != "imagenet":
        protocol = f"{side} pixels"
    else:
        protocol = f"crop of {side} after resizing to {short}" if short else f"stretched to {side}"
    publisher, data = one.publisher.partition("/")[0], {"imagenet": "ImageNet", "cifar10": "CIFAR-10"}[one.dataset]
    tag = one.name.rpartition(".")[2] if publisher == "torchvision" else one.name if publisher == "timm" else one.file
    return Reached(publisher, tag, data, one.top1 or 0.0, one.top5, side, protocol)


def differs(docstring: str) -> str:
    """What a model's file says after `Differs:`, in one line, up to whose names and first weights it has.

    >>> differs("A net.\\n\\nDoe, 2015.\\nDiffers: no bias;\\nno dropout. Names are torchvision's; its weights load.")
    'no bias; no dropout.'
    """
    found = re.search(r"^Differs: (.*)", docstring, re.MULTILINE | re.DOTALL)
    if not found:
        return ""
    return re.split(r"\s+(?=Names are|First weights)", " ".join(found[1].split()))[0]


def _source(known: Entry) -> tuple[str, str]:
    build: Any = known.build
    while isinstance(build, partial):
        build = build.func
    name = getattr(build, "__module__", "") or ""
    module = sys.modules.get(name)
    return name.replace(".", "/") + ".py", (module and module.__doc__) or ""


@cache
def _stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("striate.models").joinpath("sheets.json").read_text(encoding="utf-8"))
    return found
