"""Which steps of a network to look at, and how to be told what they put out without keeping any of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from striate.blocks.wiring import Chain
from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.models.features import spine_of
from striate.run.inference import evaluating

Receive = Callable[[str, Tensor], None]
SHRINKS = 0.75  # of the height a stage began with: below it, the next one has begun


@contextmanager
def told(module: nn.Module, names: Sequence[str], receive: Receive, *, before: bool = False) -> Iterator[None]:
    """Call `receive(name, output)` whenever a named step has run; with `before`, with what the step is given.

    A step that runs more than once in a pass is called `relu`, `relu:2`, `relu:3` ... It is told at once, before the
    next step can work in place. Afterwards the hooks are gone, also after an error.

    Raises: UnknownName for a step that the module does not have, ShapeError for one that puts out no tensor or that
    did not run in a pass.
    """
    known = {name: part for name, part in module.named_modules(remove_duplicate=False) if name}
    wanted = list(dict.fromkeys(names))
    homes = {name: _home(name, known, module) for name in wanted}
    runs: Counter[str] = Counter()
    heard: set[str] = set()

    def start(_: nn.Module, __: Any) -> None:
        runs.clear()
        heard.clear()

    def end(_: nn.Module, __: Any, ___: Any) -> None:
        if missing := [name for name in wanted if name not in heard]:
            times = runs[homes[missing[0]]]
            ran = f"it ran {times} times" if times else "it did not run"
            raise ShapeError(
                f"nothing was seen of step {missing[0]!r}: {ran} in a pass of this {type(module).__name__}"
            )

    def hear(home: str, value: Any) -> None:
        runs[home] += 1
        name = home if runs[home] == 1 else f"{home}:{runs[home]}"
        if name not in homes:
            return
        if not isinstance(value, Tensor):
            raise ShapeError(f"step {name!r} puts out a {type(value).__name__}; expected one tensor")
        heard.add(name)
        receive(name, value)

    hooks = [module.register_forward_pre_hook(start)]
    try:
        for home in dict.fromkeys(homes.values()):
            part = known[home]
            hooks.append(
                part.register_forward_pre_hook(lambda _, given, home=home: hear(home, given[0] if given else None))
                if before
                else part.register_forward_hook(lambda _, __, made, home=home: hear(home, made))
            )
        hooks.append(module.register_forward_hook(end))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def stream(
    module: nn.Module, batches: Iterable[Tensor], names: Sequence[str], receive: Receive, *, before: bool = False
) -> int:
    """Run batches (N, c, H, W) through a module, in evaluation mode and without gradients; the number of images.

    Nothing is kept: what the named steps put out is handed to `receive` and forgotten. Raises: as `told`.
    """
    weight = next(module.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    images = 0
    with told(module, names, receive, before=before), evaluating(module):
        for batch in batches:
            images += len(batch)
            module(batch.to(device))
    return images


def stages(module: nn.Module, image: Tensor) -> tuple[str, ...]:
    """The last step of each resolution, large to small; `image` (1, c, H, W) is sent through once.

    A network wired of named steps says so itself (see `striate.models.features`). In any other module it is the last
    of the outermost steps whose maps have about that size.

    Raises: ShapeError where no step puts out maps.
    """
    if isinstance(module, Chain):
        try:
            spine = spine_of(module, head_of(module, image), image.shape[1])
        except UsageError:
            spine = []
        after = [*(step.reduction for step in spine[1:]), 0]
        if spine:
            return tuple(step.name for step, next_ in zip(spine, after, strict=True) if next_ != step.reduction)
    found: list[list[tuple[str, int]]] = []  # a list a stage: the maps' names and heights, as they came
    for name, shape in _outputs(module, image):
        if len(shape) == 4 and shape[2] * shape[3] > 1:
            if not found or shape[2] <= SHRINKS * found[-1][0][1]:
                found.append([])
            found[-1].append((name, shape[2]))
    if not found:
        raise ShapeError(f"{type(module).__name__} has no step that puts out maps (N, channels, h, w) larger than 1x1")
    outermost = (min(name.count(".") for name, _ in stage) for stage in found)
    return tuple(
        next(name for name, _ in reversed(stage) if name.count(".") == depth)
        for stage, depth in zip(found, outermost, strict=True)
    )


def head_of(module: nn.Module, image: Tensor) -> str:
    """The name of the last step with a weight matrix or filters that runs: what it is given are the last features.

    Raises: ShapeError where the module has none.
    """
    parts = dict(module.named_modules())
    heads = [name for name, _ in _outputs(module, image) if _weighs(parts[name])]
    if not heads:
        raise ShapeError(f"{type(module).__name__} has no step with weights, so there are no last features")
    return heads[-1]


def dense(module: nn.Module, image: Tensor) -> tuple[str, ...]:
    """The steps with weights that put out (N, d), without places; the last step with weights, the head, left out."""
    parts = dict(module.named_modules())
    weighed = [(name, shape) for name, shape in _outputs(module, image) if _weighs(parts[name])]
    return tuple(name for name, shape in weighed[:-1] if len(shape) == 2)


def _outputs(module: nn.Module, image: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """What the steps put out, in the order in which they end."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def watch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            found.append((name, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return hook

    hooks = []
    try:
        for name, part in module.named_modules():
            if name:
                hooks.append(part.register_forward_hook(watch(name)))
        stream(module, [image], (), lambda _, __: None)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _weighs(part: nn.Module) -> bool:
    """A matrix or filters of its own; also fixed ones, as the codes that LeNet-5 of 1998 compares with."""
    return any(weight.ndim > 1 for weight in (*part.parameters(recurse=False), *part.buffers(recurse=False)))


def _home(name: str, known: dict[str, nn.Module], module: nn.Module) -> str:
    """The step that has the name, which may end in the number of its run."""
    if name in known:
        return name
    home, _, times = name.rpartition(":")
    if home in known and times.isdecimal() and int(times) > 1:
        return home
    there = ", ".join(list(known)[:12]) + (" ..." if len(known) > 12 else "")
    raise UnknownName(f"{type(module).__name__} has no step {name!r}{suggest(name, known, f'there are {there}')}")
