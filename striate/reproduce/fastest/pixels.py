"""A small data set in memory as one array, which is moved and mirrored as a whole.

Mirroring alternates: a coin decides for each image whether it is mirrored in even epochs or in odd ones. So two epochs
in a row show both views of every image, where a fair coin in each epoch shows the same view twice half of the time.

Source:  Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.6 (alternating flip).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import keyed
from striate.data.carried import carried
from striate.data.choose import statistics
from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Order, Preprocess
from striate.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images (N, H, W, C) uint8 and labels (N,); mean and deviation (C,) of the training images, in bytes."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, split: Split, device: torch.device, like: "Pixels | None" = None) -> "Pixels":
        """The images of a split, on a device; with mean and deviation of their own, or those of `like`.

        Raises: DatasetError where the images are files.
        """
        if not isinstance(split.images, ArrayImages):
            raise DatasetError("the fastest roads lead through data sets in memory (mnist, cifar10); these are files")
        pixels = np.array(split.images.pixels)
        if like is None:
            _, h, w, c = pixels.shape
            order: Order = "gray" if c == 1 else "rgb"
            found = statistics(split, Preprocess(size=(h, w), order=order, mean=(0.0,) * c, std=(1.0,) * c))
            mean, std = (255 * torch.tensor(values, device=device) for values in found)
        else:
            mean, std = like.mean, like.std
        return cls(torch.from_numpy(pixels).to(device), torch.from_numpy(split.labels).to(device), mean, std)

    def __len__(self) -> int:
        return len(self.images)

    def shown(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """(N, H, W, C) bytes -> (N, C, H, W) as the network sees them, channels last in memory."""
        return ((images.float() - self.mean) / self.std).to(dtype).permute(0, 3, 1, 2)

    def epoch(
        self, number: int, batch: int, seed: int, *, shift: int, mirror: bool, dtype: torch.dtype
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Full batches of one epoch, in an order of its own; what is left at its end is not seen.

        Each image is moved by at most `shift` pixels to any side; what comes in is mirrored at the edge.
        """
        n, device = len(self), self.images.device
        order = carried(keyed.order(seed, number, n), device)
        images = moved(self.images, ways(seed, number, n, shift), shift) if shift else self.images
        if mirror:
            rows = carried(np.flatnonzero(mirrored(seed, number, n)), device)
            images = images.clone() if images is self.images else images
            images[rows] = images[rows].flip(2)
        for start in range(0, n - batch + 1, batch):
            rows = order[start : start + batch]
            yield self.shown(images[rows], dtype), self.labels[rows]


def mirrored(seed: int, epoch: int, n: int) -> NDArray[np.bool_]:
    """Which of n images are mirrored in an epoch."""
    coins = keyed.bits(seed, 0, "alternating mirror", np.arange(n))[:, 0] >> np.uint64(63)
    found: NDArray[np.bool_] = (coins + np.uint64(epoch)) % np.uint64(2) == 1
    return found


def ways(seed: int, epoch: int, n: int, shift: int) -> NDArray[np.int64]:
    """For each of n images one of the (2 shift + 1)^2 ways to move it, row by row."""
    return (keyed.uniform(seed, epoch, "shift", np.arange(n))[:, 0] * (2 * shift + 1) ** 2).astype(np.int64)


def moved(images: Tensor, chosen: NDArray[np.int64], shift: int) -> Tensor:
    """Images (N, H, W, C), each moved in its way; the image goes on as its mirror image beyond the edge."""
    _, h, w, _ = images.shape
    padded = images
    for axis, side in ((1, h), (2, w)):
        places = torch.arange(-shift, side + shift, device=images.device).abs()  # -2, -1 are 2, 1
        padded = padded.index_select(axis, (side - 1) - (side - 1 - places).abs())
    found = torch.empty_like(images)
    for way in range((2 * shift + 1) ** 2):
        rows = carried(np.flatnonzero(chosen == way), images.device)
        y, x = divmod(way, 2 * shift + 1)
        found[rows] = padded[rows, y : y + h, x : x + w]
    return found
