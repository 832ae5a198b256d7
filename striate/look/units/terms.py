"""What one unit of a layer is made of: the record, and how the values that feed it are read.

Nothing is read but what feeds the unit, and it is added up in float64 whatever the network does: what differs from
torch is torch's own rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.look.by_hand.tape import as_array
from striate.math.arrays import Array, Whole

At = tuple[int, ...]  # a place in a value, without the batch


@dataclass(frozen=True, eq=False)
class Terms:
    """T values that feed a unit, and how they make it.

    `slopes` are the derivatives of the unit for what it reads, `weight_slopes` those for the weights of the terms, and
    `parameter_slopes` those for single parameters, by name (all in the unit's own kernel).
    """

    formula: str
    at: Whole  # (T, D) places in the input; outside of it where `inside` is false
    x: Array  # (T,) what stands there; 0 in the padding
    values: Array  # (T,) what each term adds
    result: float  # the unit
    slopes: Array  # (T,)
    word: str = "w·x"  # what a value is
    w: Array | None = None  # (T,) what x is multiplied with
    weight: str = ""  # the parameter that w is read from
    weight_at: Whole | None = None  # (T, E) and where
    weight_slopes: Array | None = None  # (T,)
    source: Whole | None = None  # (T,) which of several inputs; None: there is one
    inside: NDArray[np.bool_] | None = None  # (T,) None: all
    winner: int | None = None  # of a max: the term that is handed on
    total: float | None = None  # of the values, if they are added up
    bias: float | None = None
    lines: tuple[tuple[str, float], ...] = ()  # from the sum to the result
    parameter_slopes: dict[str, float] = field(default_factory=dict)
    coupling: tuple[float, ...] = ()  # of routing: how much of each capsule below the unit's capsule gets


def numbers(layer: Any, name: str) -> Array | None:
    """A parameter or buffer as it lies in memory; what is read of it is turned into float64."""
    found = getattr(layer, name, None)
    return as_array(found) if isinstance(found, Tensor) else None


def double(x: Array) -> Array:
    return x.astype(np.float64)


def grid(*axes: Sequence[int]) -> Whole:
    """Every combination, in reading order: (T, axes)."""
    made: Whole = np.stack(np.meshgrid(*(np.asarray(a, np.int64) for a in axes), indexing="ij"), -1)
    return made.reshape(-1, len(axes))


def look_up(x: Array, at: Whole) -> tuple[Array, NDArray[np.bool_]]:
    """What x (1, ...) holds at the places, 0 outside of it; and which are inside."""
    inside = np.all((at >= 0) & (at < np.array(x.shape[1:])), axis=1)
    found = np.zeros(len(at))
    found[inside] = x[0][tuple(at[inside].T)]
    return found, inside


def weighted(x: Array, at: Whole, w: Array, formula: str, bias: float | None = None, **more: Any) -> Terms:
    """Σ w·x, and a bias."""
    read, inside = look_up(x, at)
    values = w * read
    total = float(values.sum())
    return Terms(
        formula, at, read, values, total + (bias or 0.0), w, w=w, inside=inside, total=total, bias=bias, **more
    )


def changed(done: Terms, **changes: Any) -> Terms:
    return Terms(**(done.__dict__ | changes))


def one_value(x: Array, number: int, otherwise: float, what: str, source: int = 0) -> Terms:
    """One value, handed on; or padding, where its number is -1."""
    at = np.array([np.unravel_index(number, x.shape[1:]) if number >= 0 else (-1,) * (x.ndim - 1)])
    value, slope = np.array([x[0].flat[number] if number >= 0 else otherwise]), np.array([float(number >= 0)])
    return Terms(f"y = x ({what})", at, value, value, float(value[0]), slope, word="x", source=np.array([source]),
                 inside=np.array([number >= 0]))  # fmt: skip
