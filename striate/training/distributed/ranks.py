"""What the processes of one training have to tell each other. One process alone has nothing to tell.

    gradient      mean over the whole batch, whatever part of it each process has
    loss, right   sums over the whole batch, so that every process keeps the same account and takes the same decisions
    stop          a signal that one process has got stops all of them after the same step

A process is called by its rank: 0 leads, and writes the run; the others follow.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from striate.data.loader import Batch
from striate.training.recipe import Recipe

Forward = Callable[[nn.Module, Tensor], Any]
Mass = Callable[[Batch], float]  # what the images of a batch weigh in the mean of their losses


class Ranks:
    """One process alone."""

    rank = 0
    world = 1  # processes
    here = 1  # of them on this machine

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @contextmanager
    def training(self, module: nn.Module, forward: Forward, synchronise: bool) -> Iterator[Forward]:
        """While it is open, backward gives the gradient of the whole batch; `forward` in the form that does it.

        With `synchronise`, batch norms in training normalise by the statistics of the whole batch.
        """
        yield forward

    def check(self, recipe: Recipe) -> None:
        """See that a recipe can be shared.  Raises: RecipeError where it can't."""

    def weigh(self, mass: Mass) -> None:
        """How batches are weighed where images do not all weigh the same."""

    def shares(self, group: Sequence[Batch]) -> list[float]:
        """Factors of the loss of each batch of a group, so that their gradients add up to that of the mean."""
        whole = sum(len(batch.labels) for batch in group)
        return [len(batch.labels) / whole for batch in group]

    def totals(
        self, batches: Sequence[Batch], losses: Sequence[float], right: Sequence[int], stopped: Sequence[int]
    ) -> list[tuple[int, float, int]]:
        """Images, sum of losses and right answers of each whole batch, from the mean losses of one's own parts."""
        images = [len(batch.labels) for batch in batches]
        return [(n, loss * n, found) for n, loss, found in zip(images, losses, right, strict=True)]

    def average(self, module: nn.Module, group: Sequence[Batch]) -> None:
        """After the backward pass of a group: running statistics of batch norms become the mean of all processes'."""

    def stop(self, stopped: list[int]) -> bool:
        """Whether to stop now: a signal has come, here or elsewhere, and all know of it."""
        return bool(stopped)

    def diagnose(self) -> None:
        """From here on the network is computed for oneself, to find out what went wrong."""

    def culprit(self, found: str | None) -> str | None:
        """The place where a number went wrong, as found here or else by another process."""
        return found

    def agree(self, what: str, said: str) -> None:
        """Wait for the others, and see that they say the same.  Raises: DataError where they do not."""


ALONE = Ranks()
