"""Rectangles of an image covered: by its mean colour (cutout), or by noise (random erasing)."""

import math

from torch import Tensor

from striate.data.augment.boxes import Boxes
from striate.data.augment.colour import whole_mean
from striate.data.augment.draw import Draw


def cover(images: Tensor, boxes: Boxes) -> Tensor:
    """Each box in the mean colour of its image, in place: images (N, C, H, W), boxes (N, 4).

    Source:  DeVries & Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    Differs: the paper covers with the mean of the whole data set.
    """
    pixels, mean = images.numpy(), whole_mean(images).numpy()  # the same memory, and quicker to slice
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        pixels[i, :, top : top + height, left : left + width] = mean[i]
    return images


def erase(images: Tensor, boxes: Boxes, draw: Draw, first: int) -> Tensor:
    """Each box filled with noise, in place; `first` is the place in the batch of the first of these images."""
    pixels = images.numpy()
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        if height:
            shape = images.shape[1], height, width
            noise = draw.noise("erasing/noise", first + i, math.prod(shape)).reshape(shape)
            pixels[i, :, top : top + height, left : left + width] = noise
    return images
