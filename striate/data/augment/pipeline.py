"""A batch of images in, a batch of varied images out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.boxes import cutout_boxes, erased_boxes
from striate.data.augment.colour import factors, jitter
from striate.data.augment.draw import Draw
from striate.data.augment.erase import cover, erase
from striate.data.augment.geometry import affine_maps, as_maps, compose, move, moves, resample
from striate.data.augment.mix import Mixture, partners
from striate.data.augment.randaugment import Rounds
from striate.data.augment.spec import Augment
from striate.data.carried import carried
from striate.errors import ShapeError

CHUNK = 1 << 18  # values that are worked on at a time: 1 MiB as float32, which a core caches


@dataclass(frozen=True)
class Augmented:
    """What the network is given in place of the images."""

    images: Tensor  # (N, C, H, W) float32, in 0..255 (before `rescale`)
    targets: Tensor | None  # (N, classes) float32, the shares of mixed labels; None where labels stay as they are


def vary(augment: Augment, images: Tensor, labels: NDArray[np.int64], draw: Draw, classes: int) -> Augmented:
    """What `Augment` does to a batch: see there."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"augment takes images (N, 1 or 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
    if len(labels) != len(images) or len(draw) != len(images):
        raise ShapeError(f"augment got {len(images)} images, but {len(labels)} labels and {len(draw)} ids")
    varied = _each_alone(augment, images, draw)
    targets = None
    if augment.mixes:
        varied, targets = _together(augment, varied, labels, draw, classes)
    if augment.multiplier != 1:
        varied.mul_(augment.multiplier)
    return Augmented(varied, targets)


def _each_alone(augment: Augment, images: Tensor, draw: Draw) -> Tensor:
    """All that concerns one sample: first every number is drawn, then the pixels follow, a few images at a time."""
    height, width = images.shape[2:]
    maps = affine_maps(augment, draw, height, width) if augment.affine else None
    moved = moves(augment, draw) if augment.crop or augment.hflip or augment.vflip else None
    if maps is not None and moved is not None:
        maps, moved = compose(maps, as_maps(*moved)), None
    rounds = Rounds.draw(draw, *augment.randaugment, augment.outside) if augment.randaugment else None
    amounts = factors(augment, draw)
    covered = cutout_boxes(draw, augment.cutout, height, width) if augment.cutout else None
    erased = erased_boxes(draw, augment.erasing, height, width) if augment.erasing else None

    varied = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    for part in _parts(images):
        some = images[part]
        if moved is not None:
            some = move(some, moved[0][part], moved[1][part], augment.outside)
        some = some.to(torch.float32)
        if maps is not None:
            some = resample(some, maps[part], augment.outside)
        if rounds is not None:
            some = rounds.apply(some, part)
        for name, amount in amounts.items():
            some = jitter(some, name, amount[part])
        if covered is not None:
            some = cover(some, covered[part])
        if erased is not None:
            some = erase(some, erased[part], draw, part.start)
        varied[part] = some
    return varied


def _together(
    augment: Augment, images: Tensor, labels: NDArray[np.int64], draw: Draw, classes: int
) -> tuple[Tensor, Tensor]:
    mixture = Mixture.draw(augment, draw, *images.shape[2:])
    partner = carried(partners(len(images)), images.device)
    mixed = torch.empty_like(images)
    for part in _parts(images):
        mixed[part] = mixture.images(images[part], images[partner[part]], part)
    return mixed, mixture.shares(labels, classes, images.device)


def _parts(images: Tensor) -> Iterator[slice]:
    """The batch cut into pieces of about CHUNK values; in one piece where no core works on it."""
    alone = images.device.type == "cpu"
    step = max(1, CHUNK // max(1, images[0].numel() if len(images) else 1)) if alone else max(1, len(images))
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))
