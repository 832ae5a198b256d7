"""The parts that a drawing of a network is made of: boxes, rows, forks, repetitions, frames, webs.

Layers that belong together become one box: a convolution with its norm and activation. Blocks that follow each other
and are built alike become one, with a count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from striate.look.costs.quantities import by
from striate.look.labels import ACTIVATIONS, NORMS

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Op:
    """A box: what it does, what follows at once (norm, activation), what it puts out."""

    what: str
    kind: str  # colour: conv, depth, linear, pool, act, other, join
    then: tuple[str, ...] = ()
    shape: Shape | None = None
    parameters: int = 0
    name: str = ""  # of the layer, for those who point at the box
    groups: int = 1
    dashed: bool = False  # runs in training only


@dataclass(frozen=True)
class Row:
    """One after the other; none: the value passes as it is."""

    parts: tuple["Part", ...] = ()


@dataclass(frozen=True)
class Fork:
    """Side by side from one value, then joined: + × or concatenated. `side` arms go around the first."""

    arms: tuple["Part", ...]
    join: str  # "" where the others end in themselves: heads aside
    side: bool = False  # the others are shortcuts or gates around the first
    deal: bool = False  # each arm is dealt a share of the channels
    then: tuple[str, ...] = ()  # activation behind the join
    shape: Shape | None = None


@dataclass(frozen=True)
class Repeat:
    """Built alike, several times in a row; drawn once."""

    part: "Part"
    count: int
    names: tuple[str, str]  # of the first and the last
    parameters: int  # of all; where they have more and more inputs, those on the boxes are the first's


@dataclass(frozen=True)
class Frame:
    """A stage or block that has a name."""

    title: str
    part: "Part"
    shape: Shape | None = None
    parameters: int = 0


@dataclass(frozen=True)
class Web:
    """Boxes that read any earlier ones: the cells of NASNet."""

    inputs: tuple[str, ...]
    steps: tuple[tuple[str, Op, tuple[str, ...]], ...]  # name, box, names that it reads


Part = Union[Op, Row, Fork, Repeat, Frame, Web]  # noqa: UP007 (a recursive alias needs it)


def words_of(part: Part) -> list[str]:
    """What is drawn, as text: the boxes and joins in order; for tests and for those who don't see the picture."""
    match part:
        case Op():
            return [part.what, *part.then]
        case Row():
            return [word for one in part.parts for word in words_of(one)]
        case Fork():
            return [word for one in part.arms for word in words_of(one)] + [part.join, *part.then]
        case Repeat():
            return [*words_of(part.part), f"×{part.count}"]
        case Frame():
            return [part.title, *words_of(part.part)]
    return [word for _, op, _ in part.steps for word in words_of(op)]


def parameters_of(part: Part) -> int:
    match part:
        case Op():
            return part.parameters
        case Row():
            return sum(map(parameters_of, part.parts))
        case Fork():
            return sum(map(parameters_of, part.arms))
        case Repeat():
            return part.parameters
        case Frame():
            return part.parameters
    return sum(op.parameters for _, op, _ in part.steps)


def merged(parts: Sequence[Part]) -> list[Part]:
    """Rows of boxes opened; what belongs to the box or join before it (norm, activation, dropout) put into it."""
    flat: list[Part] = []
    for part in parts:
        flat += part.parts if isinstance(part, Row) else [part]
    found: list[Part] = []
    for part in flat:
        before = found[-1] if found else None
        joined = _joined(before, part) if isinstance(part, Op) else None
        found[len(found) - (joined is not None) :] = [joined or part]
    return found


def _joined(before: Part | None, part: Op) -> Part | None:
    """Both as one, None where they are to stay two."""
    small = part.what in NORMS | ACTIVATIONS or part.what.startswith("dropout") or part.what == "stochastic depth"
    halves = isinstance(before, Fork) and before.deal and all(isinstance(arm, Op) for arm in before.arms)
    if (
        isinstance(before, Fork)
        and before.join
        and ((small and halves) or (part.what in ACTIVATIONS and not before.then))
    ):
        return replace(before, then=(*before.then, part.what), shape=part.shape or before.shape)
    if not isinstance(before, Op) or before.kind in {"act", "dashed"} or len(before.then) > 3:
        return None
    shape, parameters = part.shape or before.shape, before.parameters + part.parameters
    if small or part.what == "flatten":
        return replace(before, then=(*before.then, part.what), shape=shape, parameters=parameters)
    if before.kind == "depth" and not before.then and part.what.startswith("1×1 conv, "):
        what = before.what.partition(",")[0].replace("depthwise", "separable") + part.what.removeprefix("1×1 conv")
        return replace(before, what=what, shape=shape, parameters=parameters)
    return None


def repeated(parts: Sequence[tuple[str, Part]]) -> list[Part]:
    """Blocks that follow each other and are built alike, once with a count; single boxes stay."""
    found: list[Part] = []
    i = 0
    while i < len(parts):
        (name, part), n = parts[i], 1
        while i + n < len(parts) and not isinstance(part, Op) and alike(parts[i + n][1]) == alike(part):
            n += 1
        if n == 1 or part == Row():
            found.append(part)
        else:
            total = sum(parameters_of(one) for _, one in parts[i : i + n])
            block = part.part if isinstance(part, Frame) else part
            found.append(Repeat(block, n, (name, parts[i + n - 1][0]), total))
        i += n
    return found


def alike(part: Part) -> Any:
    """How a part is built: what is left when names and counts are taken away."""
    match part:
        case Op():
            return part.what, part.then, part.shape[1:] if part.shape else None
        case Row():
            return tuple(alike(one) for one in part.parts)
        case Fork():
            return part.join, part.side, part.then, tuple(alike(one) for one in part.arms)
        case Repeat():
            return part.count, alike(part.part)
        case Frame():
            return "frame", alike(part.part)
    return tuple((name, op.what, reads) for name, op, reads in part.steps)


def shape_text(shape: Shape | None) -> str:
    """A shape, empty where it is not known."""
    return by(shape) if shape else ""
