"""Bytes that a training step or a prediction needs, found by playing it through on tensors that hold no numbers.

Every tensor that torch would allocate is counted when it comes and when it goes, forward and backward. What a library
allocates for itself (workspace of a convolution, fragmentation, the framework's own hundreds of MB) is not in it.
"""

import weakref
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.errors import UnknownName, UsageError, suggest
from striate.models.shapes import perform
from striate.models.skeleton import images

STATES = {"sgd": 1, "rmsprop": 1, "adam": 2, "adamw": 2}  # numbers kept for each weight; SGD with momentum


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for. Not all are there at the same time: `total` is the highest sum at any time."""

    weights: int  # parameters and running statistics
    gradients: int
    optimizer: int
    activations: int  # the most at any time, images included; in training all that the backward pass needs
    total: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def measure(skeleton: nn.Module, shape: tuple[int, ...], training: bool, optimizer: str) -> Memory:
    """Play one step of the model on a batch (N, C, H, W).

    Raises: UnknownName for the optimiser; UsageError for an empty batch; ShapeError if a step can't take the images.
    """
    if optimizer not in STATES:
        known = f"known are {', '.join(STATES)}"
        raise UnknownName(f"no optimiser is called {optimizer!r}{suggest(optimizer, STATES, known)}")
    if shape[0] < 1:
        raise UsageError(f"the batch is {shape[0]}; expected at least one image")
    weights = list(skeleton.parameters())
    fixed = _bytes(weights) + _bytes(skeleton.buffers())
    trained = _bytes(w for w in weights if w.requires_grad) if training else 0
    state = trained * STATES[optimizer]

    skeleton.train(training)
    ledger = Ledger(tree_leaves((weights, list(skeleton.buffers()))))
    with ledger, torch.set_grad_enabled(training), torch.random.fork_rng(devices=[]):
        y = skeleton(images(skeleton, shape))
        if training:
            torch.stack([part.sum() for part in tree_leaves(y) if isinstance(part, Tensor)]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = {ledger.serial(w.grad) for w in weights if w.grad is not None}
    for w in weights:
        w.grad = None
    return Memory(fixed, trained, state, ledger.peak(without=gradients), fixed + state + max(ledger.peak(), trained))


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down when the storage of a tensor comes and when it goes."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: list[tuple[int, int]] = []  # serial number, bytes: positive when it comes, negative when it goes
        self.serials = {tensor.untyped_storage()._cdata: -1 for tensor in known}  # of what is there now

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch would load its compiler (2 s) to say so

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        y = perform(operation, args, kwargs or {})
        for tensor in tree_leaves(y):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                address, size = storage._cdata, storage.nbytes()
                if address not in self.serials:
                    self.serials[address] = len(self.entries)
                    self.entries.append((self.serials[address], size))
                    weakref.finalize(storage, self._gone, address, size)
        return y

    def _gone(self, address: int, size: int) -> None:
        self.entries.append((self.serials.pop(address), -size))

    def serial(self, tensor: Tensor) -> int:
        return self.serials[tensor.untyped_storage()._cdata]

    def peak(self, without: Iterable[int] = ()) -> int:
        """The most bytes that were there at any time."""
        here = most = 0
        for serial, size in self.entries:
            here += size if serial not in without else 0
            most = max(most, here)
        return most


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
