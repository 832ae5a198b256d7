"""One pass through a network by hand: what every step made of what, and the way back.

A `Walk` goes through a network in the order that its wirings declare. Each operation is written down: what it read,
what it made, and how it hands a gradient back. `back` then reads these notes from the last to the first, and adds up
what each value and each parameter is told. There is no autograd in it: torch only holds the parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.math.arrays import Array

Back = Callable[[Array], tuple[Array, ...]]  # dL/dy -> dL/d of everything that was read


@dataclass(eq=False)
class Value:
    """An array that a step read or made, and the gradient of the loss for it once it is known."""

    array: Array
    g: Array | None = None

    def told(self, g: Array) -> None:
        """Add a reader's share of the gradient."""
        self.g = g if self.g is None else self.g + g


class Note(NamedTuple):
    """What one operation did."""

    made: Value
    read: tuple[Value, ...]
    back: Back


@dataclass
class Walk:
    """What a pass has seen so far.

    `masks` are the draws of dropout and stochastic depth by step; those that are not given are drawn from torch's
    generator, in the order and in the way in which the network itself would draw them.
    """

    masks: dict[str, Array] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    made: dict[str, Value] = field(default_factory=dict)  # by step
    heads: dict[str, Value] = field(default_factory=dict)  # auxiliary logits by field
    head_share: float = 1.0  # the weight of each auxiliary loss
    gradients: dict[str, Array] = field(default_factory=dict)  # by parameter
    running: dict[str, Array] = field(default_factory=dict)  # running averages after this pass, by buffer

    def note(self, y: Array, back: Back, *read: Value) -> Value:
        """Write an operation down."""
        made = Value(y)
        self.notes.append(Note(made, read, back))
        return made

    def back(self) -> None:
        """Hand gradients back from the values that have one to all that they were made of; the notes are used up."""
        while self.notes:
            made, read, back = self.notes.pop()
            if made.g is not None:
                for value, g in zip(read, back(made.g), strict=True):
                    value.told(g)


@dataclass(frozen=True)
class Place:
    """A step of the network: its layer, its name, and the walk that has come to it."""

    walk: Walk
    name: str
    layer: Any  # an nn.Module, whose attributes are its settings

    def numbers(self, key: str) -> Array | None:
        """A parameter or buffer of the layer as an array that shares its memory; None if it has none."""
        found = getattr(self.layer, key, None)
        return as_array(found) if isinstance(found, Tensor) else None

    def learn(self, key: str, d: Array) -> None:
        """Add to the gradient of a parameter of the layer."""
        parameter = getattr(self.layer, key, None)
        if isinstance(parameter, nn.Parameter) and parameter.requires_grad:
            at = self.path(key)
            known = self.walk.gradients.get(at)
            self.walk.gradients[at] = d if known is None else known + d

    def path(self, key: str) -> str:
        """The whole name of something in this step."""
        return f"{self.name}.{key}" if self.name else key

    def mask(self, draw: Callable[[], Tensor]) -> Array:
        """The step's mask of zeros and ones: as given, or drawn now."""
        if self.name not in self.walk.masks:
            self.walk.masks[self.name] = as_array(draw())
        return self.walk.masks[self.name]


def as_array(tensor: Tensor) -> Array:
    """The numbers of a tensor, without a copy where they lie in memory that numpy can read."""
    numbers: Array = tensor.detach().cpu().numpy()
    return numbers


def torch_type(x: Array) -> torch.dtype:
    return torch.float32 if x.dtype == np.float32 else torch.float64


def given(masks: Mapping[str, Array | Tensor] | None) -> dict[str, Array]:
    """Masks by step, as arrays."""
    return {name: as_array(m) if isinstance(m, Tensor) else np.asarray(m) for name, m in (masks or {}).items()}
