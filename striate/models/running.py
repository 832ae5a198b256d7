"""Which layer is running: to be told of each when it begins and when it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


@contextmanager
def announced(
    model: nn.Module, begins: Callable[[str], None], ends: Callable[[nn.Module, Any, Any], None]
) -> Iterator[None]:
    """Call begins(name) and ends(layer, inputs, outputs) for every layer and block of the model as it runs.

    A layer that has several names goes by its first. Torch's hooks for all modules at once are used, and others than
    the model's are passed over: to give each layer of ResNet-1202 two of its own, and take them away, takes 0.1 s.
    """
    names = {layer: name for name, layer in model.named_modules()}

    def begin(layer: nn.Module, x: Any) -> None:
        if layer in names:
            begins(names[layer])

    def end(layer: nn.Module, x: Any, y: Any) -> None:
        if layer in names:
            ends(layer, x, y)

    handles = [register_module_forward_pre_hook(begin), register_module_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
