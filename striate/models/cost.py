"""What a network costs before it is run: parameters, multiply-adds, activations, receptive fields, memory.

The model is copied without its numbers (`skeleton`), one image is sent through the copy, and every operation of torch
is looked at as it passes. So this works for any `nn.Module`, takes no memory, and leaves the model as it was.

Conventions: a batch of one image, evaluation mode. MACs are the multiply-adds of convolution and linear layers,
outputs · (c_in/groups) · k · k and c_in · c_out; biases, norms, activations, pooling and element-wise products are
not counted. Activations are the values that layers make; what only passes on its input (flatten, identity, in place)
makes none. Buffers are running statistics, without step counters.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from math import prod
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import ShapeError, UsageError
from striate.models.field import Field, after
from striate.models.memory import Memory, measure
from striate.models.repeats import Repeats, abridged
from striate.models.running import announced
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
    with abridged(model.eval()) as repeats:
        watch = Watch(x, repeats)
        with announced(model, watch.enter, watch.leave), watch, torch.no_grad():
            model(x)
    return watch


@dataclass
class Call:
    """A layer that is running."""

    name: str
    first: int  # rows that were there when it began
    macs: int = 0


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows one image through a model and writes a row for each layer that it leaves."""

    def __init__(self, x: Tensor, repeats: Repeats | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.repeats = repeats
        self.rows: list[Row] = []
        self.counted: set[int] = set()  # ids of parameters and buffers that have been put into a row
        self.fields: dict[int, tuple[ref[Tensor], Field | None]] = {}  # by the id of a value that depends on the image
        self.note(x, Field())
        self.running = [Call("", 0)]
        self.lost: dict[str, str] = {}  # operation behind which the field is unknown -> layer where it first was
        self.products: set[str] = set()  # operations that multiply activations by activations

    def note(self, x: Tensor, seen: Field | None) -> None:
        """Remember what a value sees as long as it is there; torch's dictionary for that takes ten times as long."""
        self.fields[id(x)] = ref(x), seen

    def dependent(self, values: list[Tensor]) -> list[tuple[Tensor, Field | None]]:
        """Those values that depend on the image, with what they see."""
        found = [(x, self.fields.get(id(x))) for x in values]
        return [(x, known[1]) for x, known in found if known and known[0]() is x]

    def seen(self, value: Tensor) -> Field | None:
        """What a value sees of the image; None if it can't be known, or depends on none."""
        return next((field for _, field in self.dependent([value])), None)

    def enter(self, name: str) -> None:
        self.running.append(Call(name, len(self.rows)))

    def leave(self, layer: nn.Module, x: Any, y: Any) -> None:
        """Write the row of a layer, and those of the blocks that will not run because they are like this one."""
        call = self.running.pop()
        self.write(call, layer, x, y)
        following = self.repeats.following(call.name, x, y) if self.repeats else ()
        if following:
            self.write_again(call, x[0], y, following)

    def write_again(self, call: Call, x: Tensor, y: Tensor, following: tuple[tuple[str, nn.Module], ...]) -> None:
        """The rows of a block once more for each that follows: their fields grow as they did from its input on."""
        rows = self.rows[call.first :]
        before, now = self.seen(x), self.seen(y)
        for times, (name, block) in enumerate(following, start=1):
            for row in rows:
                seen = row.field and row.field.grown(before, now, times)
                self.rows.append(replace(row, name=name + row.name.removeprefix(call.name), field=seen))
            for layer in block.modules():
                self.counted.update(map(id, _own(layer, self.counted)))
        self.note(y, now and now.grown(before, now, len(following)))

    def write(self, call: Call, layer: nn.Module, x: Any, y: Any) -> None:
        """Write the row of a layer that has children only if it does something of its own."""
        inner = any(child is not None for child in layer._modules.values())
        own = _own(layer, self.counted)
        if inner and not own and not call.macs:
            return
        self.counted.update(map(id, own))
        outputs, stored = tensors(y), {tensor.untyped_storage()._cdata for tensor in tensors(x)}
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
                field=self.seen(outputs[0]) if outputs else None,
            )
        )

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch would load its compiler (2 s) to say so

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        arguments = by_name(operation, args, kwargs)
        y = perform(operation, args, kwargs, arguments)
        self.running[-1].macs += _macs(operation, arguments, y)
        if _multiplies_activations(operation):
            self.products.add(str(operation.overloadpacket))
        inputs = self.dependent(tensors((args, kwargs)))
        for tensor in tensors(y) if inputs else []:
            found = after(operation, arguments, inputs, tensor)
            self.note(tensor, found)
            if found is None and all(seen for _, seen in inputs):
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


@cache
def _multiplies_activations(operation: Any) -> bool:
    return "bmm" in str(operation) or "attention" in str(operation)


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


def _own(layer: nn.Module, counted: set[int]) -> list[Tensor]:
    """Parameters and running statistics of the layer itself that no row has counted."""
    found = {id(x): x for x in (*layer._parameters.values(), *layer._buffers.values()) if x is not None}
    return [x for number, x in found.items() if number not in counted]


def _count(tensors: Iterator[Tensor] | list[Tensor]) -> int:
    """Numbers in parameters and running statistics; the counter of batches that a norm keeps is neither."""
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
