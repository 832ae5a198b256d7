"""Which pixels of the image one unit can depend on."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from striate.look.units.recording import Operation, Pass
from striate.look.units.rules import terms
from striate.look.units.terms import At
from striate.models.cost import cost
from striate.models.field import Field


@dataclass(frozen=True)
class Box:
    """Pixels of the image, the last ones included. Beyond the image is padding."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top + 1, self.right - self.left + 1

    def union(self, other: "Box") -> "Box":
        return Box(min(self.top, other.top), min(self.left, other.left),
                   max(self.bottom, other.bottom), max(self.right, other.right))  # fmt: skip


def fields_of(model: nn.Module, x: Tensor) -> dict[str, Field | None]:
    return {row.name: row.field for row in cost(model, (x.shape[1], x.shape[2], x.shape[3])).rows}


def box_of(seen: Pass, fields: Mapping[str, Field | None], one: Operation, at: At) -> Box | None:
    """The pixels that a unit can depend on; a join sees what its inputs see."""
    if one.layer is not None:
        found = fields.get(one.name)
        if found is None:
            return None
        row, column = at[-2:] if len(at) == 3 else (0, 0)
        (top, left), (bottom, right), (down, across) = found.low, found.high, found.jump
        return Box(top + row * down, left + column * across, bottom + row * down, right + column * across)
    done = terms(one, at)
    boxes: list[Box] = []
    for source, place in zip(done.source if done.source is not None else [0] * len(done.at), done.at, strict=True):
        made = seen.maker(one.inputs[source])
        where = tuple(int(i) for i in place)
        box = Box(where[1], where[2], where[1], where[2]) if made is None else box_of(seen, fields, made, where)
        if box is None:
            return None
        boxes.append(box)
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return whole
