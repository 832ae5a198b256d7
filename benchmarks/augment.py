"""Augmentation, images a second on one thread: batches in Striate, PIL images one by one as in torchvision.

The PIL side is written out here, with the same operations in the same ranges and a random number each; torchvision
need not be installed. What is timed goes from bytes to floats, as a loader needs it.
"""

import itertools
import math
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import Table, arguments, middle, place, ratios, report, take_turns
from PIL import Image, ImageEnhance, ImageOps
from train_torch import ToTensor

from striate.data.augment import Augment

PIL, STRIATE = "PIL, one by one", "Striate, a batch"


def flip_and_crop(image: Image.Image) -> Image.Image:
    side = image.width
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    padded = ImageOps.expand(image, border=4, fill=0)
    left, top = random.randint(0, 8), random.randint(0, 8)
    return padded.crop((left, top, left + side, top + side))


def affine(image: Image.Image) -> Image.Image:
    """Rotation by up to 40 degrees, shift by 0.2, shear by 12 degrees, zoom by 0.2, flip: the inverse map, bilinear."""
    w, h = image.size
    turn, shear = math.radians(random.uniform(-40, 40)), math.radians(random.uniform(-12, 12))
    zoom_x, zoom_y = random.uniform(0.8, 1.2), random.uniform(0.8, 1.2)
    move_x, move_y = random.uniform(-0.2, 0.2) * w, random.uniform(-0.2, 0.2) * h
    a, b = zoom_x * math.cos(turn), zoom_x * -math.sin(turn + shear)
    d, e = zoom_y * math.sin(turn), zoom_y * math.cos(turn + shear)
    c = w / 2 - a * (w / 2 + move_x) - b * (h / 2 + move_y)
    f = h / 2 - d * (w / 2 + move_x) - e * (h / 2 + move_y)
    image = image.transform((w, h), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def colour(image: Image.Image) -> Image.Image:
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = kind(image).enhance(random.uniform(0.6, 1.4))
    return image


CASES = {  # heading: images in a batch, side in pixels, Striate's spec, the same for one PIL image
    "flip and crop, 32 px": (512, 32, "hflip crop:4", flip_and_crop),
    "affine, 224 px": (32, 224, "rotation:40 shift:0.2 shear:12 zoom:0.2 hflip fill:constant", affine),
    "affine, 32 px": (512, 32, "rotation:40 shift:0.2 shear:12 zoom:0.2 hflip fill:constant", affine),
    "colour, 224 px": (32, 224, "brightness:0.4 contrast:0.4 saturation:0.4", colour),
}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=7).parse_args()
    where = place("torch", "numpy", "pillow", "striate")
    torch.set_num_threads(1)
    measured, rows = {}, []
    for name, (n, side, spec, one) in CASES.items():
        rates = measured[name] = take_turns(contenders(n, side, spec, one), options.rounds)
        gain = ratios(rates[STRIATE], rates[PIL])
        speeds = [f"{middle(rates[who]):,.0f}" for who in (PIL, STRIATE)]
        rows.append([name, *speeds, f"{middle(gain):.2f}", f"{min(gain):.2f} to {max(gain):.2f}", spec])
    heading = "Images a second, one thread, from bytes to float32"
    report(options, where, [Table(heading, ["", PIL, STRIATE, "ratio", "rounds", "spec"], rows)], measured)


def contenders(
    n: int, side: int, spec: str, one: Callable[[Image.Image], Image.Image]
) -> dict[str, Callable[[], float]]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    pictures, to_tensor = [Image.fromarray(p) for p in pixels], ToTensor()
    batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    labels, ids, epochs = np.zeros(n, np.int64), np.arange(n), itertools.count()
    augment = Augment.parse(spec)
    return {
        PIL: rate(n, lambda: torch.stack([to_tensor(one(picture)) for picture in pictures])),
        STRIATE: rate(n, lambda: augment(batch, labels, ids, seed=0, epoch=next(epochs), classes=1).images.div_(255)),
    }


def rate(n: int, call: Callable[[], object]) -> Callable[[], float]:
    """Images a second of `call`, over at least half a second."""

    def measure() -> float:
        call()
        begun, calls = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begun) < 0.5:
            call()
            calls += 1
        return n * calls / elapsed

    return measure


if __name__ == "__main__":
    main()
