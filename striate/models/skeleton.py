"""A copy of a model without its numbers: same layers, same shapes, no memory."""

import copy
from collections import OrderedDict
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


def skeleton(model: nn.Module, device: str = "meta") -> nn.Module:
    """A copy on the meta device, whose tensors have a shape and nothing else; hooks and gradients are not copied.

    On another device it is a copy with its numbers, still without hooks.
    """
    memo: dict[int, Any] = {}  # what deepcopy is to take in place of a copy
    for module in model.modules():
        for name, value in vars(module).items():
            if name.endswith("_hooks") or "_hooks_" in name:
                memo[id(value)] = OrderedDict() if isinstance(value, dict) else value
            elif isinstance(value, Tensor):
                memo[id(value)] = _like(value, device)
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = _like(tensor, device)
    return copy.deepcopy(model, memo)


def images(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """A batch of black images, of the type and on the device of the model's weights."""
    weights = (w for w in chain(model.parameters(), model.buffers()) if w.is_floating_point())
    like = next(weights, torch.empty(0, device="meta"))
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def _like(tensor: Tensor, device: str) -> Tensor:
    if device == "meta":
        copied = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
    else:
        copied = tensor.detach().to(device, copy=True)
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
