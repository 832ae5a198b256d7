"""What one image leaves behind on its way through a network in training: shapes, and what waits for the backward pass.

The image goes through a copy without numbers. Torch tells of every tensor that it keeps for the backward pass; each
is counted once, at the layer that first keeps it, and parameters are not counted, since they are there anyway.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.blocks.wiring import Stochastic
from striate.models.repeats import abridged
from striate.models.running import announced
from striate.models.shapes import perform, tensors
from striate.models.skeleton import images


@dataclass(frozen=True)
class Passed:
    """By the name of a layer or block, as in `model.get_submodule(name)`."""

    shapes: dict[str, tuple[int, ...]]  # of the (first) output, without the batch
    kept: dict[str, int]  # bytes for one image; what is kept outside of any layer is at ""
    notes: tuple[str, ...] = ()  # what could not be known


def passed(skeleton: nn.Module, shape: tuple[int, int, int]) -> Passed:
    """Send one image (C, H, W) through a model without numbers; its mode is as it was afterwards.

    A model that can't be trained on one image, because a norm wants several, is sent two, and its bytes are halved.

    Raises: what the model raises where it can't take the image.
    """
    try:
        return _sent(skeleton, (1, *shape), training=True)
    except (RuntimeError, TypeError, ValueError):
        pass
    try:
        two = _sent(skeleton, (2, *shape), training=True)
        return Passed(two.shapes, {name: count // 2 for name, count in two.kept.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        alone = _sent(skeleton, (1, *shape), training=False)
        return Passed(alone.shapes, {}, (f"what a training step keeps is not known: {error}",))


def _sent(skeleton: nn.Module, shape: tuple[int, ...], *, training: bool) -> Passed:
    x = images(skeleton, shape)
    own = {tensor.untyped_storage()._cdata for tensor in (*skeleton.parameters(), *skeleton.buffers())}
    running, shapes, kept = [""], dict[str, tuple[int, ...]](), defaultdict[str, int](int)
    seen: dict[int, torch.UntypedStorage] = {}  # of what is kept; held so that no other tensor takes its place

    def leave(layer: nn.Module, x: Any, y: Any) -> None:
        outputs = tensors(y)
        name = running.pop()
        if outputs:
            shapes[name] = tuple(outputs[0].shape[1:])
        if following := repeats.following(name, x, y):
            again(name, [other for other, _ in following])

    def again(name: str, others: list[str]) -> None:
        """What was found of a block and of all that is in it, for others that are like it."""
        both: tuple[dict[str, Any], ...] = (shapes, kept)
        for found in both:
            inside = [(key, value) for key, value in found.items() if f"{key}.".startswith(f"{name}.")]
            found.update((other + key.removeprefix(name), value) for other in others for key, value in inside)

    def keep(tensor: Tensor) -> None:  # what torch gets back in its place is never asked for: nothing goes backward
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in seen:
            seen[storage._cdata] = storage
            kept[running[-1]] += storage.nbytes()

    modes = [(layer, layer.training) for layer in skeleton.modules()]
    chances = [(layer, layer.survival) for layer, _ in modes if isinstance(layer, Stochastic)]
    try:
        skeleton.train(training)
        for block, _ in chances:  # none is left out: the most that a step can keep
            block.survival = 1.0
        quick = _Quick()  # type: ignore[no-untyped-call]
        remembering = torch.autograd.graph.saved_tensors_hooks(keep, lambda nothing: nothing)
        with (
            abridged(skeleton) as repeats, announced(skeleton, running.append, leave), remembering, quick,
            torch.set_grad_enabled(training), torch.random.fork_rng(devices=[]),
        ):  # fmt: skip
            skeleton(x)
    finally:
        for layer, mode in modes:
            layer.training = mode
        for block, chance in chances:
            block.survival = chance
    return Passed(shapes, dict(kept))


class _Quick(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shapes by `striate.models.shapes` where it knows them: torch's own answers load its compiler first."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        return perform(operation, args, kwargs or {})
