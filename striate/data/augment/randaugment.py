"""RandAugment: N operations in a row, each drawn evenly from fourteen, all of one magnitude M out of 30.

At M = 30: slanted by 0.3 pixels a pixel, moved by 150/331 of the side, turned by 30 degrees, brightness, colour,
contrast and sharpness changed by a factor of 1 ± 0.9, 4 bits of each pixel kept, every pixel inverted. Those that have
a sign take either.

Source:  Cubuk et al. 2020, "RandAugment: practical automated data augmentation with a reduced search space";
         operations and magnitudes as torchvision's.
Differs: geometry is sampled bilinearly (there: nearest neighbour), values stay fractions between operations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.colour import blend, brightness, contrast, saturation
from striate.data.augment.draw import Draw, Floats
from striate.data.augment.geometry import IDENTITY, resample, rotation, shift
from striate.data.augment.operations import Fill
from striate.data.carried import carried

NAMES = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
LARGEST = 30


@dataclass(frozen=True, eq=False)
class Rounds:
    """What is done to each sample of a batch."""

    picks: NDArray[np.int64]  # (N, rounds), index into NAMES
    signs: Floats  # (N, rounds), 1 or -1
    strength: float  # magnitude / 30
    fill: Fill

    @classmethod
    def draw(cls, draw: Draw, rounds: int, magnitude: int, fill: Fill) -> Self:
        """As drawn for these samples."""
        u = draw.uniform("randaugment", 2 * rounds)
        picks = np.floor(u[:, :rounds] * len(NAMES)).astype(np.int64)
        return cls(picks, np.where(u[:, rounds:] < 0.5, -1.0, 1.0), magnitude / LARGEST, fill)

    def apply(self, images: Tensor, part: slice) -> Tensor:
        """Part of the batch, (n, C, H, W) float32 in 0..255, changed in place."""
        for pick, sign in zip(self.picks[part].T, self.signs[part].T, strict=True):
            for number in np.unique(pick):
                chosen = np.flatnonzero(pick == number)
                # a single one is reached without a copy: the usual case, as large images come a few at a time
                at = slice(chosen[0], chosen[0] + 1) if len(chosen) == 1 else carried(chosen, images.device)
                images[at] = perform(NAMES[number], images[at], sign[chosen], self.strength, self.fill)
        return images


def perform(name: str, images: Tensor, signs: Floats, strength: float, fill: Fill) -> Tensor:
    """One operation by name on images (N, C, H, W); `strength` is 0..1, signs (N,) are 1 or -1."""
    if name in _GEOMETRY:
        return resample(images, _GEOMETRY[name](signs * strength, images.shape[2], images.shape[3]), fill)
    if name in _FACTORS:
        return _FACTORS[name](images, 1 + 0.9 * signs * strength)
    if name == "posterize":
        step = 2.0 ** round(strength * 4)
        return (images * (1 / step)).floor_().mul_(step)
    if name == "solarize":
        inverted = torch.ge(images, 255 * (1 - strength), out=torch.empty_like(images))
        return (images - inverted * 255).abs_()  # |x - 255| where it is, else |x|
    if name == "autocontrast":
        return autocontrast(images)
    return equalize(images) if name == "equalize" else images


def sharpness(images: Tensor, factor: Floats) -> Tensor:
    """Factor 0 is smoothed by the weights 1 1 1 / 1 5 1 / 1 1 1 over 13 (not at the border), 1 the image itself."""
    if min(images.shape[2:]) < 3:
        return images
    threes = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    nines = threes[..., :-2] + threes[..., 1:-1] + threes[..., 2:]
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1].mul_(4).add_(nines).mul_(1 / 13)
    return blend(images, smooth, factor)


def autocontrast(images: Tensor) -> Tensor:
    """The darkest value of each channel to 0, the lightest to 255."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) * (255 / torch.where(high > low, high - low, 1.0)), images).clamp_(
        0, 255
    )


def equalize(images: Tensor) -> Tensor:
    """Each channel's values, rounded, spread so that all are about equally frequent; Pillow's arithmetic."""
    n, c, h, w = images.shape
    if images.device.type != "cpu":
        return _equalize_at_once(images)
    planes = images.round().to(torch.uint8).view(n * c, h * w)
    out = np.empty((n * c, h * w), np.float32)
    for plane, into in zip(planes, out, strict=True):
        count = torch.bincount(plane, minlength=256).numpy()
        step = (h * w - count[int(plane.max())]) // 255
        table = (count.cumsum() - count + step // 2) // step if step else np.arange(256)
        np.take(np.minimum(table, 255).astype(np.float32), plane.numpy(), out=into, mode="clip")
    return torch.from_numpy(out).view(n, c, h, w)


def _equalize_at_once(images: Tensor) -> Tensor:
    """The same for all channels of all images together, without looking at a number of them."""
    n, c, h, w = images.shape
    planes = images.round().long().view(n * c, h * w)
    ones = torch.ones_like(planes)
    count = torch.zeros(n * c, 256, dtype=torch.int64, device=images.device).scatter_add_(1, planes, ones)
    step = (h * w - count.gather(1, planes.amax(1, keepdim=True))) // 255
    table = (count.cumsum(1) - count + step // 2) // step.clamp_min(1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).clamp_max(255)
    return table.gather(1, planes).to(torch.float32).view(n, c, h, w)


def _shear(amount: Floats, row: int, column: int, height: int, width: int) -> Floats:
    """About the top left corner, as AutoAugment's code has it."""
    maps = np.tile(IDENTITY, (len(amount), 1, 1))
    maps[:, row, column] = amount
    maps[:, row, 2] = amount * (width if column else height) / 2
    return maps


_GEOMETRY: dict[str, Callable[[Floats, int, int], Floats]] = {
    "shear_x": lambda s, h, w: _shear(0.3 * s, 1, 0, h, w),
    "shear_y": lambda s, h, w: _shear(0.3 * s, 0, 1, h, w),
    "translate_x": lambda s, h, w: shift(np.zeros_like(s), np.trunc(150 / 331 * w * s)),
    "translate_y": lambda s, h, w: shift(np.trunc(150 / 331 * h * s), np.zeros_like(s)),
    "rotate": lambda s, h, w: rotation(30 * s),
}
_FACTORS: dict[str, Callable[[Tensor, Floats], Tensor]] = {
    "brightness": brightness,
    "color": saturation,
    "contrast": contrast,
    "sharpness": sharpness,
}
