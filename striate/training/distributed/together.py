"""Several processes that train one network, each on its part of every batch.

Gradients are exchanged by torch's DistributedDataParallel while the backward pass goes on. It is told to look for
parameters that a step has not used: a network may leave out blocks, and the buckets in which gradients travel then stay
those of the first step, so that a resumed run adds in the same order as one that was never stopped.
"""

import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.nn.parallel import DistributedDataParallel

from striate.data.loader import Batch
from striate.errors import DataError, EnvironmentFault, RecipeError
from striate.training.distributed.ranks import Forward, Mass, Ranks
from striate.training.distributed.synchronised_norm import Norm, gathered, normalise_together, norms
from striate.training.recipe import Recipe

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TOLD = "told"  # key of the store: rank of the process that tells the user what went wrong
PATIENCE_S = 0.05, 1.0  # between two looks at the store, shortest and longest


class Lost(EnvironmentFault):
    """Another process has ended, or can't be reached."""

    def __init__(self, why: str) -> None:
        super().__init__(f"another process of this training has ended ({why}); go on with --resume")


class Together(Ranks):
    """One of several. `store` is where processes leave words for each other; a launcher that dies stops them all."""

    def __init__(self, store: Store, rank: int, world: int, here: int, launcher: int | None) -> None:
        self.store, self.rank, self.world, self.here, self._launcher = store, rank, world, here, launcher
        self._mass: Mass | None = None
        self._turn: deque[bool] = deque()  # of the batches of a group that are to come: whether one is idle
        self._idle = False
        self._raised = [False] * len(SIGNALS)  # which signals some process had got at the last exchange
        self._active = False
        self._synchronised: set[nn.Module] = set()
        self._norms_group: Any = None

    # -- one step --------------------------------------------------------------------------------------------------

    @contextmanager
    def training(self, module: nn.Module, forward: Forward, synchronise: bool) -> Iterator[Forward]:
        patched = norms(module) if synchronise else {}
        if patched:
            self._norms_group = dist.new_group()
        exchanging = _Exchanging(self)
        try:
            self._active = True
            for layer in patched.values():
                layer.forward = partial(self._norm, layer)  # type: ignore[method-assign]
                self._synchronised.add(layer)
            yield exchanging
        finally:
            exchanging.end()
            self._active = False
            self._synchronised.clear()
            for layer in patched.values():
                del layer.forward

    def _norm(self, layer: Norm, x: Tensor) -> Tensor:
        if self._active and layer.training:
            return normalise_together(layer, x, counts=not self._idle, group=self._norms_group)
        return type(layer).forward(layer, x)

    def check(self, recipe: Recipe) -> None:
        if recipe.engine != "torch":
            raise RecipeError(
                f"engine = {recipe.engine!r} works in one process; leave out --nproc (there are {self.world})"
            )
        assert isinstance(recipe.batch, int)
        if recipe.batch < 2 * self.world:
            raise RecipeError(
                f"batch = {recipe.batch} is too small for {self.world} processes: it is the whole batch, of which each "
                f"takes its part, and a part has at least two images; expected at least {2 * self.world}"
            )

    def next_of_group(self) -> bool:
        """Begin the next batch of the group that `shares` was told of; whether it is the last one."""
        self._idle = self._turn.popleft()
        return not self._turn

    def weigh(self, mass: Mass) -> None:
        self._mass = mass

    def shares(self, group: Sequence[Batch]) -> list[float]:
        self._turn = deque(batch.idle for batch in group)
        own = [self._weight(batch) for batch in group]
        images = [_images(batch) for batch in group]
        of_all: Sequence[float] = images
        if self._mass:
            of_all = gathered(torch.tensor(own, dtype=torch.float64)).sum(0).tolist()
        # DistributedDataParallel divides by the number of processes
        return [self.world * a / b * n / sum(images) for a, b, n in zip(own, of_all, images, strict=True)]

    def _weight(self, batch: Batch) -> float:
        if batch.idle:
            return 0.0
        return self._mass(batch) if self._mass else float(len(batch.labels))

    def totals(
        self, batches: Sequence[Batch], losses: Sequence[float], right: Sequence[int], stopped: Sequence[int]
    ) -> list[tuple[int, float, int]]:
        raised = [kind in stopped for kind in SIGNALS]
        if self._launcher is not None and os.getppid() != self._launcher:
            raised[1] = True
        weights = [self._weight(batch) for batch in batches]
        own = [
            *raised,
            *(weight * loss if weight else 0.0 for weight, loss in zip(weights, losses, strict=True)),
            *weights,
            *(found * (not batch.idle) for batch, found in zip(batches, right, strict=True)),
        ]
        told = gathered(torch.tensor(own, dtype=torch.float64)).sum(0).tolist()
        flags, sums = told[: len(raised)], told[len(raised) :]
        self._raised = [flag > 0 for flag in flags]
        n = len(batches)
        rows = zip(map(_images, batches), sums[:n], sums[n : 2 * n], sums[2 * n :], strict=True)
        return [(images, loss_sum / weight * images, int(found)) for images, loss_sum, weight, found in rows]

    def average(self, module: nn.Module, group: Sequence[Batch]) -> None:
        own = [layer for layer in norms(module).values() if layer.training and layer not in self._synchronised]
        found = [t for layer in own for t in (layer.running_mean, layer.running_var) if t is not None]
        if not found:
            return
        share = sum(len(b.labels) for b in group if not b.idle) / sum(map(_images, group))
        flat = torch.cat([t.flatten() for t in found]) * share
        dist.all_reduce(flat)
        for t, mean in zip(found, torch.split(flat, [t.numel() for t in found]), strict=True):
            t.copy_(mean.view_as(t))

    def stop(self, stopped: list[int]) -> bool:
        if not any(self._raised):
            return False
        if not stopped:
            stopped.append(SIGNALS[self._raised.index(True)])
        return True

    # -- what can go wrong -----------------------------------------------------------------------------------------

    def diagnose(self) -> None:
        self._active = False

    def culprit(self, found: str | None) -> str | None:
        """Every process that looks leaves what it found; one that found nothing waits a moment for the others."""
        self.store.set(f"culprit/{self.rank}", found or "")
        until = time.monotonic() + 10
        while found is None and time.monotonic() < until:
            said = [self.store.get(key).decode() for key in self._keys("culprit") if self.store.check([key])]
            found = next((text for text in said if text), None)
            if len(said) == self.world:
                break
            time.sleep(PATIENCE_S[0])
        return found

    def first_to_tell(self) -> bool:
        """Whether this process is the one that tells what went wrong: one line is enough.

        The one that leads goes first, if it has something to tell: it knows the run by its name.
        """
        try:
            until = time.monotonic() + 2 * (self.rank > 0)
            while time.monotonic() < until and not self.store.check([TOLD]):
                time.sleep(PATIENCE_S[0])
            return bool(self.store.compare_set(TOLD, "", str(self.rank)).decode() == str(self.rank))
        except RuntimeError:  # whoever kept the store is gone
            return True

    def agree(self, what: str, said: str) -> None:
        self.store.set(f"{what}/{self.rank}", said)
        for rank, key in enumerate(self._keys(what)):
            if self.wait(key) != said:
                raise DataError(
                    f"process {rank} has another {what} than process {self.rank}: {_difference(said, self.wait(key))}"
                )

    def wait(self, key: str) -> str:
        """What another process says under a key, however long it takes.  Raises: Lost where it has failed instead."""
        pause, longest = PATIENCE_S
        try:
            while not self.store.check([key]):
                if self.store.check([TOLD]):
                    raise Lost("it has said why")
                time.sleep(pause)
                pause = min(longest, pause * 1.2)
            return str(self.store.get(key).decode())
        except RuntimeError as error:
            raise Lost("it kept the store of all") from error

    def _keys(self, what: str) -> list[str]:
        return [f"{what}/{rank}" for rank in range(self.world)]


class _Exchanging:
    """The forward pass of a network whose gradients are exchanged when its group of batches is through."""

    def __init__(self, ranks: Together) -> None:
        self._ranks = ranks
        self._trained: tuple[bool, ...] = ()
        self._wrapped: DistributedDataParallel | None = None

    def __call__(self, module: nn.Module, images: Tensor) -> Any:
        wrapped = self._wrap(module)
        wrapped.require_backward_grad_sync = self._ranks.next_of_group()
        return wrapped(images)

    def end(self) -> None:
        """Let go of what holds the connections to the others, so that they see it when this process gives up."""
        self._wrapped = None

    def _wrap(self, module: nn.Module) -> DistributedDataParallel:
        """Anew where other parameters are trained than before: some may have been frozen, or let go."""
        trained = tuple(p.requires_grad for p in module.parameters())
        if self._wrapped is None or trained != self._trained:
            device = next(module.parameters()).device
            self._trained = trained
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)  # its successor came with 2.13
                self._wrapped = DistributedDataParallel(
                    module, device_ids=[torch.cuda.current_device()] if device.type == "cuda" else None,
                    broadcast_buffers=False, find_unused_parameters=True,
                )  # fmt: skip
        return self._wrapped


def _images(batch: Batch) -> int:
    """Of all processes together."""
    return len(batch.labels) if batch.whole is None else batch.whole


def _difference(own: str, other: str) -> str:
    """The first line in which two texts differ."""
    for a, b in zip(own.splitlines(), other.splitlines(), strict=False):
        if a != b:
            return f"{b!r} there, {a!r} here"
    return "one is longer than the other"
