"""What a pattern is painted on: pixels from 0 to 255, and how a network is given them."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.keyed import uniform
from striate.data.preprocess import Preprocess
from striate.errors import ShapeError, UsageError

LARGEST = 4096  # pixels, a side


@dataclass(frozen=True)
class Canvas:
    """The image's size, and the mean and deviation of pixels in 0..1 that the network expects, a channel each."""

    size: tuple[int, int]  # (H, W) in pixels
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    order: str = "rgb"  # what three channels are: rgb or bgr; one is gray, and others are shown as their mean

    def __post_init__(self) -> None:
        """Refuse what makes no sense.  Raises: UsageError."""
        if not all(1 <= side <= LARGEST for side in self.size):
            raise UsageError(f"a pattern of {self.size[0]}×{self.size[1]} pixels; a side can have 1 to {LARGEST}")
        if len(self.mean) != len(self.std) or not self.mean or not all(s > 0 for s in self.std):
            raise UsageError(f"mean {self.mean} and std {self.std}: expected a number for each channel, std above 0")

    @property
    def channels(self) -> int:
        return len(self.mean)

    @classmethod
    def of(cls, preprocess: Preprocess, size: tuple[int, int] | None = None) -> "Canvas":
        """As the images of a classifier are prepared, in its own size or another."""
        return cls(size or preprocess.size, preprocess.mean, preprocess.std, preprocess.order)

    @classmethod
    def plain(cls, size: tuple[int, int], channels: int = 3) -> "Canvas":
        """For a network that takes pixels from 0 to 255 as they are, as in the lectures."""
        return cls(size, (0.0,) * channels, (1 / 255,) * channels, "rgb")

    def normalise(self, pixels: Tensor) -> Tensor:
        """(N, c, H, W) in 0..255 -> what the network is given."""
        mean = torch.tensor(self.mean, dtype=pixels.dtype, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, dtype=pixels.dtype, device=pixels.device).view(1, -1, 1, 1)
        return (pixels - 255 * mean) / (255 * std)

    def gray(self, device: torch.device) -> Tensor:
        """One gray image, (1, c, H, W), as the network is given it."""
        return self.normalise(torch.full((1, self.channels, *self.size), 128.0, device=device))

    def shown(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, c, H, W) in the network's order -> (N, H, W, 1 or 3), red first."""
        if self.channels not in (1, 3):
            mean: NDArray[np.uint8] = np.rint(pixels.mean(axis=1, dtype=np.float64)).astype(np.uint8)
            return mean[..., None]
        turned = pixels.transpose(0, 2, 3, 1)
        return turned[..., ::-1] if self.order == "bgr" else turned


def draws(seed: int, step: int, stream: str, keys: list[str], shape: tuple[int, ...]) -> Tensor:
    """Numbers 0 <= u < 1, (N, *shape) float32, for N things by their names: each its own, whoever else is there."""
    named = [int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") for key in keys]
    found = uniform(seed, step, stream, np.array(named, dtype=np.uint64), int(np.prod(shape)))
    return torch.from_numpy(found.astype(np.float32)).view(len(keys), *shape)


def size_of(side: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) of a side given once, or of both.  Raises: ShapeError."""
    sides = (side, side) if isinstance(side, int) else tuple(side)
    if len(sides) != 2:
        raise ShapeError(f"size is {side!r}; expected pixels, or (height, width)")
    return sides[0], sides[1]
