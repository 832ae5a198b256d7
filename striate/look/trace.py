"""Watch a model run: every named step's output, by name."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from striate.errors import UnknownName, suggest


class Seen(dict[str, Tensor]):
    """What the steps put out, by name, in the order in which they finished."""

    def __missing__(self, name: str) -> Tensor:
        raise UnknownName(f"no output of a step {name!r} was recorded{suggest(name, self, _there_are(self))}")


@contextmanager
def trace(model: nn.Module, *names: str, clone: bool = True) -> Iterator[Seen]:
    """Record what the named steps (all of them, if none is named) put out.

    with trace(model, "layer1", "layer4") as seen:
        logits = model(x)
    seen["layer4"]  # (N, 512, H/32, W/32), still in the graph: gradients flow through it

    A step that runs more than once in a pass is recorded each time: `relu`, `relu:2`, `relu:3` ... A new pass begins
    a new record. Steps that put out something else than one tensor are left out. The hooks are gone when the block
    ends, also when it ends in an error.

    With `clone` the next step gets a copy, so that what is recorded stays what the step put out even where the next
    one overwrites its input (an in-place ReLU); `clone=False` saves that copy for models known to have none.

    Raises: UnknownName for a step that the model does not have, and when one is asked for that did not run.
    """
    known = {name: part for name, part in model.named_modules(remove_duplicate=False) if name}
    for name in names:
        if name not in known:
            raise UnknownName(f"{type(model).__name__} has no step {name!r}{suggest(name, known, _there_are(known))}")
    seen = Seen()

    def start(_: nn.Module, __: Any) -> None:
        seen.clear()

    def record(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            key, again = name, 1
            while key in seen:
                again += 1
                key = f"{name}:{again}"
            seen[key] = output
            return output.clone() if clone else None

        return hook

    hooks = [model.register_forward_pre_hook(start)]
    try:
        for name in names or [name for name, _ in model.named_modules() if name]:
            hooks.append(known[name].register_forward_hook(record(name)))
        yield seen
    finally:
        for handle in hooks:
            handle.remove()


def _there_are(names: Iterable[str]) -> str:
    first = list(names)
    return (
        f"there are {', '.join(first[:12])}{' ...' if len(first) > 12 else ''}"
        if first
        else "the model has not run yet"
    )
