"""Rectangles of an image covered: by its mean colour (cutout), or by noise (random erasing)."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.boxes import Boxes
from striate.data.augment.colour import whole_mean
from striate.data.augment.draw import Draw
from striate.data.augment.masks import inside
from striate.data.carried import carried


def cover(images: Tensor, boxes: Boxes) -> Tensor:
    """Each box in the mean colour of its image: images (N, C, H, W), which are changed where they can be; boxes (N, 4).

    Source:  DeVries & Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    Differs: the paper covers with the mean of the whole data set.
    """
    if images.device.type != "cpu":
        return torch.where(inside(boxes, images), whole_mean(images), images)
    pixels, mean = images.numpy(), whole_mean(images).numpy()  # the same memory, and quicker to slice
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        pixels[i, :, top : top + height, left : left + width] = mean[i]
    return images


def erase(images: Tensor, boxes: Boxes, draw: Draw, first: int) -> Tensor:
    """Each box filled with noise; `first` is the place in the batch of the first of these images.

    The images are changed where they can be.
    """
    if images.device.type != "cpu":
        drawn = np.zeros(images.shape, np.uint8)
        _fill(drawn, boxes, draw, first)
        return torch.where(inside(boxes, images), carried(drawn, images.device).to(images.dtype), images)
    _fill(images.numpy(), boxes, draw, first)
    return images


def _fill(pixels: NDArray[Any], boxes: Boxes, draw: Draw, first: int) -> None:
    """Noise into each box, in place."""
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        if height:
            shape = pixels.shape[1], height, width
            noise = draw.noise("erasing/noise", first + i, math.prod(shape)).reshape(shape)
            pixels[i, :, top : top + height, left : left + width] = noise
