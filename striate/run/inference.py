"""From logits to probabilities, and a network over many images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import ShapeError


def probabilities(logits: Tensor, classes: int) -> Tensor:
    """Logits (N, K) -> softmax (N, K); a single logit (N, 1) for two classes -> (N, 2): 1 - p and p.

    Raises: ShapeError where the number of logits fits neither.
    """
    if logits.dim() != 2 or logits.shape[1] not in ({1, 2} if classes == 2 else {classes}):
        raise ShapeError(f"the network gave logits of shape {tuple(logits.shape)} for {classes} classes")
    if logits.shape[1] == 1:
        z = logits.float()
        return torch.cat([(-z).sigmoid(), z.sigmoid()], 1)
    return logits.float().softmax(1)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module in evaluation mode and without gradients; each sub-module's mode is as it was afterwards."""
    modes = {m: m.training for m in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            yield module
    finally:
        for m, mode in modes.items():
            m.training = mode
