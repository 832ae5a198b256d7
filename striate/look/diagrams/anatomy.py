"""What there is to draw of a network, read off the declared chain: `striate.blocks.wiring` says the order.

Nothing is traced. A module whose wiring is not declared is one box, and a note says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from striate.blocks import wiring
from striate.blocks.wiring import Chain, Graph, Taps
from striate.look.diagrams.parts import (
    Fork,
    Frame,
    Op,
    Part,
    Row,
    Shape,
    Web,
    alike,
    merged,
    parameters_of,
    repeated,
    words_of,
)
from striate.look.labels import ACTIVATIONS, NORMS, channels, label, own_parameters

MANY = 7  # arms side by side from which on they are told in words


@dataclass
class Anatomy:
    """A network, ready to be laid out."""

    parts: tuple[Part, ...]
    notes: list[str] = field(default_factory=list)
    details: list[Frame] = field(default_factory=list)  # blocks that are drawn beside: cells


def anatomy(model: nn.Module, shapes: dict[str, Shape]) -> Anatomy:
    """Read a model, given the shapes of what its layers and blocks put out (`striate.look.costs.passed`)."""
    reader = _Reader(shapes)
    if isinstance(model, Graph):
        return reader.cells(model)
    aside = model.aside if isinstance(model, Taps) else {}
    parts: list[tuple[str, Part]] = []
    for name, step in _trunk(model, ""):
        if name in aside:
            head = Op(f"head aside: {name}", "dashed", ("in training only",), None, own_parameters(step), name)
            parts.append((name, Fork((Row(), head), "", side=True)))
        else:
            parts.append((name, reader.framed(reader.read(step, name), step, name)))
    return Anatomy(tuple(merged(repeated(parts))), reader.notes)


class _Reader:
    """Walks the wirings of one model."""

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.shapes = shapes
        self.notes: list[str] = []

    def read(self, layer: nn.Module, name: str) -> Part:
        """What to draw of a layer or block; an empty row for an identity."""
        if isinstance(layer, nn.Identity):
            return Row()
        if isinstance(layer, nn.Conv2d) and layer.groups == 2 < layer.in_channels:
            return self.halves(layer, name)
        if not any(True for _ in layer.children()):
            return self.box(layer, name)
        for known, how in _WIRINGS:
            if type(layer).forward is known.forward:
                return how(self, layer, name)
        if isinstance(layer, nn.Sequential) or type(layer).forward is Chain.forward:
            return self.row(_steps(layer, name))
        self.notes.append(f"{name or type(layer).__name__}: its wiring is not declared, so it is one box")
        return replace(self.box(layer, name), what=type(layer).__name__)

    def row(self, steps: Sequence[tuple[str, nn.Module]]) -> Part:
        parts = merged(repeated([(name, self.read(step, name)) for name, step in steps]))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def box(self, layer: nn.Module, name: str) -> Op:
        what, outputs = label(layer), channels(layer)
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        told = f" {groups} groups"
        then = (told.strip(),) if told in what else ()
        said = f"{what.replace(told, '')}, {outputs}" if outputs else what
        return Op(said, _kind(layer, what), then, self.shapes.get(name), own_parameters(layer), name, groups)

    def halves(self, layer: nn.Conv2d, name: str) -> Fork:
        """Two groups are two convolutions, each of half of the channels: AlexNet's two GPUs."""
        whole = self.box(layer, name)
        shape = whole.shape and (whole.shape[0] // 2, *whole.shape[1:])
        what = f"{whole.what.rpartition(',')[0]}, {layer.out_channels // 2}"
        half = replace(whole, what=what, then=(), shape=shape, parameters=whole.parameters // 2, groups=1)
        return Fork((half, half), "concat", deal=True, shape=whole.shape)

    def framed(self, part: Part, layer: nn.Module, name: str) -> Part:
        """A block of the trunk gets a frame with its name, unless it is a box or two."""
        if isinstance(part, Op) or (isinstance(part, Row) and len(part.parts) < 2) or isinstance(layer, nn.Conv2d):
            return part
        if isinstance(part, Row) and len(part.parts) < 4 and all(isinstance(one, Op) for one in part.parts):
            return part
        blocks = sum(True for _ in layer.children()) if _counted(layer) else 0
        title = f"{name} · {blocks} blocks" if blocks > 1 else name
        return Frame(title, part, self.shapes.get(name), own_parameters(layer))

    def branches(self, layer: Any, name: str) -> Part:
        arms = tuple(self.read(step, child) for child, step in _steps(layer, name))
        return _fork(arms, "concat", self.shapes.get(name))

    def residual(self, layer: Any, name: str) -> Part:
        if isinstance(layer, wiring.Paths):
            return self.joined(layer, name, Row(), self.paths(layer, name))
        shared = getattr(layer, "shared", 0)
        steps = _steps(layer, name)
        before, main = self.row(steps[:shared]), self.row(steps[shared:])
        return self.joined(layer, name, before, main)

    def joined(self, layer: Any, name: str, before: Part, main: Part) -> Part:
        """F(x) + shortcut(x), then the last step."""
        shortcut = self.read(layer.downsample, f"{name}.downsample" if name else "downsample")
        last = self.read(layer.last, f"{name}.last" if name else "last")
        fork = Fork((main, shortcut), "+", side=True, shape=self.shapes.get(name))
        return _in_a_row(before, fork, last)

    def append(self, layer: Any, name: str) -> Part:
        return Fork((self.row(_steps(layer, name)), Row()), "concat", side=True, shape=self.shapes.get(name))

    def gate(self, layer: Any, name: str) -> Part:
        inside = self.row(_steps(layer, name))
        return Fork((Row(), inside), "×", side=True, shape=self.shapes.get(name))

    def split(self, layer: Any, name: str) -> Part:
        arms = tuple(self.read(step, child) for child, step in _steps(layer, name))
        last = self.read(layer.last, f"{name}.last" if name else "last")
        return _in_a_row(Fork(arms, "concat", deal=True, shape=self.shapes.get(name)), last)

    def paths(self, layer: Any, name: str) -> Part:
        """Branches whose steps have one list of names; a path may fork on its way."""
        sign = "+" if type(layer).join is wiring.Sum.join else "concat"
        readers: dict[str, list[str]] = {}
        for step, source in layer.reads.items():
            readers.setdefault(source, []).append(step)

        def follow(step: str) -> Part:
            parts: list[Part] = []
            while True:
                parts.append(self.read(layer._modules[step], f"{name}.{step}" if name else step))
                after = readers.get(step, [])
                if len(after) != 1:
                    break
                step = after[0]
            if after:
                parts.append(_fork(tuple(follow(one) for one in after), sign))
            found = merged(parts)
            return found[0] if len(found) == 1 else Row(tuple(found))

        arms = [follow(step) for step in readers.get("", [])]
        arms += [Row()] * list(layer.ends).count("")
        then = [self.read(layer._modules[step], f"{name}.{step}" if name else step) for step in layer.then]
        shape = None if then else self.shapes.get(name)
        if len(arms) > 1:
            return _in_a_row(_fork(tuple(arms), sign, shape), *then)
        parts = list(arms[0].parts) if isinstance(arms[0], Row) else arms
        if parts and isinstance(parts[-1], Fork):  # one path, which forks at its end
            parts[-1] = replace(parts[-1], shape=shape)
        return _in_a_row(*parts, *then)

    def taps(self, layer: Any, name: str) -> Part:
        return self.row(_steps(layer, name))

    def graph(self, layer: Any, name: str) -> Part:
        """A cell as a web of boxes; each step of several layers is one box."""
        steps = []
        for child, step in _steps(layer, name):
            own = child.rpartition(".")[2]
            steps.append((own, self.told(step, child), layer.sources[own]))
        return Web(tuple(layer.inputs), tuple(steps))

    def told(self, layer: nn.Module, name: str) -> Op:
        """A block in one box: its convolutions and poolings, in words."""
        leaves = [one for one in layer.modules() if not any(True for _ in one.children())]
        if len(leaves) == 1:
            what = label(leaves[0])
            box = self.box(leaves[0], name)
            return replace(box, what="+" if what == "sum" else what) if what in {"sum", "concat"} else box
        said, kind, i = [], "other", 0
        worth = [one for one in leaves if label(one) not in ACTIVATIONS | NORMS]
        while i < len(worth):
            what, after = label(worth[i]), label(worth[i + 1]) if i + 1 < len(worth) else ""
            if "depthwise" in what and after == "1×1 conv":
                said.append(what.replace("depthwise", "separable"))
                kind, i = "depth", i + 2
                continue
            kind = _kind(worth[i], what) if kind == "other" else kind
            said.append(what)
            i += 1
        words = _counted_words(said)
        return Op(words, kind, (), self.shapes.get(name), own_parameters(layer), name)

    def cells(self, model: Graph) -> Anatomy:
        """A network of cells that read the last two: the cells in a web, each sort of them drawn beside it."""
        details: list[Frame] = []
        known: list[tuple[Any, str]] = []  # how a cell is built, and what it is called
        steps: list[tuple[str, Op, tuple[str, ...]]] = []
        for name, step in _steps(model, ""):
            if not isinstance(step, Graph):
                steps.append((name, self.told(step, name), model.sources[name]))
                continue
            web = self.graph(step, name)
            built = alike(web)
            sort = next((called for one, called in known if one == built), None)
            if sort is None:
                sort = f"cell {chr(ord('A') + len(known))}"
                known.append((built, sort))
                details.append(Frame(f"{sort}: {name}", web, self.shapes.get(name), own_parameters(step)))
            box = Op(f"{name}: {sort}", "conv", (), self.shapes.get(name), own_parameters(step), name)
            steps.append((name, box, model.sources[name]))
        return Anatomy((Web(tuple(model.inputs), tuple(steps)),), self.notes, details)


_WIRINGS: list[tuple[Any, Callable[[_Reader, Any, str], Part]]] = [
    (wiring.Branches, _Reader.branches), (wiring.Residual, _Reader.residual), (wiring.Preactivated, _Reader.residual),
    (wiring.Stochastic, _Reader.residual), (wiring.Append, _Reader.append), (wiring.Gate, _Reader.gate),
    (wiring.Paths, _Reader.paths), (wiring.Split, _Reader.split), (wiring.Taps, _Reader.taps),
    (wiring.Graph, _Reader.graph),
]  # fmt: skip


def _steps(layer: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The declared steps of a wiring, with their full names."""
    order = getattr(layer, "order", None)
    names = list(order) if isinstance(layer, Chain) and order is not None else [n for n, _ in layer.named_children()]
    if isinstance(layer, Chain):
        names += [n for n in getattr(layer, "then", ()) if n not in names]
    return [(f"{name}.{one}" if name else one, layer.get_submodule(one)) for one in names]


def _trunk(model: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The steps of the network's own chain; a step that holds most of the network is opened."""
    if not (isinstance(model, nn.Sequential | Taps) or type(model).forward is Chain.forward):
        return [(name, model)]
    found = []
    most = sum(True for _ in model.modules())
    for child, step in _steps(model, name):
        plain = type(step).forward is Chain.forward or isinstance(step, nn.Sequential)
        if plain and sum(True for _ in step.modules()) > 0.8 * most and most > 12:
            found += _trunk(step, child)
        elif plain and not _counted(step) and all(not any(True for _ in one.children()) for one in step.children()):
            found += _steps(step, child)  # layers in a row, as in VGG
        else:
            found.append((child, step))
    return found


def _counted(layer: nn.Module) -> bool:
    """Steps without names, or numbered ones, that are blocks: a stage."""
    children = [one for one in layer.children() if any(True for _ in one.children())]
    return type(layer).forward is Chain.forward and len(children) > 1


def _kind(layer: nn.Module, what: str) -> str:
    if "depthwise" in what:
        return "depth"
    if isinstance(layer, nn.Conv2d):
        return "conv"
    if isinstance(layer, nn.Linear):
        return "linear"
    if "pool" in what or what.startswith(("global", "mean to", "max to")):
        return "pool"
    return "act" if what in ACTIVATIONS else "other"


def _in_a_row(*parts: Part) -> Part:
    found = merged(parts)
    return found[0] if len(found) == 1 else Row(tuple(found))


def _fork(arms: tuple[Part, ...], join: str, shape: Shape | None = None) -> Part:
    """Arms side by side; too many of one sort are told in words."""
    if len(arms) <= MANY:
        return Fork(arms, join, shape=shape)
    words = [word for word in words_of(arms[0]) if word]
    parameters = sum(parameters_of(arm) for arm in arms)
    return Op(f"{len(arms)} side by side: {', '.join(words)}", "conv", ("concat",), shape, parameters)


def _counted_words(said: list[str]) -> str:
    """['3×3 separable /2', '3×3 separable'] -> '3×3 separable /2, twice'; others in a row."""
    if len(said) == 2 and said[1] in (said[0], said[0].partition(" /")[0]):
        return f"{said[0]}, twice"
    return ", ".join(said)
