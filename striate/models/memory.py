"""Bytes that a training step or a prediction needs, found by playing it through on tensors that hold no numbers.

Every tensor that torch would allocate is counted when it comes and when it goes, forward and backward. So are the
copies that a convolution works on: on a CPU, oneDNN lays out channels in blocks of 16 (of 8 without AVX-512), for which
few channels are padded. What else a library allocates for itself (fragmentation, the framework's own hundreds of MB)
is not in it.
"""

import weakref
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.blocks.wiring import Stochastic
from striate.errors import UnknownName, UsageError, suggest
from striate.models.shapes import by_name, perform, tensors
from striate.models.skeleton import images

aten = torch.ops.aten
BLOCK = 16  # channels that lie side by side in the copies
FEW = 16  # images from which on one thread, too, leaves 1×1 convolutions to oneDNN
WORKSPACE = -2  # their serial number in the ledger
STATES = {"sgd": 1, "rmsprop": 1, "adam": 2, "adamw": 2}  # numbers kept for each weight; SGD with momentum


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for. Not all are there at the same time: `total` is the highest sum at any time."""

    weights: int  # parameters and running statistics
    gradients: int
    optimizer: int
    activations: int  # the most at any time, images included; in training all that the backward pass needs
    total: int  # with the copies that convolutions work on

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
    for layer in skeleton.modules():  # a copy: a step in which no block is left out needs the most
        if isinstance(layer, Stochastic):
            layer.survival = 1.0
    ledger = Ledger([*weights, *skeleton.buffers()])
    with ledger, torch.set_grad_enabled(training), torch.random.fork_rng(devices=[]):
        y = skeleton(images(skeleton, shape))
        if training:
            outputs = tensors(y)
            gradients_of = [torch.empty(part.shape, dtype=part.dtype, device=part.device) for part in outputs]
            torch.autograd.backward(outputs, gradients_of)
    gradients = {ledger.serial(w.grad) for w in weights if w.grad is not None}
    for w in weights:
        w.grad = None
    activations = ledger.peak(without={*gradients, WORKSPACE})
    return Memory(fixed, trained, state, activations, fixed + state + max(ledger.peak(), trained))


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
        kwargs = kwargs or {}
        named = by_name(operation, args, kwargs)
        y = perform(operation, args, kwargs, named)
        copies, last = _copies(operation, named, y)
        self.entries += [(WORKSPACE, copies), (WORKSPACE, last - copies)]
        for tensor in tensors(y):
            storage = tensor.untyped_storage()
            address, size = storage._cdata, storage.nbytes()
            if address not in self.serials:
                self.serials[address] = len(self.entries)
                self.entries.append((self.serials[address], size))
                weakref.finalize(storage, self._gone, address, size)
        self.entries.append((WORKSPACE, -last))
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


def _copies(operation: Any, a: dict[str, Any], y: Any) -> tuple[int, int]:
    """Bytes that a convolution needs until its last result is allocated, and those of them that go only after that."""
    if operation.overloadpacket in (aten.convolution, aten.convolution_backward) and _one_product(a):
        return 0, 0
    if operation.overloadpacket is aten.convolution:
        result = _in_blocks(y)
        return _blocked(a["input"]) + _blocked_filters(a["weight"], a["groups"]) + result, result
    if operation.overloadpacket is aten.convolution_backward:
        g, filters = _in_blocks(a["grad_output"]), _blocked_filters(a["weight"], a["groups"])
        x, learns = a["input"], a["output_mask"][1]
        for_x = g + filters + _in_blocks(x) if a["output_mask"][0] else 0
        for_filters = x.nbytes * a["output_mask"][0] + g + filters + _blocked(x) if learns else 0
        return max(for_x, for_filters), filters if learns else 0
    return 0, 0


def _one_product(a: dict[str, Any]) -> bool:
    """True where torch multiplies matrices: a filter sees one position, there are few images, and one thread."""
    single: bool = prod(a["weight"].shape[2:]) == prod(a["stride"]) == a["groups"] == 1
    return single and len(a["input"]) < FEW and torch.get_num_threads() == 1


def _blocked(x: Tensor) -> int:
    """The copy of an input; one of few channels is read as it is."""
    return _in_blocks(x) if x.shape[1] >= BLOCK else 0


def _in_blocks(x: Tensor) -> int:
    return x.nbytes // x.shape[1] * _whole(x.shape[1])


def _blocked_filters(weight: Tensor, groups: int) -> int:
    """(c_out, c_in / groups, k, k); filters of single channels are not copied."""
    c_out, c_in = weight.shape[:2]
    return 0 if c_in == 1 < groups else weight.nbytes // (c_out * c_in) * _whole(c_out) * _whole(c_in)


def _whole(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
