"""What a pattern is to raise: a channel, one unit, the logit of a class, or a weighted sum of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from striate.errors import ShapeError, UsageError

LOGITS = ""  # stands for the network's answer where otherwise the name of a layer stands


@dataclass(frozen=True)
class Term:
    """A number in what a layer puts out, and how much it counts."""

    weight: float
    layer: str  # LOGITS, or the name of a step; `relu:2` is the second time that it runs
    index: int  # of a channel, a unit of a dense layer, a class
    place: tuple[int, int] | None = None  # row and column in the map; None: the mean over all places


class Objective(Protocol):
    """One number of a pass through the network; `key` names its random numbers, `label` stands below its picture."""

    @property
    def terms(self) -> tuple[Term, ...]: ...

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...


@dataclass(frozen=True)
class Channel:
    """The mean of a map of a layer (N, C, h, w) over its places; of a dense layer (N, C), one of its units."""

    layer: str
    channel: int

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, self.layer, self.channel),)

    @property
    def key(self) -> str:
        return f"{self.layer} {self.channel}"

    @property
    def label(self) -> str:
        return str(self.channel)


@dataclass(frozen=True)
class Unit:
    """One place of a map: row y, column x."""

    layer: str
    channel: int
    y: int
    x: int

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, self.layer, self.channel, (self.y, self.x)),)

    @property
    def key(self) -> str:
        return f"{self.layer} {self.channel},{self.y},{self.x}"

    @property
    def label(self) -> str:
        return f"{self.channel},{self.y},{self.x}"


@dataclass(frozen=True)
class Logit:
    """The logit of a class, before any softmax; with one output for two classes, z for class 1 and -z for class 0."""

    number: int
    name: str = ""  # shown; the pattern does not depend on it

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, LOGITS, self.number),)

    @property
    def key(self) -> str:
        return f"class {self.number}"

    @property
    def label(self) -> str:
        return self.name or f"class {self.number}"


@dataclass(frozen=True)
class Sum:
    """Objectives added up, each times its weight; a negative weight drives one down.

    >>> Sum(((1.0, Channel("conv1", 3)), (-0.5, Logit(7, "owl")))).label
    'conv1 3 - 0.5 owl'
    """

    parts: tuple[tuple[float, Objective], ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        return tuple(replace(t, weight=w * t.weight) for w, part in self.parts for t in part.terms)

    @property
    def key(self) -> str:
        return " + ".join(f"{w:g} ({part.key})" for w, part in self.parts)

    @property
    def label(self) -> str:
        words = ""
        for w, part in self.parts:
            sign = (" - " if w < 0 else " + ") if words else ("-" if w < 0 else "")
            inner = f"({part.label})" if isinstance(part, Sum) else part.label
            name = f"{part.layer} {inner}" if isinstance(part, Channel | Unit) else inner
            words += sign + ("" if abs(w) == 1 else f"{abs(w):g} ") + name
        return words


def layers_of(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The layers that are read, each once, in the order in which they are named."""
    return tuple(dict.fromkeys(term.layer for one in objectives for term in one.terms))


def values(objectives: Sequence[Objective], seen: Mapping[str, Tensor]) -> Tensor:
    """Of each row of a pass its own objective: (N,).  `seen` has what the layers put out, N rows each.

    Raises: UsageError for a channel, place or class that there is not; ShapeError for a layer without channels.
    """
    total: Tensor | None = None
    for layer, y in seen.items():
        rows, terms = _of(objectives, layer)
        if not terms:
            continue
        rows = rows.to(y.device)
        if layer == LOGITS and y.shape[1] == 1:
            _within(terms, layer, 2, None)
            chosen = y[rows, torch.zeros_like(rows)] * y.new_tensor([1.0 if t.index else -1.0 for t in terms])
        else:
            _within(terms, layer, y.shape[1] if y.ndim > 1 else 0, y.shape[2:] if y.ndim == 4 else None)
            chosen = places(y[rows, torch.tensor([t.index for t in terms], device=y.device)], terms)
        weighed = chosen.float() * torch.tensor([t.weight for t in terms], device=y.device)
        start = torch.zeros(len(objectives), device=y.device)
        part = start.index_add(0, rows, weighed)
        total = part if total is None else total + part
    if total is None:
        raise UsageError("there is nothing to raise: the objectives have no terms")
    return total


def places(maps: Tensor, terms: Sequence[Term]) -> Tensor:
    """Maps (M, h, w), or numbers (M,) -> (M,): each at its term's place, or its mean."""
    if maps.ndim == 1:
        return maps
    if all(t.place is None for t in terms):
        return maps.mean((1, 2))
    w = maps.shape[2]
    means, flat = maps.mean((1, 2)), maps.flatten(1)
    at = torch.tensor([0 if t.place is None else t.place[0] * w + t.place[1] for t in terms], device=maps.device)
    one = flat.gather(1, at[:, None])[:, 0]
    return torch.where(torch.tensor([t.place is None for t in terms], device=maps.device), means, one)


def _of(objectives: Sequence[Objective], layer: str) -> tuple[Tensor, list[Term]]:
    found = [(i, t) for i, one in enumerate(objectives) for t in one.terms if t.layer == layer]
    return torch.tensor([i for i, _ in found], dtype=torch.int64), [t for _, t in found]


def _within(terms: Sequence[Term], layer: str, count: int, grid: Sequence[int] | None) -> None:
    for term in terms:
        check(term, layer, count, grid)


def check(term: Term, layer: str, count: int, grid: Sequence[int] | None) -> None:
    """Whether a layer of `count` channels, and maps of `grid` places if it has any, has what a term names.

    Raises: UsageError; ShapeError for a place where there are no maps.
    """
    where, what = ("the network", "class") if layer == LOGITS else (f"layer {layer!r}", "channel")
    if not 0 <= term.index < count:
        raise UsageError(f"{where} has no {what} {term.index}; it has {count}, 0 to {count - 1}")
    if term.place is None:
        return
    if grid is None:
        raise ShapeError(f"{where} has no places, but {term.index},{term.place[0]},{term.place[1]} names one")
    if not all(0 <= i < n for i, n in zip(term.place, grid, strict=True)):
        raise UsageError(f"{where} has no place {term.place[0]},{term.place[1]}; its maps are {grid[0]} by {grid[1]} "
                         f"for this image size, counted from 0")  # fmt: skip
