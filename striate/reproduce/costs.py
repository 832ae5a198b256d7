"""What training a network costs: multiply-adds, as they are and as training carries them out.

macs           of one image, as `striate summary` counts them
macs_training  the same on average over all training steps: less those of residual blocks that were left out
blocks_run     of the residual blocks in all training steps, how many ran: [run, of]
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from striate.blocks.wiring import Residual, Stochastic
from striate.models.cost import cost


@contextmanager
def blocks_that_ran(module: nn.Module) -> Iterator[dict[str, int]]:
    """While it is open, counts how often each residual block is asked to train, and how often its F does run.

    Keys are "" for the number of training steps, and the names of the blocks; without residual blocks, nothing.
    """
    ran: dict[str, int] = {}
    blocks = {name: block for name, block in module.named_modules() if isinstance(block, Residual)}
    hooks = []

    def count(name: str, module: nn.Module, _given: tuple[Tensor, ...]) -> None:
        if module.training:
            ran[name] = ran.get(name, 0) + 1

    try:
        if blocks:
            hooks.append(module.register_forward_pre_hook(partial(count, "")))
        for name, block in blocks.items():
            first = block.order[block.shared if isinstance(block, Stochastic) else 0]
            hooks.append(block.get_submodule(first).register_forward_pre_hook(partial(count, name)))
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def multiply_adds(module: nn.Module, shape: tuple[int, int, int], ran: Mapping[str, int]) -> dict[str, object]:
    """Those of one image of (C, H, W), and on average over the training steps that `ran` counted."""
    counted = cost(module, shape)
    details: dict[str, object] = {"macs": counted.macs}
    blocks = [name for name, block in module.named_modules() if isinstance(block, Residual)]
    if not ran or not blocks:
        return details
    steps = ran[""]
    saved = 0.0
    for name in blocks:
        own = sum(row.macs for row in counted.rows if row.name.startswith(f"{name}.") and not _skips(name, row.name))
        saved += own * (1 - ran.get(name, 0) / steps)
    run = sum(ran.get(name, 0) for name in blocks)
    return details | {"macs_training": round(counted.macs - saved), "blocks_run": [run, steps * len(blocks)]}


def _skips(block: str, layer: str) -> bool:
    """Whether a layer is of the block's shortcut, which always runs."""
    return layer.startswith(f"{block}.downsample")
