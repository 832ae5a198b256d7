"""Freezing a part of a network: its parameters, its running statistics and its mode.

A frozen batch norm normalises by the statistics that it has, and frozen dropout does nothing, whoever calls `train()`
on the network, on a part of it or on the layer itself.

    model = striate.create_model("resnet18", weights="imagenet", num_classes=3)
    frozen = freeze(model, frozen_steps(model, "layer3", head="fc"))
    model.train()          # layer4 and fc train; the others stay as they are
"""

from collections.abc import Iterator, Sequence
from types import MethodType
from typing import Any

from torch import Tensor, nn

from striate.training.transfer.places import within


def freeze(
    module: nn.Module, steps: Sequence[str], apart: Sequence[str] = (), norms: Sequence[str] = ()
) -> tuple[str, ...]:
    """Freeze these steps, and nothing else; names of the tensors that are frozen now, buffers among them.

    What was frozen before and is not named is trained again. Layers in `apart` (heads aside) stay trained wherever
    they stand. Of `norms` that are in no frozen step, statistics and mode are frozen, and scale and shift are trained.
    """
    frozen = dict(_frozen_modules(module, steps, apart))
    held = {**frozen, **{name: module.get_submodule(name) for name in norms}}
    for name, part in module.named_modules():
        for parameter in part.parameters(recurse=False):
            parameter.requires_grad_(name not in frozen)
        if name in held:
            part.__dict__["train"] = MethodType(_stay, part)
            part.training = False
        elif part.__dict__.pop("train", None) is not None:
            part.training = module.training
    return tuple(
        f"{name}.{tensor}"
        for name, part in held.items()
        for tensor in _own(part)
        if name in frozen or tensor in part._buffers
    )


def release(module: nn.Module) -> None:
    """Undo `freeze`."""
    freeze(module, ())


def _stay(part: nn.Module, mode: bool = True) -> nn.Module:
    """In place of `train`: evaluation mode, whatever is asked for; the parts inside are told all the same."""
    part.training = False
    for child in part.children():
        child.train(mode)
    return part


def _frozen_modules(
    module: nn.Module, steps: Sequence[str], apart: Sequence[str]
) -> Iterator[tuple[str, nn.Module]]:  # fmt: skip
    for step in steps:
        for inner, part in module.get_submodule(step).named_modules():
            name = f"{step}.{inner}" if inner else step
            if not any(within(name, head) or within(head, name) for head in apart):
                yield name, part


def _own(part: nn.Module) -> dict[str, Any]:
    """Parameters and buffers that the part holds itself and a run stores."""
    tensors: dict[str, Tensor | None] = {**part._parameters, **part._buffers}
    return {n: t for n, t in tensors.items() if t is not None and n not in part._non_persistent_buffers_set}
