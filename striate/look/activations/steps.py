"""Which steps of a network put something out, told while images run through it; and which of them are worth a sheet.

Steps are seen by hooks: every layer, and every block that makes something of its own (a sum, a concatenation). What
only hands on what another step has put out (dropout in evaluation, a block around its last layer) is told apart by the
tensor itself. What a `forward` computes without a layer shows in the output of the step around it alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from striate.look.labels import label
from striate.run.inference import evaluating

OUTPUT = "(output)"  # what the network itself makes after its last step
SEVERAL = 3  # resolutions from which on a block is a row of stages, not a part of one
SMALLER = 2 / 3  # of the side: from here on it is another resolution, not a window without padding
CALLS = {
    "relu", "relu_", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus",
    "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "sigmoid_", "tanh", "tanh_", "softmax", "log_softmax",
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "conv2d", "linear", "batch_norm",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step, each time that it runs."""

    name: str  # as in `trace`: relu, and relu:2 where it runs again
    kind: str  # its class
    label: str  # the same in a few words
    shape: tuple[int, ...]  # (C, h, w) of maps, (C,) of a dense layer: without the batch
    block: bool  # there are steps inside
    makes: bool  # puts out something that no step before has put out

    @property
    def places(self) -> int:
        return prod(self.shape[1:])


@dataclass
class Steps:
    """What ran, in the order in which it finished, and what could not be seen."""

    found: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Tell = Callable[[Step, Tensor], None]


def steps_of(module: nn.Module, image: Tensor) -> Steps:
    """Everything that runs for images (N, c, H, W), seen once; modes, hooks and gradients are as before."""
    seen = Steps()
    watch = _Functions()
    with evaluating(module), watched(module, image, lambda step, _: None, seen), watch.hooked(module), watch:
        module(image)
    seen.notes += watch.notes()
    return seen


@contextmanager
def watched(module: nn.Module, images: Tensor, tell: Tell, seen: Steps) -> Iterator[None]:
    """Within it, `tell` is called with each step that has run and what it put out: before the next can overwrite it.

    Nothing is kept here but what a step was called and its shape.
    """
    known = WeakTensorKeyDictionary({images: _version(images)})  # tensors that a step has put out, while they live
    times: Counter[str] = Counter()

    def hook(name: str, part: nn.Module, block: bool) -> Any:
        def told(_: nn.Module, __: Any, y: Any) -> None:
            if not isinstance(y, Tensor):
                if not block and any(isinstance(leaf, Tensor) for leaf in tree_leaves(y)):
                    _once(seen.notes, f"{name} puts out a {type(y).__name__}, not one tensor: it is left out")
                return
            if not y.is_floating_point() or y.layout != torch.strided or not y.numel():
                return
            if y.ndim < 2 or len(y) != len(images):
                _once(seen.notes, f"{name} puts out {tuple(y.shape)}, which is not one thing an image: it is left out")
                return
            if isinstance(part, nn.LayerNorm | nn.Linear) and y.ndim > 2:
                _once(seen.notes, "some layers have their channels last; here axis 1 is taken for the channels")
            times[name] += 1
            called = name if times[name] == 1 else f"{name}:{times[name]}"
            step = Step(called, type(part).__name__, label(part), tuple(y.shape[1:]), block, not _handed_on(y, known))
            known[y] = _version(y)
            seen.found.append(step)
            tell(step, y.detach())

        return told

    handles = []
    try:
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                _once(seen.notes, "steps inside of TorchScript can't be seen")
                continue
            block = any(True for _ in part.children())
            if name or not block:
                handles.append(part.register_forward_hook(hook(name or OUTPUT, part, block)))
        if any(True for _ in module.children()):  # last, so that its own steps are told before it
            handles.append(module.register_forward_hook(hook(OUTPUT, module, True)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def makers(steps: Sequence[Step]) -> list[Step]:
    """Those that put out something new."""
    return [step for step in steps if step.makes]


def stages(steps: Sequence[Step]) -> list[Step]:
    """The last step of each resolution, on the way that maps take through the network: whole blocks, not their layers.

    Branches aside that squeeze maps and widen them again, as of squeeze and excitation, are none.
    """
    own = [step for step in steps if (step.makes or step.block) and (step.name != OUTPUT or step.makes)]
    maps = [step for step in own if len(step.shape) == 3 and step.places > 1]
    way, widest = [], 0
    for step in reversed(maps):
        widest = max(widest, step.places)
        if step.places == widest:
            way.append(step)
    groups: list[list[Step]] = []
    for step in reversed(way):
        if not groups or step.places <= groups[-1][0].places * SMALLER**2:
            groups.append([])
        groups[-1].append(step)
    spans: dict[str, set[int]] = {}  # resolutions that there are within a block
    for number, group in enumerate(groups):
        for step in group:
            for block in _around(step.name):
                spans.setdefault(block, set()).add(number)

    def depth(step: Step) -> int:
        """In how many blocks it stands, those left out that hold several stages."""
        return sum(len(spans[block]) < SEVERAL for block in _around(step.name))

    return [[step for step in group if depth(step) == min(map(depth, group))][-1] for group in groups]


def _around(name: str) -> list[str]:
    """The blocks that a step stands in.

    >>> _around("layer2.0.conv1")
    ['layer2', 'layer2.0']
    """
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


@dataclass(frozen=True)
class Fold:
    """Blocks that are like the one that is shown."""

    shown: str  # name of the block
    like: tuple[str, ...]  # names of those before it that are left out


def folded(steps: Sequence[Step]) -> tuple[list[Step], list[Fold]]:
    """The steps that make something, without blocks that repeat: of blocks alike in a row the last stays.

    Blocks are alike if the names, kinds and labels of their steps are, and the sides of their maps; channels may grow.
    """
    folds: list[Fold] = []
    return _emit(makers(steps), "", folds), folds


def _emit(steps: Sequence[Step], prefix: str, folds: list[Fold]) -> list[Step]:
    children: dict[str, list[Step]] = {}
    for step in steps:
        children.setdefault(_child(step.name, prefix), []).append(step)
    names = list(children)
    kept: list[Step] = []
    i = 0
    while i < len(names):
        first = _signature(children[names[i]], names[i])
        end = i + 1
        while len(first) > 1 and end < len(names) and _signature(children[names[end]], names[end]) == first:
            end += 1
        last, own = names[end - 1], children[names[end - 1]]
        if end - i > 1:
            folds.append(Fold(last, tuple(names[i : end - 1])))
        below = [step for step in own if step.name != last]
        kept += _emit(below, f"{last}.", folds) if below else []
        kept += [step for step in own if step.name == last]
        i = end
    return kept


def _child(name: str, prefix: str) -> str:
    return prefix + name[len(prefix) :].split(".")[0]


def _signature(own: Sequence[Step], block: str) -> list[tuple[str, str, str, tuple[int, ...]]]:
    return [(step.name.removeprefix(block), step.kind, step.label, step.shape[1:]) for step in own]


def _handed_on(y: Tensor, known: WeakTensorKeyDictionary) -> bool:
    """Whether this is a tensor that some step has put out, perhaps in another form, and nobody has written to since."""
    now = _version(y)
    return any(
        version == now and other.data_ptr() == y.data_ptr() and other.numel() == y.numel()
        for other, version in known.items()  # type: ignore[no-untyped-call]
    )


def _version(y: Tensor) -> int:
    """How often it has been written to; tensors made in inference mode do not count."""
    return -1 if y.is_inference() else y._version


def _once(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


class _Functions(TorchFunctionMode):
    """Notes what a `forward` calls that would be worth seeing, and is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[tuple[str, bool]] = [("", True)]  # name, and whether there are steps inside
        self.called: dict[str, set[str]] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, block = self.running[-1]
        word = getattr(function, "__name__", "")
        if block and word in CALLS:
            self.called.setdefault(name, set()).add(word.strip("_"))
        return function(*args, **(kwargs or {}))

    @contextmanager
    def hooked(self, module: nn.Module) -> Iterator[None]:
        handles = []
        for name, part in module.named_modules():
            block = any(True for _ in part.children())
            if not isinstance(part, torch.jit.ScriptModule):
                handles.append(part.register_forward_pre_hook(self._begin(name, block)))
                handles.append(part.register_forward_hook(lambda *_: self._end(), always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _begin(self, name: str, block: bool) -> Any:
        return lambda *_: self.running.append((name, block))

    def _end(self) -> None:
        self.running.pop()

    def notes(self) -> list[str]:
        """One sentence for all blocks that call the same."""
        callers: dict[str, list[str]] = {}
        for name, calls in self.called.items():
            callers.setdefault(", ".join(sorted(calls)), []).append(name or "the network")
        told = []
        for words, names in callers.items():
            others = f" and {len(names) - 3:,} others" if len(names) > 3 else ""
            them = "calls" if len(names) == 1 else "call"
            told.append(f"{', '.join(names[:3])}{others} {them} {words} without a layer, which is no step to be seen")
        return told
