"""Changes of colour: pixels in, pixels out, float32 in 0..255, one factor for each image.

    blend(x, other, f) = clip(f x + (1 - f) other)

    brightness: other = black      contrast: other = the image's mean gray      saturation: other = each pixel's gray

Gray is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601), so channels are taken as red, green, blue; an image of
one channel is gray already, and saturation and hue leave it as it is.

Sums are of whole numbers only: these are exact in whatever order threads add them up, so a result has the same bits
for any number of threads and any batch.

Source:  the factors of torchvision's ColorJitter and of Pillow's ImageEnhance.
Differs: always in the order brightness, contrast, saturation, hue; torchvision shuffles them for each image. Values
         stay fractions between one operation and the next; Pillow rounds them to whole numbers.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.draw import Draw, Floats
from striate.data.augment.spec import Augment
from striate.data.carried import carried

JITTERS = ("brightness", "contrast", "saturation", "hue")


def factors(augment: Augment, draw: Draw) -> dict[str, Floats]:
    """For each kind of jitter that is asked for, (N,) factors; for hue, turns of the colour circle."""
    found = {}
    for name in JITTERS:
        if f := getattr(augment, name):
            found[name] = draw.between(name, -f, f) if name == "hue" else draw.between(name, max(0.0, 1 - f), 1 + f)
    return found


def jitter(images: Tensor, name: str, amount: Floats) -> Tensor:
    """One kind of change by name: images (N, C, H, W), amount (N,)."""
    return {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}[name](images, amount)


def brightness(images: Tensor, factor: Floats) -> Tensor:
    """Factor 0 is black, 1 the image itself."""
    return (images * column(factor, images)).clamp_(0, 255)


def contrast(images: Tensor, factor: Floats) -> Tensor:
    """Factor 0 is the mean gray, 1 the image itself."""
    return blend(images, whole_mean(gray(images)), factor)


def saturation(images: Tensor, factor: Floats) -> Tensor:
    """Factor 0 is gray, 1 the image itself."""
    return images if images.shape[1] == 1 else blend(images, gray(images), factor)


def hue(images: Tensor, turn: Floats) -> Tensor:
    """The colour circle turned by a share of a whole turn; lightness and saturation stay.

    With value v, chroma c and hue h in sixths of a turn, a channel is v - c max(0, min(k, 4 - k, 1)), where
    k = (n + h) mod 6, and n = 5, 3, 1 for red, green, blue.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    # the largest decides; masks are float32, because torch.where and products with bool are ten times slower
    is_red, is_green, is_gray = (torch.empty_like(value) for _ in range(3))
    torch.eq(value, red, out=is_red)
    torch.eq(value, green, out=is_green)
    torch.eq(chroma, 0, out=is_gray)
    is_green *= 1 - is_red
    is_blue = 1 - is_red - is_green
    sixths = is_red * (green - blue) + is_green * (blue - red) + is_blue * (red - green)
    sixths = sixths / (chroma + is_gray) + is_green * 2 + is_blue * 4 + column(turn * 6, images)[:, 0]
    out = torch.empty_like(images)
    for channel, n in enumerate((5, 3, 1)):
        k = sixths + n
        k = k - (k * (1 / 6)).floor_() * 6
        out[:, channel] = value - torch.minimum(k, 4 - k).clamp_(0, 1) * chroma
    return out


def blend(images: Tensor, other: Tensor, factor: Floats) -> Tensor:
    """Factor (N,) of the images, the rest of the other: a mixture below 1, an exaggeration above."""
    return (images * column(factor, images)).add_(other * column(1 - factor, images)).clamp_(0, 255)


def gray(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.299).add_(green * 0.587).add_(blue * 0.114)


def whole_mean(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 1, 1): the mean of each channel, of pixels rounded to whole numbers.

    A row's sum stays below 2^24, up to which float32 holds whole numbers exactly.
    """
    total = images.round().sum(dim=3).to(torch.float64).sum(dim=2)
    return (total / (images.shape[2] * images.shape[3])).to(torch.float32)[:, :, None, None]


def column(values: Floats | NDArray[np.float32], images: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1) float32, to be multiplied with images, where these are."""
    return carried(np.asarray(values, dtype=np.float32), images.device).view(-1, 1, 1, 1)
