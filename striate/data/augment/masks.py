"""Boxes as masks, for images that lie where boxes can't be cut out one by one."""

import torch
from torch import Tensor

from striate.data.augment.boxes import Boxes
from striate.data.carried import carried


def inside(boxes: Boxes, images: Tensor) -> Tensor:
    """Which pixels lie in the box of their image: (N, 1, H, W) bool, where the images are."""
    top, left, height, width = carried(boxes, images.device)[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    down = (rows >= top) & (rows < top + height)
    across = (columns >= left) & (columns < left + width)
    return (down[:, :, None] & across[:, None, :])[:, None]
