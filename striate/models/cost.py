"""What a network costs before it is run: parameters, multiply-adds, activations, receptive fields, memory.

The model is copied without its numbers (`skeleton`), one image is sent through the copy, and every operation of torch
is looked at as it passes. So this works for any `nn.Module`, takes no memory, and leaves the model as it was.

Conventions: a batch of one image, evaluation mode. MACs are the multiply-adds of convolution and linear layers,
outputs · (c_in/groups) · k · k and c_in · c_out; biases, norms, activations, pooling and element-wise products are
not counted. Activations are the values that layers make; what only passes on its input (flatten, identity, in place)
makes none. Buffers are running statistics, without step counters.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from striate.errors import ShapeError, UsageError
from striate.models.field import Field, after
from striate.models.memory import Memory, measure
from striate.models.shapes import by_name, perform, tensors
from striate.models.skeleton import images, skeleton

CONVENTIONS = "batch 1, evaluation mode; MACs are the multiply-adds of convolution and linear layers"
aten = torch.ops.aten


@dataclass(frozen=True)
class Row:
    """One layer, each time it runs."""

    name: str  # as in model.get_submodule(name); "" is the model itself
    kind: str  # class of the layer
    output: tuple[int, ...]  # shape without the batch
    trainable: int  # parameters that are trained; those that an earlier row counted are left out, here and below
    frozen: int
    buffers: int
    macs: int
    elements: int  # activations
    bytes: int  # of the activations
    field: Field | None  # None: it can't be known, see Cost.notes

    def to_json(self) -> dict[str, Any]:
        seen = self.field and {"size": self.field.size, "stride": None if self.field.merged else self.field.jump}
        return asdict(self) | {"field": seen}


@dataclass(frozen=True)
class Cost:
    """The layers in order of execution, and what they add up to."""

    input: tuple[int, int, int]  # (C, H, W)
    rows: tuple[Row, ...]
    trainable: int
    frozen: int
    buffers: int
    weight_bytes: int  # of parameters and buffers
    unused: tuple[str, ...]  # layers with parameters that did not run; their parameters are in the totals
    notes: tuple[str, ...]  # what could not be known
    _skeleton: nn.Module = field(repr=False, compare=False)

    @property
    def skeleton(self) -> nn.Module:
        """The copy without numbers that was looked at; its names are those of the rows."""
        return self._skeleton

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen

    @property
    def keras_parameters(self) -> int:
        """Keras' "total params": running statistics are (not trained) parameters there."""
        return self.parameters + self.buffers

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def elements(self) -> int:
        return sum(row.elements for row in self.rows)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    def memory(self, batch: int = 1, training: bool = True, optimizer: str = "sgd") -> Memory:
        """Bytes that a training step (or a prediction) on a batch needs; see `striate.models.memory`."""
        return measure(self._skeleton, (batch, *self.input), training, optimizer)

    def to_json(self) -> dict[str, Any]:
        totals = "trainable frozen parameters buffers keras_parameters weight_bytes macs elements bytes"
        return {
            "input": self.input,
            "conventions": CONVENTIONS,
            "totals": {name: getattr(self, name) for name in totals.split()},
            "rows": [row.to_json() for row in self.rows],
            "unused": self.unused,
            "notes": self.notes,
        }


def cost(model: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """What one image (C, H, W) costs in each layer; the model is not touched.

    Raises: UsageError if the shape is not (C, H, W) or the model can't be run on one such image; ShapeError, naming
    the step, where a Striate model can't take it.
    """
    _one_image(input_shape)
    try:
        return cost_of_skeleton(skeleton(model), input_shape)
    except (ShapeError, UsageError):
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        refusal = f"{type(model).__name__} can't be copied and run on an image {input_shape}"
        if any(weight.is_meta for weight in model.parameters()):
            raise UsageError(f"{refusal}: {error}") from error
        try:  # what depends on numbers needs them
            return cost_of_skeleton(skeleton(model, device="cpu"), input_shape)
        except (RuntimeError, TypeError, ValueError) as error:
            raise UsageError(f"{refusal}: {error}") from error


def cost_of_skeleton(copy: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """The same of a model that nobody else needs, as one that was built without numbers: it is not copied.

    Raises: as `cost`, but what torch raises is passed on.
    """
    watch = _run(copy, _one_image(input_shape))
    weights, buffers = list(copy.parameters()), list(copy.buffers())
    return Cost(
        input=input_shape,
        rows=tuple(watch.rows),
        trainable=_count(w for w in weights if w.requires_grad),
        frozen=_count(w for w in weights if not w.requires_grad),
        buffers=_count(buffers),
        weight_bytes=sum(tensor.nbytes for tensor in (*weights, *buffers)),
        unused=tuple(name for name, layer in copy.named_modules() if _own(layer, watch.counted)),
        notes=watch.notes(),
        _skeleton=copy,
    )


def _one_image(shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UsageError(f"the input shape is {shape}; expected (channels, height, width)")
    return 1, *shape


def _run(model: nn.Module, shape: tuple[int, ...]) -> "Watch":
    x = images(model, shape)
    watch = Watch(x)
    with watch.hooked(model.eval()), watch, torch.no_grad():
        model(x)
    return watch


@dataclass
class Call:
    """A layer that is running."""

    name: str
    macs: int = 0


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows one image through a model and writes a row for each layer that it leaves."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows: list[Row] = []
        self.counted: set[int] = set()  # ids of parameters and buffers that have been put into a row
        self.fields = WeakTensorKeyDictionary({x: Field()})  # of every value that depends on the image
        self.running = [Call("")]
        self.lost: dict[str, str] = {}  # operation behind which the field is unknown -> layer where it first was
        self.products: set[str] = set()  # operations that multiply activations by activations

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        """Be told when a layer begins and ends."""
        handles = []
        for name, layer in model.named_modules():
            handles.append(layer.register_forward_pre_hook(lambda _, x, name=name: self.running.append(Call(name))))
            handles.append(layer.register_forward_hook(self.leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def leave(self, layer: nn.Module, x: Any, y: Any) -> None:
        """Write the row of a layer that has children only if it does something of its own."""
        call, inner = self.running.pop(), any(True for _ in layer.children())
        own = _own(layer, self.counted)
        if inner and not own and not call.macs:
            return
        self.counted.update(map(id, own))
        outputs, stored = _tensors(y), {tensor.untyped_storage()._cdata for tensor in _tensors(x)}
        made = [] if inner else [tensor for tensor in outputs if tensor.untyped_storage()._cdata not in stored]
        weights = [w for w in own if isinstance(w, nn.Parameter)]
        self.rows.append(
            Row(
                name=call.name,
                kind=type(layer).__name__,
                output=tuple(outputs[0].shape[1:]) if outputs else (),
                trainable=_count(w for w in weights if w.requires_grad),
                frozen=_count(w for w in weights if not w.requires_grad),
                buffers=_count(b for b in own if not isinstance(b, nn.Parameter)),
                macs=call.macs,
                elements=sum(tensor.numel() for tensor in made),
                bytes=sum(tensor.nbytes for tensor in made),
                field=self.fields[outputs[0]] if outputs and outputs[0] in self.fields else None,
            )
        )

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch would load its compiler (2 s) to say so

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        arguments, y = by_name(operation, args, kwargs or {}), perform(operation, args, kwargs or {})
        self.running[-1].macs += _macs(operation, arguments, y)
        if "bmm" in str(operation) or "attention" in str(operation):
            self.products.add(str(operation.overloadpacket))
        inputs = [(x, self.fields[x]) for x in _tensors((args, kwargs)) if x in self.fields]
        for tensor in _tensors(y) if inputs else []:
            self.fields[tensor] = after(operation, arguments, inputs, tensor)
            if self.fields[tensor] is None and all(seen for _, seen in inputs):
                self.lost.setdefault(str(operation.overloadpacket), self.running[-1].name)
        return y

    def notes(self) -> tuple[str, ...]:
        """What could not be known, in sentences."""
        fields = (
            f"receptive fields could not be followed through {what} in {where!r}" for what, where in self.lost.items()
        )
        products = (
            f"matrix products between activations ({what}) are not in the MACs" for what in sorted(self.products)
        )
        return (*fields, *products)


def _macs(operation: Any, a: dict[str, Any], y: Any) -> int:
    match operation.overloadpacket:
        case aten.convolution:
            positions: Tensor = a["input"] if a["transposed"] else y
            return int(positions.numel() * prod(a["weight"].shape[1:]))
        case aten.addmm:
            return int(a["mat1"].numel() * a["mat2"].shape[1])
        case aten.mm:
            return int(a["self"].numel() * a["mat2"].shape[1])
    return 0


def _tensors(tree: Any) -> list[Tensor]:
    return list(tensors(tree))


def _own(layer: nn.Module, counted: set[int]) -> list[Tensor]:
    """Parameters and running statistics of the layer itself that no row has counted."""
    tensors = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return [tensor for tensor in tensors if id(tensor) not in counted]


def _count(tensors: Iterator[Tensor] | list[Tensor]) -> int:
    """Numbers in parameters and running statistics; the counter of batches that a norm keeps is neither."""
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
