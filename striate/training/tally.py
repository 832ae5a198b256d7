"""Losses, right answers and gradients' norms that are computed and not looked at yet.

To look at a number on a GPU is to wait until all that was asked of it is done. So there the numbers of some batches
stay where they are, and are fetched together; on a processor each is looked at where it arises.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from striate.data.loader import Batch

TOGETHER = 16  # batches whose numbers are fetched at once from a device that computes by itself


@dataclass(frozen=True, eq=False)
class OfBatch:
    """One batch, after its forward pass."""

    batch: Batch  # without its images
    number: int  # in its epoch, from 0
    step: int
    loss: float  # of the main head, mean over the batch
    whole: float  # what is descended
    right: int


@dataclass(frozen=True)
class OfStep:
    """One step, after its backward pass."""

    step: int
    norm: float  # of the gradient


class Tally:
    """Numbers of up to `together` batches."""

    def __init__(self, together: int) -> None:
        self.together = together
        self._batches: list[OfBatch] = []
        self._steps: list[OfStep] = []
        self._values: list[Tensor] = []  # loss, whole and right of each batch
        self._norms: list[Tensor] = []

    @property
    def empty(self) -> bool:
        """Whether all has been fetched."""
        return not self._batches and not self._steps

    @property
    def full(self) -> bool:
        return len(self._batches) >= self.together

    def add(self, batch: Batch, number: int, step: int, loss: Tensor, whole: Tensor, right: Tensor) -> None:
        """Three scalars of a batch; its images are let go."""
        self._batches.append(OfBatch(replace(batch, images=batch.images.new_empty(0)), number, step, 0.0, 0.0, 0))
        self._values += [t.detach().to(torch.float64) for t in (loss, whole, right)]

    def add_norm(self, step: int, norm: Tensor) -> None:
        self._steps.append(OfStep(step, 0.0))
        self._norms.append(norm.detach().to(torch.float64))

    def fetch(self) -> tuple[list[OfBatch], list[OfStep]]:
        """All numbers, in the order in which they came; this waits for the device, once."""
        numbers = torch.stack([*self._values, *self._norms]).cpu().tolist() if self._values or self._norms else []
        batches = [
            replace(one, loss=numbers[3 * i], whole=numbers[3 * i + 1], right=int(numbers[3 * i + 2]))
            for i, one in enumerate(self._batches)
        ]
        norms = numbers[3 * len(batches) :]
        steps = [replace(one, norm=norm) for one, norm in zip(self._steps, norms, strict=True)]
        self._batches, self._steps, self._values, self._norms = [], [], [], []
        return batches, steps
