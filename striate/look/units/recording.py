"""One image through a network, every operation written down: which values it read, which it made.

Layers are seen by hooks; what a wiring does itself (adds, joins, multiplies) is seen as torch is called. So nothing has
to be declared, and any `nn.Module` can be looked at; the graph is kept, so that gradients can be asked for afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from striate.run.inference import evaluating

JOINS = {"add": "add", "radd": "add", "cat": "cat", "concat": "cat", "concatenate": "cat",
         "mul": "multiply", "rmul": "multiply", "chunk": "split"}  # fmt: skip

OUT_OF_PLACE = {"add_": torch.add, "mul_": torch.mul, "relu_": torch.relu}  # what `a += b` and its like become


@dataclass(frozen=True, eq=False)
class Operation:
    """A layer that ran, or a join inside of a wiring."""

    name: str  # of the layer; or of the wiring that joins
    kind: str  # class of the layer, or add, cat, multiply, split, or the name of another function of torch
    layer: nn.Module | None  # None: a join
    call: Callable[..., Any]
    arguments: tuple[Any, Any]  # of the call: args and kwargs
    part: int | None  # which of several outputs
    inputs: tuple[Tensor, ...]  # those that depend on the image
    output: Tensor
    versions: tuple[int, ...]  # of inputs and output: counts how often they had been written to

    @property
    def overwritten(self) -> bool:
        """True if a later operation has written over what this one read or made."""
        return self.versions != tuple(t._version for t in (*self.inputs, self.output))

    def again(self, read: Tensor, x: Tensor) -> Tensor:
        """What it makes with x in place of something that it read."""
        leaves, form = tree_flatten(self.arguments)
        x = x.clone()  # a layer that works in place may write over it
        args, kwargs = tree_unflatten([x if leaf is read else leaf for leaf in leaves], form)
        made = self.call(*args, **kwargs)
        y: Tensor = made if self.part is None else made[self.part]
        return y


@dataclass(eq=False)
class Pass:
    """What happened to the image (1, C, H, W): operations in order, and what each step put out."""

    image: Tensor
    logits: Tensor
    operations: list[Operation]
    outputs: dict[str, Tensor]  # of every step, wirings too
    _made: dict[int, Operation] = field(repr=False)

    def maker(self, x: Tensor) -> Operation | None:
        """The operation that made x; None for the image."""
        return self._made.get(id(x))

    def readers(self, x: Tensor) -> list[Operation]:
        """The operations that read x."""
        return [one for one in self.operations if any(read is x for read in one.inputs)]


def run(model: nn.Module, image: Tensor) -> Pass:
    """Send an image (1, C, H, W) through in evaluation mode; modes, hooks and gradients are afterwards as they were.

    What works in place is made to work beside it, so that nothing is written over; unless the answer would be another.
    """
    with torch.inference_mode(False), evaluating(model), torch.enable_grad():
        found, changed = _watched(model, image, keep=True)
        if changed and not torch.allclose(model(image), found.logits):
            found, _ = _watched(model, image, keep=False)
    return found


def _watched(model: nn.Module, image: Tensor, *, keep: bool) -> tuple[Pass, bool]:
    """The pass, and whether something was made to work beside its input."""
    x = image.detach().clone().requires_grad_()
    watch = _Watch(keep)
    watch.known.add(id(x))
    with watch.hooked(model), watch:
        answer = model(x)
    logits = answer if isinstance(answer, Tensor) else answer[0]
    made = {id(one.output): one for one in watch.operations}
    return Pass(x, logits, watch.operations, watch.outputs, made), watch.changed


class _Watch(TorchFunctionMode):
    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep, self.changed = keep, False
        self.operations: list[Operation] = []
        self.outputs: dict[str, Tensor] = {}
        self.known: set[int] = set()  # ids of tensors that depend on the image; `operations` keeps them alive
        self.running: list[str] = []  # wirings
        self.inside = 0  # a layer: what it calls is its own affair

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if self.inside:
            return function(*args, **named)
        word = getattr(function, "__name__", "")
        if self.keep and (word in OUT_OF_PLACE or named.get("inplace") is True):
            function, self.changed = OUT_OF_PLACE.get(word, function), True
            named.pop("inplace", None)
        y = function(*args, **named)
        word = word.strip("_")
        self._note(self.running[-1] if self.running else "", JOINS.get(word, word), None, function, (args, named), y)
        return y

    def _note(self, name: str, kind: str, layer: Any, call: Any, arguments: tuple[Any, Any], y: Any) -> None:
        read = tuple(t for t in tree_flatten(arguments)[0] if isinstance(t, Tensor) and id(t) in self.known)
        several = isinstance(y, (tuple, list))
        for i, made in enumerate(y if several else [y]) if read else ():
            if isinstance(made, Tensor) and made.is_floating_point() and id(made) not in self.known:
                part = i if several else None
                versions = tuple(t._version for t in (*read, made))
                self.operations.append(Operation(name, kind, layer, call, arguments, part, read, made, versions))
                self.known.add(id(made))

    @contextmanager
    def hooked(self, model: nn.Module) -> Iterator[None]:
        handles: list[Any] = []
        in_place = [layer for layer in model.modules() if getattr(layer, "inplace", False) is True]
        for layer in in_place:  # they would write over what is to be shown
            layer.inplace = False  # type: ignore[assignment]  # a setting, not a tensor
        for name, layer in model.named_modules():
            wiring = any(True for _ in layer.children())
            begin, end = (self._enter, self._leave) if wiring else (self._begin, self._end)
            handles.append(layer.register_forward_pre_hook(begin(name)))
            handles.append(layer.register_forward_hook(end(name), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for layer in in_place:
                layer.inplace = True  # type: ignore[assignment]

    def _enter(self, name: str) -> Any:
        return lambda _, x: self.running.append(name)

    def _leave(self, name: str) -> Any:
        def hook(_: nn.Module, args: Any, kwargs: Any, y: Any) -> None:
            self.running.pop()
            if isinstance(y, Tensor):
                self.outputs[name] = y

        return hook

    def _begin(self, name: str) -> Any:
        def hook(_: nn.Module, x: Any) -> None:
            self.inside += 1

        return hook

    def _end(self, name: str) -> Any:
        def hook(layer: nn.Module, args: Any, kwargs: Any, y: Any) -> Any:
            if isinstance(y, Tensor):
                if any(y is x for x in args):
                    y = y.view_as(y)  # a layer that hands on what it is given has an output of its own, too
                self._note(name, type(layer).__name__, layer, layer, (args, kwargs), y)
                self.outputs[name] = y
            self.inside -= 1
            return y

        return hook
