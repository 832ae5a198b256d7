"""The random numbers of one batch: each depends on seed, epoch, the sample and what it is for, on nothing else."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.keyed import bits, uniform

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Draw:
    """Draws for the samples `ids` (N,) int64, in the order of the batch."""

    seed: int
    epoch: int
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def uniform(self, stream: str, n: int = 1) -> Floats:
        """(N, n) numbers with 0 <= u < 1."""
        return uniform(self.seed, self.epoch, f"augment/{stream}", self.ids, n)

    def between(self, stream: str, low: float, high: float) -> Floats:
        """(N,) numbers, evenly spread over low .. high."""
        return low + (high - low) * self.uniform(stream)[:, 0]

    def noise(self, stream: str, index: int, n: int) -> NDArray[np.uint8]:
        """(n,) random bytes for one sample of the batch."""
        words = bits(self.seed, self.epoch, f"augment/{stream}", self.ids[index : index + 1], -(-n // 8))
        return words.astype("<u8").view(np.uint8)[0, :n]


def each(function: Callable[[float], float], values: Floats) -> Floats:
    """The function of each value, one by one.

    NumPy's own transcendental functions take another path for the last few elements of an array on some processors,
    and then a sample's last bit depends on where in the batch it stands.
    """
    return np.array([function(v) for v in values.ravel().tolist()]).reshape(values.shape)
