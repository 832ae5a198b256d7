"""Networks beside each other, by figures that others published: accuracy, operations, parameters.

Every accuracy says whose it is, for which weights, and how it was tested; operations are counted here, at the size of
the test image. The picture is the one that surveys have: accuracy against operations, the circle's area for parameters
(after Canziani, Culurciello & Paszke, arXiv:1605.07678, figure 2).
"""

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from striate.errors import UnknownName, UsageError, suggest
from striate.look.costs.quantities import brief, columns, cut, wrapped
from striate.look.costs.zoo import counted
from striate.models.cost import cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers
from striate.models.sheets import Reached, Sheet, sheet

# Of several published weights, those of the first of these publishers: near to the papers' recipes come first.
PUBLISHERS = (
    "torchvision", "TF-Slim", "Keras", "Cadene", "BVLC Caffe", "Caffe model zoo", "akamaster", "timm", "pytorchcv",
)  # fmt: skip
SOURCES = ("weights", "paper")


@dataclass(frozen=True)
class Compared:
    """One network: what it costs, and what was published of it."""

    name: str
    title: str
    year: int
    parameters: int
    macs: int  # at the size of the test image
    side: int  # of that image, in pixels
    reached: Reached | None  # None: nobody published a figure

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Networks in the order that was asked for; `str()` is the table."""

    networks: tuple[Compared, ...]
    source: str  # "weights" or "paper"

    @property
    def data(self) -> str | None:
        """The data set that most of the figures are about."""
        sets = [one.reached.data for one in self.networks if one.reached]
        return max(sorted(set(sets)), key=sets.count) if sets else None

    @property
    def drawn(self) -> tuple[Compared, ...]:
        """Those that have a figure on that data set."""
        return tuple(one for one in self.networks if one.reached and one.reached.data == self.data)

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "data": self.data, "networks": [one.to_json() for one in self.networks]}

    def text(self, width: int = 100) -> str:
        titles = ("name", "year", "top-1, %", "top-5, %", "MACs", "parameters", "image", "figure of", "weights")
        rows = [_cells(one, self.data) for one in self.networks]
        table = [cut(line, width) for line in columns([titles, *rows], "<<>>>>><<")]
        return "\n".join([*table, "", *(line for note in self.notes() for line in wrapped(note, width))])

    def notes(self) -> list[str]:
        """What one must know to read the figures."""
        tests = {one.reached.protocol for one in self.drawn if one.reached}
        whose = sorted({one.reached.publisher for one in self.drawn if one.reached})
        found = []
        if self.data:
            which = "validation set of ImageNet" if self.data == "ImageNet" else f"test set of {self.data}"
            found.append(f"Accuracies as published, on the {which}; not measured here.")
        if len(whose) > 1:
            found.append(f"They come from {len(whose)} publishers ({', '.join(whose)}), who trained by other recipes.")
        if len(tests) > 1:
            found.append(f"They were tested in {len(tests)} ways, by the image's size and how it was cut out (--json).")
        found.append("MACs: multiply-adds of convolution and linear layers for one test image.")
        missing = [one.name for one in self.networks if one not in self.drawn]
        if missing:
            where = f" on {self.data}" if self.data else ""
            found.append(f"Not drawn, having no figure{where} here: {', '.join(missing)}.")
        return found

    def _repr_html_(self) -> str:
        from striate.look.costs.compare_page import fragment

        return fragment(self)

    def __str__(self) -> str:
        return self.text()


def compare(*names: str, source: str = "weights") -> Comparison:
    """Compare networks by name, alias or shell pattern; `resnet50@V2` chooses weights whose tag has "V2" in it.

    `source="paper"` takes what the papers print of one network instead of what published weights reach.

    Raises: UnknownName for a name, or for weights that nobody published; UsageError without names.
    """
    if not names:
        raise UsageError("nothing to compare; name at least one network, for example resnet50 or 'resnet*'")
    if source not in SOURCES:
        raise UnknownName(f"no source is called {source!r}; there are {', '.join(SOURCES)}")
    found: dict[str, Compared] = {}
    for wanted in names:
        name, _, tag = wanted.partition("@")
        matching = list_models(name) if set(name) & set("*?[") else [entry(name).name]
        if not matching:
            raise UnknownName(f"no model matches {name!r}{suggest(name, list_models(), '`striate models` lists them')}")
        for one in matching:
            found.setdefault(f"{one}@{tag}" if tag else one, _compared(sheet(one), tag, source))
    return Comparison(tuple(found.values()), source)


def chosen(known: Sheet, tag: str = "") -> Reached | None:
    """The published weights that stand for a network: the first publisher's first, or those whose tag is asked for."""
    matching = [one for one in known.weights if fnmatchcase(one.tag.lower(), f"*{tag.lower()}*")]
    if tag and not matching:
        tags = [one.tag for one in known.weights]
        near = suggest(tag, tags, f"there are {', '.join(tags) or 'none'}")
        raise UnknownName(f"no published weights of {known.entry.name} have {tag!r} in their tag{near}")
    return min(matching, key=lambda one: PUBLISHERS.index(one.publisher), default=None)


def _compared(known: Sheet, tag: str, source: str) -> Compared:
    e = known.entry
    reached = known.printed if source == "paper" else chosen(known, tag)
    side = reached.side if reached else e.input[1]
    parameters, macs = counted(e.name)
    if side != e.input[1] and not e.fixed_size:
        macs = _macs_at(e.name, side)
    name = f"{e.name}@{tag}" if tag else e.name
    return Compared(name, known.title, e.year, parameters, macs, side if not e.fixed_size else e.input[1], reached)


@cache
def _macs_at(name: str, side: int) -> int:
    with without_numbers():
        model = create_model(name, input_size=(side, side))
    return cost(model, (entry(name).input[0], side, side)).macs


def _cells(one: Compared, data: str | None) -> tuple[str, ...]:
    r = one.reached
    if r is None:
        return (one.name, str(one.year), "", "", brief(one.macs), brief(one.parameters), str(one.side), "nobody", "")
    top5 = f"{r.top5:.2f}" if r.top5 else ""
    what = (r.tag or r.protocol) + (f" ({r.data})" if r.data != data else "")
    costs = (brief(one.macs), brief(one.parameters), str(one.side))
    return (one.name, str(one.year), f"{r.top1:.2f}", top5, *costs, r.publisher, what)
