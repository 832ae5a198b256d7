"""How many images get their class, with the mean over an image's views where that is asked for."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.reproduce.fastest.pixels import Pixels

VIEWS = (1, 2, 6)


@torch.inference_mode()
def accuracy(network: nn.Module, data: Pixels, views: int, precision: torch.dtype, batch: int = 1000) -> float:
    """Per cent of the images that get their class.

    With 2 views of an image its mirror image counts, too; with 6 also both of them moved by a pixel towards two
    opposite corners, half as much as the unmoved ones.
    """
    device = data.images.device
    right = torch.zeros((), dtype=torch.int64, device=device)  # a GPU is waited for once, at the end
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        for start in range(0, len(data), batch):
            x = data.shown(data.images[start : start + batch], precision)
            z = logits(network, x, views)
            right += (z.argmax(1) == data.labels[start : start + batch]).sum()
    return 100 * int(right) / len(data)


def logits(network: nn.Module, x: Tensor, views: int) -> Tensor:
    """Images (N, C, H, W) -> (N, classes), the mean over so many views of each image."""
    z: Tensor = network(x).float()
    if views == 1:
        return z
    z = (z + network(_packed(x.flip(3))).float()) / 2
    if views == 2:
        return z
    h, w = x.shape[2:]
    wider = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    moved = [logits(network, _packed(corner), 2) for corner in (wider[:, :, :h, :w], wider[:, :, 2:, 2:])]
    return z / 2 + (moved[0] + moved[1]) / 4


def _packed(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
