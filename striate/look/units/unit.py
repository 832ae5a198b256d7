"""One unit of a layer, term by term: what it is made of, which pixels it sees, and what the way back tells it.

Forward: the values that feed the unit, each product, the sum, and what torch has computed. Back: the gradient that
reaches the unit, from which units of the next operations it comes, and what it adds to each weight:

    dL/dy  = sum over units r that read y of  dL/dr · dr/dy
    dL/dw  gets  dL/dy · dy/dw                              (the other places of the kernel add theirs)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.look.labels import ACTIVATIONS, PLAIN
from striate.look.units.field import Box, box_of, fields_of
from striate.look.units.recording import Operation, Pass, run
from striate.look.units.rules import terms
from striate.look.units.terms import At, Terms
from striate.models.field import Field
from striate.run.folder import class_index
from striate.run.inference import evaluating

IMAGE = "image"
FOLLOWED = {"BatchNorm1d", "BatchNorm2d"} | {kind for kind, word in PLAIN.items() if word in ACTIVATIONS}
NOT_ELEMENTWISE = {"Softmax", "LogSoftmax"}


@dataclass(frozen=True)
class Then:
    """A step that makes one value of one value, behind the unit."""

    layer: str
    kind: str
    formula: str
    result: float  # by hand, from what torch put into it
    torch: float


@dataclass(frozen=True)
class Told:
    """A unit that reads this one, and what it tells it on the way back."""

    layer: str
    kind: str
    at: At
    g: float  # dL/d of the reader
    slope: float  # d of the reader / d of this unit
    told: float  # their product


@dataclass(frozen=True, eq=False)
class Unit:
    """What one unit is made of, and what it learns."""

    model: str
    layer: str
    kind: str
    at: At
    shape: tuple[int, ...]  # of the layer's output, without the batch
    sources: tuple[str, ...]  # what made each input, by name
    terms: Terms
    torch: float  # what torch has computed
    then: tuple[Then, ...]
    box: Box | None  # the pixels it can depend on; None: they can't be known
    image: tuple[int, int]  # height and width of the image
    toward: str  # what L is
    g: float  # dL/dy, from autograd
    told: tuple[Told, ...]  # all that tell it something, the largest first
    patch: tuple[int, ...] | None  # the terms as channels, rows and columns; None: they are no window

    @property
    def difference(self) -> float:
        """By hand minus torch."""
        return self.terms.result - self.torch

    @property
    def g_by_hand(self) -> float:
        """dL/dy as the sum of what the readers tell; that of the last layer is given, not told."""
        return sum(one.told for one in self.told) if self.told else self.g

    def to_json(self) -> dict[str, Any]:
        """Everything, every term included."""
        from striate.look.units.text import to_json

        return to_json(self)

    def text(self, most: int | None = 12) -> str:
        """A table: the largest `most` terms (None: all), the sum, and the way back."""
        from striate.look.units.text import text

        return text(self, most)

    def _repr_html_(self) -> str:
        from striate.look.markup import tag

        return tag("pre", self.text())


def unit(
    model: nn.Module,
    image: Tensor,
    layer: str,
    at: Sequence[int] | None = None,
    *,
    toward: int | str | None = None,
    loss: bool = False,
    classes: Sequence[str] = (),
) -> Unit:
    """One unit of a layer for an image (C, H, W) or (1, C, H, W), preprocessed.

    `at` is its place: channel, row and column; the number of the unit in a dense layer; capsule and component. None:
    the unit with the largest activation. L is the logit of the class `toward` (None: the predicted one); with `loss`
    it is the cross-entropy with this class as the label. The model runs in evaluation mode, and is left as it was.

    >>> from striate.models.registry import create_model
    >>> net = create_model("lenet5")
    >>> one = unit(net, torch.rand(1, 32, 32), "C1", (2, 10, 12))
    >>> len(one.terms.x), one.box, abs(one.difference) < 1e-5
    (25, Box(top=10, left=12, bottom=14, right=16), True)

    Raises: UnknownName for a layer or class that is not there, or a layer that has no rule; ShapeError for an image
    that does not fit; UsageError for a place out of range.
    """
    x = image[None] if image.ndim == 3 else image
    if x.ndim != 4 or len(x) != 1:
        raise ShapeError(f"the image has the shape {tuple(image.shape)}; expected one, (C, H, W) or (1, C, H, W)")
    known = dict(model.named_modules(remove_duplicate=False))
    if not layer or layer not in known:
        raise UnknownName(f"{type(model).__name__} has no layer {layer!r}{suggest(layer, known, _there_are(known))}")
    weight = next(model.parameters(), None)
    fields = fields_of(model, x)
    with torch.inference_mode(False), evaluating(model), torch.enable_grad():  # layers are asked again on the way back
        seen = run(model, x if weight is None else x.to(weight))
        return _explain(seen, fields, type(model).__name__, layer, at, toward, loss, classes)


def _explain(
    seen: Pass, fields: Mapping[str, Field | None], model: str, layer: str, at: Sequence[int] | None,
    toward: int | str | None, loss: bool, classes: Sequence[str],
) -> Unit:  # fmt: skip
    operation = made_by(seen, layer)
    y = operation.output
    if operation.overwritten:
        raise UsageError(
            f"{layer}: a later operation of {model} works in place and writes over its values; nothing to show"
        )
    place = _place(layer, y, at)
    score, what = _score(seen.logits, toward, loss, classes)
    told, g = _way_back(seen, y, place, score)
    found = terms(operation, place)
    return Unit(
        model=model, layer=layer, kind=operation.kind, at=place, shape=tuple(y.shape[1:]),
        sources=tuple(_source(seen, t) for t in operation.inputs), terms=found, torch=float(y[0][place].item()),
        then=tuple(_followers(seen, y, place)), box=box_of(seen, fields, operation, place),
        image=(seen.image.shape[2], seen.image.shape[3]), toward=what, g=g, told=told, patch=_patch(operation, found),
    )  # fmt: skip


def made_by(seen: Pass, layer: str) -> Operation:
    """The operation that a step's own output comes from; of a wiring that joins, its join.

    Raises: UnknownName where the step did not run.
    """
    joins = [one for one in seen.operations if one.layer is None and one.name == layer and one.kind != "split"]
    if joins:
        return joins[-1]
    y = seen.outputs.get(layer)
    if y is None or (made := seen.maker(y)) is None:
        raise UnknownName(f"layer {layer!r} puts out nothing in evaluation{suggest(layer, seen.outputs)}")
    return made


def _there_are(known: Mapping[str, nn.Module]) -> str:
    names = [name for name, part in known.items() if name and not list(part.children())]
    return f"there are {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"


def _place(layer: str, y: Tensor, at: Sequence[int] | None) -> At:
    shape = tuple(y.shape[1:])
    if at is None:
        return tuple(int(i) for i in np.unravel_index(int(y[0].detach().argmax()), shape))
    axes = {1: ("unit",), 2: ("capsule", "component"), 3: ("channel", "row", "column")}.get(len(shape), ())
    if len(at) != len(shape):
        wanted = ", ".join(axes) or f"{len(shape)} numbers"
        given = ",".join(map(str, at))
        raise UsageError(
            f"{layer} puts out {_times(shape)} values, so a unit is named by {wanted}; got {given or 'nothing'} "
            f"(for example {','.join(str(n // 2) for n in shape)})"
        )
    wrong = [f"{name} {i} is not in 0 to {n - 1}" for name, i, n in zip(axes, at, shape, strict=True) if not 0 <= i < n]
    if wrong:
        near = ",".join(str(min(max(i, 0), n - 1)) for i, n in zip(at, shape, strict=True))
        raise UsageError(f"{layer} puts out {_times(shape)} values: {', '.join(wrong)}; the nearest unit is {near}")
    return tuple(at)


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _score(z: Tensor, toward: int | str | None, loss: bool, classes: Sequence[str]) -> tuple[Tensor, str]:
    """L and its name."""
    if z.ndim != 2:
        raise ShapeError(f"the network puts out {tuple(z.shape)} for one image; the way back begins at logits (1, K)")
    one = z.shape[1] == 1  # one logit for two classes
    count = 2 if one else z.shape[1]
    if isinstance(toward, str):
        k = class_index(tuple(classes), toward)
    else:
        k = int(z[0, 0] > 0 if one else z[0].argmax()) if toward is None else toward
    if not 0 <= k < count:
        raise UsageError(f"class {k} is asked for; the network tells {count} apart, 0 to {count - 1}")
    name = f"class {classes[k] if k < len(classes) else k!s}"
    if loss:
        label = torch.tensor([k], device=z.device)
        both = torch.cat([-z, z], 1) / 2 if one else z  # the softmax of these is the sigmoid of z
        return functional.cross_entropy(both, label), f"the cross-entropy with {name} as the label"
    return (z[0, 0] if k == 1 else -z[0, 0]) if one else z[0, k], f"the logit of {name}"


def _way_back(seen: Pass, y: Tensor, at: At, score: Tensor) -> tuple[tuple[Told, ...], float]:
    """What the units that read this one tell it, and dL/dy."""
    readers = seen.readers(y)
    wanted = [y, *(one.output for one in readers)]
    gradients = torch.autograd.grad(score, wanted, retain_graph=True, allow_unused=True)
    told: list[Told] = []
    tangent = torch.zeros_like(y)
    tangent[0][at] = 1.0
    for reader, g in zip(readers, gradients[1:], strict=True):
        if g is None:
            continue
        slopes = _slopes(reader, y, tangent)
        shares = (slopes * g.double())[0]
        for place in shares.nonzero().tolist():
            where = tuple(place)
            told.append(Told(_called(reader), reader.kind, where, g[0][where].item(), float(slopes[0][where]),
                             float(shares[where])))  # fmt: skip
    g = gradients[0]
    return tuple(sorted(told, key=lambda one: -abs(one.told))), 0.0 if g is None else float(g[0][at])


def _slopes(reader: Operation, y: Tensor, tangent: Tensor) -> Tensor:
    """D of everything that the reader makes / d of one unit of y, by the reverse of the reverse.

    J v is the gradient of (u J) v for u; unlike forward differentiation, every layer of torch can do it.
    """
    with torch.enable_grad():
        x = y.detach().clone().requires_grad_()
        made = reader.again(y, x)
        u = torch.zeros_like(made).requires_grad_()
        (row,) = torch.autograd.grad(made, x, u, create_graph=True)
        if not row.requires_grad:
            return torch.zeros_like(made).double()
        (column,) = torch.autograd.grad(row, u, tangent, allow_unused=True)
    return (torch.zeros_like(made) if column is None else column.detach()).double()


def _called(one: Operation) -> str:
    return one.name or "the network"


def _source(seen: Pass, x: Tensor) -> str:
    made = seen.maker(x)
    return IMAGE if made is None else _called(made)


def _followers(seen: Pass, y: Tensor, at: At) -> list[Then]:
    """Norm and activation behind the unit, as long as one step alone reads it."""
    found: list[Then] = []
    while len(readers := seen.readers(y)) == 1 and readers[0].kind in FOLLOWED - NOT_ELEMENTWISE:
        one = readers[0]
        done = terms(one, at)
        y = one.output
        found.append(Then(one.name, one.kind, done.formula, done.result, y[0][at].item()))
    return found


def _patch(one: Operation, found: Terms) -> tuple[int, ...] | None:
    """Channels, rows and columns of the window that the terms are, in reading order."""
    if found.at.shape[1] != 3 or one.layer is None or len(found.at) < 2:
        return None
    sides = tuple(len(np.unique(found.at[:, axis])) for axis in range(3))
    return sides if prod(sides) == len(found.at) else None
