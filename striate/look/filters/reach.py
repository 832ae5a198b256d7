"""A pass through a network that goes no further than to the layers that are asked for.

The pass is stopped by an exception in a hook, so it works for any module; what stands behind is not run, and need not
fit the image. The exception is no `Exception`, so that a `forward` that catches those can't swallow it.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.look.explain.score import logits
from striate.look.filters.objectives import LOGITS


class Reached(BaseException):
    """All that was asked for is there."""


def reach(module: nn.Module, x: Tensor, layers: Sequence[str], classes: int | None = None) -> dict[str, Tensor]:
    """Images (N, c, H, W) -> what the named layers put out, by name, in the order in which they ran.

    `relu:2` is the second time that a step runs; "" is the logits (N, classes), before any softmax. The values are in
    the graph, and stay as the layer put them out, also where the next one works in place.

    Raises: UnknownName for a layer that is not there; ShapeError for one that did not run or puts out no tensor of
    channels; UsageError for logits without `classes`.
    """
    wanted = [layer for layer in layers if layer != LOGITS]
    whole = LOGITS in layers
    if whole and classes is None:
        raise UsageError("the logit of a class is asked for; say how many classes the network has: classes=...")
    seen: dict[str, Tensor] = {}
    runs: dict[str, int] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            runs[name] = runs.get(name, 0) + 1
            keys = [k for k in (name, f"{name}:{runs[name]}") if k in wanted and (k != name or runs[name] == 1)]
            if not keys:
                return None
            if not isinstance(output, Tensor) or output.ndim not in (2, 4) or len(output) != len(x):
                shape = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
                raise ShapeError(
                    f"layer {keys[0]!r} puts out {shape}; a pattern needs (N, channels, h, w) or (N, units)"
                )
            seen.update(dict.fromkeys(keys, output))
            if len(seen) == len(set(wanted)) and not whole:
                raise Reached
            return output.clone()

        return hook

    handles = [step(module, name).register_forward_hook(watch(name)) for name in dict.fromkeys(map(plain, wanted))]
    try:
        if whole:
            assert classes is not None
            seen[LOGITS] = logits(module, x, classes)
        else:
            module(x)
    except Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for layer in wanted:
        if layer not in seen:
            times = runs.get(plain(layer), 0)
            often = "once" if times == 1 else f"{times} times"
            raise ShapeError(f"layer {layer!r} did not run{f'; {plain(layer)!r} runs {often}' if times else ''}")
    return seen


def plain(layer: str) -> str:
    """The step's name without the number of its run.

    >>> plain("relu:2"), plain("layer1.0.relu")
    ('relu', 'layer1.0.relu')
    """
    name, _, run = layer.rpartition(":")
    return name if name and run.isdecimal() else layer


def step(module: nn.Module, name: str) -> nn.Module:
    """A step of a network by its name.  Raises: UnknownName, with the nearest."""
    known = {key: part for key, part in module.named_modules(remove_duplicate=False) if key}
    if name not in known:
        some = ", ".join(list(known)[:12]) + (" ..." if len(known) > 12 else "")
        raise UnknownName(f"{type(module).__name__} has no layer {name!r}{suggest(name, known, f'there are {some}')}")
    part: nn.Module = known[name]
    return part
