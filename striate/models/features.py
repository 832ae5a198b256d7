"""The maps inside a network, one for each resolution, for what is built on top: detectors, segmentation, retrieval.

The steps of a network that have positions, in their declared order, are its spine. A chain counts as one of them,
unless the resolution changes in it more than once, or a block with branches stands in it before the change. The spine
ends at the head, or where positions are merged. The last step of each resolution is a stage.

Reductions are measured, not declared: two images, one 512 pixels larger than the other, are sent through a copy
without numbers. How much a map grows with them says how far its positions are apart, whatever windows without padding
take off at the border; and a map that does not grow has no positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.blocks.wiring import Chain, Graph, Taps, locate
from striate.errors import ShapeError, UsageError
from striate.models.shapes import perform
from striate.models.skeleton import images, skeleton

SMALL, LARGE = 512, 1024  # sides in pixels; all strides of the zoo divide their difference
Shapes = dict[str, tuple[int, ...]]  # what each step puts out


@dataclass(frozen=True)
class Step:
    """A step of the spine."""

    name: str  # as in model.get_submodule(name)
    reads: tuple[str, ...]  # names of the steps whose values it is given; "" is the image
    channels: int
    reduction: int  # pixels from one position to the next


class Features(Chain):
    """(N, C, H, W) -> a list of maps (N, channels[i], H/reductions[i], W/reductions[i]), large to small.

    `names` are the steps that make them. Parameters are called as in the whole network; what stands behind the last
    map is not there.

    >>> from striate.models.registry import create_model
    >>> some = create_model("cifar_resnet20", features_only=True, stages=(0, -1))
    >>> some.names, some.channels, some.reductions
    (('layer1', 'layer3'), (16, 64), (1, 4))
    >>> [tuple(y.shape) for y in some(torch.zeros(1, 3, 32, 48))]
    [(1, 16, 32, 48), (1, 64, 8, 12)]

    Raises: ShapeError, from forward, naming the step that can't take what it is given.
    """

    def __init__(self, model: nn.Module, spine: Sequence[Step], stages: Sequence[Step]) -> None:
        needed = _needed(spine, stages)
        super().__init__(**_nested(model, [step.name for step in needed]))
        self.names = tuple(stage.name for stage in stages)
        self.channels = tuple(stage.channels for stage in stages)
        self.reductions = tuple(stage.reduction for stage in stages)
        reader = {source: step.name for step in needed for source in step.reads}  # the last of each
        self.plan = tuple(
            (step.name, tuple(step.name.split(".")), step.reads, tuple(s for s in step.reads if reader[s] == step.name))
            for step in needed
        )
        self.train(model.training)

    def forward(self, x: Tensor) -> Any:  # a list of tensors
        made, found = {"": x}, []
        for name, path, reads, done in self.plan:
            step: Any = self
            for part in path:  # looked up when it runs, as in every wiring: a step may have been assigned anew
                step = step._modules[part]
            values = [made[source] for source in reads]
            try:
                made[name] = step(*values)
            except Exception as error:
                locate(error, name, step, values[0], x)
                raise
            for source in done:
                made.pop(source, None)  # nothing reads it any more
            if name in self.names:
                found.append(made[name])
        return found

    def extra_repr(self) -> str:
        pairs = zip(self.names, self.channels, self.reductions, strict=True)
        return ", ".join(f"{name}: {c} channels at 1/{reduction}" for name, c, reduction in pairs)


def features(model: nn.Module, head: str, in_chans: int, stages: Sequence[int] | None = None) -> Features:
    """The network without its head, giving a map for each resolution, or those of `stages`: counted from 0, or the end.

    The model's own steps are used, not copies. `head` is the name of its last layer with weights.

    Raises: UsageError where there is no such stage, or no step of the model gives a map.
    """
    spine = spine_of(model, head, in_chans)
    if not spine:
        raise UsageError(f"no step of this {type(model).__name__} gives a map (N, C, H, W) that could be a feature")
    after = [*(step.reduction for step in spine[1:]), 0]
    every = [step for step, reduction in zip(spine, after, strict=True) if reduction != step.reduction]
    return Features(model, spine, every if stages is None else _chosen(every, stages))


def spine_of(model: nn.Module, head: str, in_chans: int) -> list[Step]:
    """The steps that have positions, with their channels and reductions.

    Raises: UsageError if the model is not wired as those of the zoo are.
    """
    if not (_in_a_row(model) or isinstance(model, Graph)):
        kind = type(model).__name__
        raise UsageError(f"features need a network wired of named steps, a Chain or a Graph; not a {kind}")
    small, large = (_shapes(model, in_chans, side) for side in (SMALL, LARGE))
    assert isinstance(model, Chain)
    return _spine(model, "", "", head, small, large)


def _spine(chain: Chain, prefix: str, given: str, head: str, small: Shapes, large: Shapes) -> list[Step]:
    """The steps of a chain; `given` is the name of the step whose value it begins with."""
    spine: list[Step] = []
    renamed = {"": given}  # a chain within ends with the last of its own steps, where these are taken one by one
    for name, reads in _order(chain):
        full = prefix + name
        step = chain._modules[name]
        grown = [b - a for a, b in zip(small.get(full, ())[2:], large.get(full, ())[2:], strict=True)]
        if f"{head}.".startswith(f"{full}.") or len(grown) != 2 or not all(grown):
            break
        sources = tuple(renamed[source] for source in reads)
        here = Step(full, sources, small[full][1], (LARGE - SMALL) // grown[0])
        within = [here]
        if _in_a_row(step):
            inside = _spine(step, f"{full}.", sources[0], head, small, large)
            before = spine[-1].reduction if spine else 1
            if inside and _holds_stages(step, inside, full, before):
                within = inside
        spine += within
        renamed[name] = within[-1].name
    return spine


def _holds_stages(chain: nn.Module, inside: list[Step], name: str, before: int) -> bool:
    """Whether a chain is more than one step of the spine; see the module's first lines."""
    reductions = [before, *(step.reduction for step in inside)]
    changes = [i for i, (a, b) in enumerate(pairwise(reductions)) if a != b]
    if len(changes) != 1:
        return len(changes) > 1
    earlier = (chain.get_submodule(step.name.removeprefix(f"{name}.")) for step in inside[: changes[0]])
    return any(isinstance(block, Chain) and not _in_a_row(block) for step in earlier for block in step.modules())


def _in_a_row(model: nn.Module) -> TypeGuard[Chain]:
    """Whether it is steps one after the other, heads aside left out."""
    return isinstance(model, Chain) and type(model).forward in (Chain.forward, Taps.forward)


def _order(chain: Chain) -> list[tuple[str, tuple[str, ...]]]:
    """Each step of a wiring and what it reads, "" being what the wiring is given."""
    if isinstance(chain, Graph):
        return [(n, tuple("" if s in chain.inputs else s for s in sources)) for n, sources in chain.sources.items()]
    aside = chain.aside if isinstance(chain, Taps) else {}
    names = [name for name in chain.order if name not in aside]
    return [(name, (before,)) for before, name in zip(("", *names), names, strict=False)]


def _shapes(model: nn.Module, in_chans: int, side: int) -> Shapes:
    """What every step puts out for one square image."""
    found: Shapes = {}
    copy = skeleton(model).eval()
    for name, step in copy.named_modules():
        step.register_forward_hook(lambda _, __, y, name=name: found.__setitem__(name, tuple(y.shape)))
    try:
        with _WithoutNumbers(), torch.no_grad():  # type: ignore[no-untyped-call]
            copy(images(copy, (1, in_chans, side, side)))
    except ShapeError:
        pass  # a network that flattens takes one size alone; what its maps are is known by then
    return found


class _WithoutNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shapes as Striate knows them, which is faster than torch's own; see `striate.models.shapes`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return perform(operation, args, kwargs or {})


def _needed(spine: Sequence[Step], stages: Sequence[Step]) -> list[Step]:
    """The steps that the stages are made with, in order."""
    wanted = {stage.name for stage in stages}
    needed: list[Step] = []
    for step in reversed(spine):
        if step.name in wanted:
            needed.insert(0, step)
            wanted.update(step.reads)
    return needed


def _nested(model: nn.Module, names: list[str]) -> dict[str, nn.Module]:
    """These steps of a model, those of one chain in a chain of its name."""
    steps: dict[str, nn.Module] = {}
    for name in names:
        first, _, rest = name.partition(".")
        if not rest:
            steps[first] = model.get_submodule(name)
        elif first not in steps:
            inner = [other.partition(".")[2] for other in names if other.startswith(f"{first}.")]
            steps[first] = Chain(**_nested(model.get_submodule(first), inner))
    return steps


def _chosen(every: list[Step], stages: Sequence[int]) -> list[Step]:
    """Some of the stages, in the order of the network."""
    listed = ", ".join(f"{i}: {step.name} (1/{step.reduction})" for i, step in enumerate(every))
    places = set()
    for stage in stages:
        if isinstance(stage, bool) or not isinstance(stage, int) or not -len(every) <= stage < len(every):
            raise UsageError(f"there is no stage {stage!r}; the stages are {listed}")
        places.add(stage % len(every))
    if not places or len(places) < len(stages):
        raise UsageError(f"stages is {stages!r}; expected one or more different ones of {listed}")
    return [every[place] for place in sorted(places)]
