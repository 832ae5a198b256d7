"""What became of the tensors of a weights file: which found their place, which were reshaped, which did not fit."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.models.dialects import OWN, Reading
from striate.models.registry import Entry

AUXILIARY = re.compile(r"(aux\d?|AuxLogits)\.")  # heads that only training uses
MISFIT = "does not fit"


@dataclass(frozen=True)
class Reshaped:
    """A tensor whose shape in the file is not the model's, and what was done about it."""

    name: str
    stored: tuple[int, ...]
    wanted: tuple[int, ...]
    how: str  # "flattened", "summed over channels", ..., or MISFIT


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a weights file; names are the model's."""

    source: str
    tag: str  # of the catalogue; "" for a file it does not know
    dialect: str  # whose names the file has; "own" for ours
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[Reshaped, ...]
    fresh: tuple[str, ...]  # of another number of classes: as they were initialised
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every tensor found its place."""
        return not (self.missing or self.unexpected or any(one.how == MISFIT for one in self.reshaped))

    def __str__(self) -> str:
        said = [f"{len(self.matched)} tensors loaded from {self.source}"]
        said += [f"names as in {self.dialect}"] if self.dialect != OWN.name else []
        said += [f"{some(self.fresh)} not loaded: another number of classes"] if self.fresh else []
        said += [f"{one.name} {one.stored} -> {one.wanted}: {one.how}" for one in self.reshaped[:3]]
        return "; ".join([*said, *self.notes, *self.complaints()])

    def complaints(self) -> list[str]:
        """Half-sentences on what does not fit."""
        wrong = [
            f"{one.name} is {one.stored} in the file and {one.wanted} in the model"
            for one in self.reshaped
            if one.how == MISFIT
        ]
        return [
            *([f"the file lacks {some(self.missing)}"] if self.missing else []),
            *([f"the model has no {some(self.unexpected)}"] if self.unexpected else []),
            *([some(wrong)] if wrong else []),
        ]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def wanted(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a weights file has to have."""
    # How many batches a norm has seen is no weight; Keras and files older than torch 0.4.1 do not have it.
    return {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(".num_batches_tracked")}


def fit(
    model: nn.Module, known: Entry | None, reading: Reading, source: str, tag: str = "",
    *, fresh_head: bool = False, adapt_stem: bool = False,
) -> tuple[dict[str, Tensor], LoadReport]:  # fmt: skip
    """The tensors that the model can take, in its shapes, and the report; the model is not touched.

    `known` names the head, whose number of classes may be another with `fresh_head`, and the first convolution, whose
    number of channels may be with `adapt_stem`.
    """
    want, ready = wanted(model), dict[str, Tensor]()
    fresh, reshaped = list[str](), list[Reshaped]()
    for key, tensor in reading.tensors.items():
        if key not in want or tensor.shape == want[key].shape:
            ready[key] = tensor  # or it is a num_batches_tracked
            continue
        of_head = known is not None and (key.startswith(f"{known.head}.") or AUXILIARY.match(key) is not None)
        of_stem = known is not None and key == f"{known.stem}.weight"
        fitted, how = _fitted(tensor, tuple(want[key].shape), of_head, of_stem and adapt_stem)
        if fitted is None and of_head and fresh_head:
            fresh.append(key)
            continue
        reshaped.append(Reshaped(key, tuple(tensor.shape), tuple(want[key].shape), how))
        if fitted is not None:
            ready[key] = fitted
    left = [name for name in reading.left if not name.endswith("num_batches_tracked")]
    unexpected = tuple(name for name in left if not AUXILIARY.match(name))
    notes = list(reading.notes)
    if dropped := len(left) - len(unexpected):
        notes.append(f"{dropped} tensors of auxiliary heads, which only training uses, were left out")
    seen = {*ready, *fresh, *(one.name for one in reshaped)}
    return ready, LoadReport(
        source, tag, reading.dialect.name, matched=tuple(key for key in want if key in ready),
        missing=tuple(key for key in want if key not in seen), unexpected=unexpected, reshaped=tuple(reshaped),
        fresh=tuple(fresh), notes=tuple(notes),
    )  # fmt: skip


def _fitted(tensor: Tensor, shape: tuple[int, ...], of_head: bool, of_stem: bool) -> tuple[Tensor | None, str]:
    """A tensor in another shape, where that means the same, and what was done; None where it does not fit."""
    have = tuple(tensor.shape)
    if len(have) == 4 and len(shape) == 2 and tuple(tensor.flatten(1).shape) == shape:
        return tensor.flatten(1), "flattened"
    if len(shape) == 4 and shape == (*have, 1, 1):
        return tensor[..., None, None], "as a 1×1 convolution"
    if of_head and have[0] == 1001 and shape[0] == 1000:
        fitted, how = _fitted(tensor[1:], shape, False, False) if have[1:] != shape[1:] else (tensor[1:], "")
        return fitted, "without its first class, which stands for none of the thousand" if fitted is not None else how
    if of_stem and len(have) == 4 and len(shape) == 4 and (have[0], *have[2:]) == (shape[0], *shape[2:]):
        if shape[1] == 1:
            return tensor.sum(1, keepdim=True), "summed over channels"
        channels = torch.arange(shape[1]) % have[1]
        return tensor[:, channels] * (have[1] / shape[1]), f"channels repeated, and scaled by {have[1]}/{shape[1]}"
    return None, MISFIT


def some(items: Sequence[str]) -> str:
    """The first three of many.

    >>> some(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    return ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
