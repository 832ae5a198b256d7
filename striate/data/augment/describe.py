"""A spec in a sentence."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from striate.data.augment.operations import SCALED_BY_PREPROCESS

if TYPE_CHECKING:
    from striate.data.augment.spec import Augment

_OUTSIDE = {
    "nearest": "the nearest pixel",
    "reflect": "the image mirrored",
    "wrap": "the opposite side",
}


def describe(augment: "Augment") -> str:
    """What is done to each image, in the order in which it is done.

    >>> from striate.data.augment import Augment
    >>> describe(Augment.parse("hflip"))
    'Each image, anew in each epoch, is flipped left to right with probability 0.5.'
    """
    done = list(_steps(augment))
    if not done:
        return "Images are left as they are."
    moved = augment.affine or augment.crop or augment.randaugment
    value = "black" if augment.outside.value == 0 else f"the value {augment.outside.value}"
    outside = f"; from outside comes {_OUTSIDE.get(augment.outside.mode, value)}" if moved else ""
    return f"Each image, anew in each epoch, is {', '.join(done)}{outside}."


def _steps(augment: "Augment") -> Iterator[str]:
    if augment.resized_crop:
        scale, low, high = augment.resized_crop
        yield f"cut down to {scale:.3g} to 1 of its area (width by height {low:.2f} to {high:.2f}) and scaled back"
    if augment.rotation:
        yield f"turned by up to {augment.rotation:g}° either way"
    if augment.width_shift:
        yield f"shifted sideways by up to {_length(augment.width_shift, 'width')}"
    if augment.height_shift:
        yield f"shifted up or down by up to {_length(augment.height_shift, 'height')}"
    if augment.shear:
        yield f"slanted by up to {augment.shear:g}° either way"
    if augment.zoom != (1, 1):
        low, high = augment.zoom
        yield f"zoomed to show {low:.3g} to {high:.3g} times as much, each side on its own"
    if augment.crop:
        yield f"cropped at random after padding by {augment.crop} pixels"
    for chance, how in ((augment.hflip, "left to right"), (augment.vflip, "upside down")):
        if chance:
            yield f"flipped {how} with probability {chance:g}"
    if augment.randaugment:
        rounds, magnitude = augment.randaugment
        yield f"given {rounds} operations of RandAugment of magnitude {magnitude} out of 30"
    for name in ("brightness", "contrast", "saturation"):
        if f := getattr(augment, name):
            yield f"changed in {name} by a factor of {max(0, 1 - f):.3g} to {1 + f:.3g}"
    if augment.hue:
        yield f"changed in hue by up to {augment.hue:.3g} of the colour circle"
    if augment.cutout:
        yield f"covered by a square of {_length(augment.cutout, 'shorter side')} in its mean colour"
    if augment.erasing:
        yield f"given a rectangle of noise with probability {augment.erasing:g}"
    if augment.mixup:
        yield f"blended with the next image of the batch (mixup, α = {augment.mixup:g})"
    if augment.cutmix:
        either = "or " if augment.mixup else ""
        yield f"{either}given a rectangle of the next image of the batch (cutmix, α = {augment.cutmix:g})"
    if augment.rescale == SCALED_BY_PREPROCESS:
        yield "divided by 255 (once: by the preprocessing)"
    elif augment.rescale != 1:
        yield f"multiplied by {augment.rescale:g} (in training only)"


def _length(value: float, side: str) -> str:
    return f"{value:.3g} of its {side}" if value < 1 else f"{value:g} pixels"
