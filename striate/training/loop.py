"""The training loop: the same bytes for the same recipe, whether it was stopped in between or not.

On a GPU nothing in the loop waits for the device, but for one look at the numbers of every few batches (`Tally`). A
step whose loss or gradient is not finite changes no weight there, nor does any step after it, until that look: then
the weights are those in front of the step, and what went wrong is found out as if it had been noticed at once.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import isfinite
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.data import keyed
from striate.data.loader import Batch, Loader
from striate.errors import ArtefactError, Interrupted
from striate.run.folder import load_into
from striate.run.inference import probabilities
from striate.training import diagnosis, monitor
from striate.training.checkpoint import Found, Progress
from striate.training.distributed.ranks import ALONE, Ranks
from striate.training.engine import Forward
from striate.training.faster import faster_layers
from striate.training.losses import Kind, Loss, expected_at_start, on_heads
from striate.training.optimiser import restore, set_rate, state_tensors
from striate.training.recipe import Recipe
from striate.training.report import Laps, Report, Step, Timing
from striate.training.schedule import Schedule
from striate.training.signals import noted_signals
from striate.training.tally import TOGETHER, OfBatch, Tally
from striate.training.transfer.conductor import Conductor

Save = Callable[[Progress, dict[str, Tensor]], None]
Chosen = Callable[[dict[str, Tensor], dict[str, Any]], None]


@dataclass(eq=False)
class Trainer:
    """All that one run is made of. `save` stores a checkpoint, `choose` the weights that are the best so far."""

    module: nn.Module
    optimiser: Optimizer
    recipe: Recipe  # resolved: nothing in it is "auto"
    train: Loader
    val: Loader | None
    loss: Loss
    device: torch.device
    progress: Progress
    save: Save
    choose: Chosen
    report: Report
    timed: Callable[[Timing], None]
    save_every: float = 60.0  # seconds
    forward: Forward = nn.Module.__call__  # what the network makes of images in training, with gradients
    conductor: Conductor | None = None  # of what is frozen
    ranks: Ranks = ALONE  # the processes that train together
    together: int | None = None  # batches whose numbers are looked at at once; None: one, on a GPU more

    def __post_init__(self) -> None:
        assert isinstance(self.recipe.epochs, int)
        self.epochs: int = self.recipe.epochs
        self.bf16 = self.recipe.precision == "bf16"
        self.format = torch.channels_last if self.recipe.channels_last is True else torch.contiguous_format
        self.updates = -(-len(self.train) // self.recipe.accumulate)  # an epoch
        self.schedule = Schedule.of(self.recipe, self.updates, self.epochs)
        self.average = {n: t.detach().clone() for n, t in self._state().items()} if self.recipe.ema else {}
        self._saved_at = time.monotonic()
        self._stopped: list[int] = []  # signals that came
        self._forward = self.forward
        self._laps = Laps()
        # without a fused rule a step can't be held back by a number that nobody has looked at
        fused = all(group.get("fused") for group in self.optimiser.param_groups)
        self._together = (self.together or (1 if self.device.type == "cpu" else TOGETHER)) if fused else 1
        self._tally = Tally(self._together)
        self._fault: Tensor | None = None  # 1 from the first step on whose numbers are not finite, where none looks
        if self._together > 1:
            self._fault = torch.zeros((), device=self.device)
            self.optimiser.found_inf = self._fault  # type: ignore[attr-defined]  # what fused rules ask for

    # -- state -----------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything a resume needs beside `progress`."""
        found = {f"model:{n}": t for n, t in self._state().items()}
        found |= {f"average:{n}": t for n, t in self.average.items()}
        return found | {f"optimiser:{n}": t for n, t in state_tensors(self.module, self.optimiser).items()}

    def restore(self, found: Found) -> None:
        """Go back to where a checkpoint was written.  Raises: ArtefactError where it is of another network."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
        for name, tensor in found.tensors.items():
            kind, _, rest = name.partition(":")
            parts.setdefault(kind, {})[rest] = tensor
        load_into(self.module, parts["model"], found.path)
        if parts["average"].keys() != self.average.keys():
            raise ArtefactError(f"{found.path}: holds another moving average of weights than the recipe asks for")
        for name, tensor in parts["average"].items():
            self.average[name].copy_(tensor)
        restore(self.module, self.optimiser, parts["optimiser"])
        self.progress = found.progress

    def weights(self) -> dict[str, Tensor]:
        """The weights that are evaluated and kept: the moving average where there is one."""
        return self.average or self._state()

    def _state(self) -> dict[str, Tensor]:
        return {n: t.detach() for n, t in self.module.state_dict().items()}

    # -- training --------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the end.  Raises: Interrupted after a signal, TrainingError where a number is not finite."""
        p = self.progress
        together = self.ranks.training(self.module, self.forward, self.recipe.sync_batch_norm)
        with noted_signals() as self._stopped, faster_layers(self.module, self.device), together as self._forward:
            while p.epoch < self.epochs and not p.finished and not self._given_up():
                self._epoch()
            if not p.finished:
                p.finished = True
                self._checkpoint()

    def _given_up(self) -> bool:
        p = self.progress
        if not 0 < self.recipe.stop_after <= p.waited:
            return False
        self.report.note(f"stopped after epoch {p.epoch}: {p.waited} epochs without a better val accuracy")
        return True

    def _stop(self) -> None:
        """Leave a checkpoint and end, as a signal has asked."""
        self._account()
        self._checkpoint()
        done = f"epoch {self.progress.epoch + 1}, batch {self.progress.batch} of {len(self.train)}"
        raise Interrupted(
            f"stopped by {signal.Signals(self._stopped[0]).name} at {done}; go on with --resume", self._stopped[0]
        )

    def _epoch(self) -> None:
        p = self.progress
        if self.conductor:
            self.conductor.enter(p)
        begun, first = time.perf_counter(), p.seen
        laps = self._laps = Laps()
        batches = iter(self.train.epoch(p.epoch, start=p.batch))
        group: list[Batch] = []
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            laps.waited += time.perf_counter() - asked
            if batch is not None:
                group.append(batch)
                if len(group) < self.recipe.accumulate:
                    continue
            if not group:
                break
            lr = self.schedule.at(p.step, p.factor)
            self._update(group, lr)
            group = []
            if self._tally.empty:  # else nothing is known yet that could be told or saved
                self._tell(begun, first)
            if self.ranks.stop(self._stopped):
                self._stop()
            if self._tally.empty and time.monotonic() - self._saved_at >= self.save_every:
                self._checkpoint()
        if not self._tally.empty:
            self._account()
            self._tell(begun, first)
        seconds = time.perf_counter() - begun
        images = p.seen - first
        # where nobody waits for the device, a lap is the time of asking for work, not that of the work
        known = (laps.forward, laps.backward, laps.update) if self._together == 1 else ()
        shares = (lap / seconds for lap in known)
        self._end_of_epoch(Timing(p.epoch + 1, seconds, images, images / seconds, laps.waited / seconds, 0.0, *shares))

    def _tell(self, begun: float, first: int) -> None:
        """Of the update that was done last, in an epoch that began at a time with so many images done."""
        p, laps = self.progress, self._laps
        laps.whole = elapsed = time.perf_counter() - begun
        self.report.step(
            Step(
                p.epoch + 1,
                self.epochs,
                p.batch,
                len(self.train),
                p.loss_sum / p.seen,
                p.right / p.seen,
                self._last_rate(),
                (p.seen - first) / elapsed,
                replace(laps),
            )
        )

    def _update(self, group: list[Batch], lr: float) -> None:
        p, laps, clock = self.progress, self._laps, time.perf_counter
        self.seed()
        set_rate(self.optimiser, lr)
        self.module.train()
        self.optimiser.zero_grad(set_to_none=True)
        for batch, share in zip(group, self.ranks.shares(group), strict=True):
            images, labels, targets = self.place(batch)
            begun = clock()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                outputs = self._forward(self.module, images)
            z, main, loss = on_heads(self.loss, outputs, labels, targets)
            self._tally.add(batch, p.batch, p.step, main, loss, (predicted(z) == labels).sum())
            if self._together == 1 or (p.step, p.batch) == (0, 0):
                self._account()
            if (p.step, p.batch) == (0, 0):
                self._check_start(p.loss_sum / p.seen)
            forward = clock()
            (loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
            p.batch += 1
            laps.forward, laps.backward = laps.forward + forward - begun, laps.backward + clock() - forward
            if self._fault is not None:
                self._hold_back(loss)
        begun = clock()
        parameters = [q for q in self.module.parameters() if q.grad is not None]
        norm = torch.nn.utils.get_total_norm([q.grad for q in parameters if q.grad is not None]).to(self.device)
        self._tally.add_norm(p.step, norm)
        if self._fault is not None:
            self._hold_back(norm)
        else:
            self._account()
        if self.recipe.clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm)
        self.optimiser.step()
        self.ranks.average(self.module, group)
        p.step += 1
        if self.average:
            self._move_average()
        laps.update += clock() - begun
        if self._tally.full:
            self._account()

    def _hold_back(self, value: Tensor) -> None:
        """Let no step change a weight from here on, where a number is not finite."""
        assert self._fault is not None
        torch.maximum(self._fault, (~torch.isfinite(value.detach())).to(self._fault), out=self._fault)

    def _account(self) -> None:
        """Look at all numbers that have been computed, and put them to the account.

        Raises: TrainingError for the first of them that is not finite.
        """
        p = self.progress
        batches, steps = self._tally.fetch()
        norms = {one.step: one.norm for one in steps}
        for one, (images, loss_sum, right) in zip(batches, self._sums(batches), strict=True):
            self._check_norms(norms, before=one.step)
            if not isfinite(loss_sum):
                value = loss_sum / images if isfinite(one.whole) else one.whole
                self._go_back(one.step, [one.number], f"the loss is {value}")
            p.seen, p.loss_sum, p.right = p.seen + images, p.loss_sum + loss_sum, p.right + right
        self._check_norms(norms, before=p.step + 1)

    def _sums(self, batches: list[OfBatch]) -> list[tuple[int, float, int]]:
        """Images, sum of losses and right answers of each batch, all processes together.

        All look at the same sum: if one of them gave up alone, the others would wait for it.
        """
        if not batches:
            return []
        losses = [one.loss if isfinite(one.whole) else one.whole for one in batches]
        return self.ranks.totals([one.batch for one in batches], losses, [one.right for one in batches], self._stopped)

    def _check_norms(self, norms: dict[int, float], before: int) -> None:
        """Of the gradients of the steps in front of one, which are then done with."""
        for step in [step for step in norms if step < before]:
            if not isfinite(norms.pop(step)):
                numbers = range(step % self.updates * self.recipe.accumulate, len(self.train))[: self.recipe.accumulate]
                self._go_back(step, list(numbers), "the gradient is not finite")

    def _go_back(self, step: int, numbers: list[int], what: str) -> NoReturn:
        """Raise what went wrong in a step, with the batches of the epoch that it was made of."""
        p = self.progress
        p.step, p.batch = step, numbers[0]
        again = list(islice(self.train.epoch(p.epoch, start=numbers[0]), len(numbers)))
        if self._fault is not None:
            diagnosis.undo(self, again)
        raise diagnosis.not_finite(self, what, again, self.schedule.at(step, p.factor))

    def seed(self) -> None:
        """What a step draws (dropout, dropped blocks) depends on the recipe's seed and the step's number alone.

        `torch.manual_seed` would also note a call, with its whole stack, for every kind of device that this process
        never uses: 0.65 ms a step, and memory that grows.
        """
        seed = keyed.torch_seed(self.recipe.seed, self.progress.step, self.ranks.rank)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def place(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        images = batch.images.to(self.device, memory_format=self.format, non_blocking=True)
        targets = None if batch.targets is None else batch.targets.to(self.device)
        return images, batch.labels.to(self.device, non_blocking=True), targets

    def _move_average(self) -> None:
        state = self._state()
        moving = [n for n, t in state.items() if t.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in moving], [state[n] for n in moving], 1 - self.recipe.ema)
        for n, t in state.items():
            if not t.is_floating_point():
                self.average[n].copy_(t)

    def _end_of_epoch(self, timing: Timing) -> None:
        p = self.progress
        begun = time.perf_counter()
        row: dict[str, Any] = {
            "epoch": p.epoch + 1, "step": p.step, "lr": self._last_rate(),
            "train_loss": p.loss_sum / p.seen, "train_accuracy": p.right / p.seen,
            "val_loss": None, "val_accuracy": None,
        }  # fmt: skip
        if self.val is not None:
            measured = self._validate(self.val)
            if measured is None:
                self._stop()
            else:
                row["val_loss"], row["val_accuracy"] = measured
        diagnosis.check(self, self._last_rate())
        better = self._is_better(row)
        if better:
            p.best, p.waited = {k: row[k] for k in ("epoch", "val_loss", "val_accuracy")}, 0
            self.choose(self.weights(), p.best)
        else:
            p.waited += 1
        row["best"] = int(better)
        self._plateau(row["val_loss"] if row["val_loss"] is not None else row["train_loss"])
        p.rows.append(row)
        p.epoch, p.batch, p.seen, p.right, p.loss_sum = p.epoch + 1, 0, 0, 0, 0.0
        timing = Timing(**asdict(timing) | {"val_seconds": time.perf_counter() - begun})
        self.timed(timing)
        self.report.epoch(row, timing)
        if timing.data_wait > monitor.DATA_WAIT and timing.seconds > 2:
            self.report.warn(
                f"the network waited for data {timing.data_wait:.0%} of epoch {p.epoch}; "
                "more --workers or smaller source images help"
            )
        if p.epoch in (1, self.epochs):
            self._check_dead()
        if time.monotonic() - self._saved_at >= min(5.0, self.save_every):
            self._checkpoint()

    def _is_better(self, row: dict[str, Any]) -> bool:
        """Highest val accuracy, then lowest val loss, then the earlier; without a val split the last epoch."""
        best = self.progress.best
        if best is None or row["val_accuracy"] is None:
            return True
        return bool((row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"]))

    def _plateau(self, loss: float) -> None:
        p = self.progress
        if self.recipe.schedule != "plateau":
            return
        if p.plateau_best is None or loss < p.plateau_best:
            p.plateau_best, p.plateau_waited = loss, 0
        else:
            p.plateau_waited += 1
            if p.plateau_waited > self.recipe.patience:
                p.factor, p.plateau_waited = p.factor / 10, 0

    @torch.no_grad()
    def _validate(self, loader: Loader) -> tuple[float, float] | None:
        """Loss and accuracy of the weights that would be kept, in float32 as `evaluate` computes them.

        None where a signal came in between: it is done again after the resume.
        """
        kept = {n: t.clone() for n, t in self._state().items()} if self.average else None
        if self.average:
            self.module.load_state_dict(self.average)
        self.module.eval()
        total, right, n = 0.0, 0, 0
        tally = Tally(self._together)
        last = len(loader) - 1
        try:
            for number, batch in enumerate(loader.in_order()):
                if self.ranks.stop(self._stopped):
                    return None
                images, labels, _ = self.place(batch)
                z = self.module(images).float()
                value = self.loss(z, labels, None)
                found = (probabilities(z, loader.classes).argmax(1) == labels).sum()
                tally.add(batch, number, self.progress.step, value, value, found)
                if not tally.full and number < last:
                    continue
                judged, _ = tally.fetch()
                for one, (seen, loss_sum, some) in zip(judged, self._sums(judged), strict=True):
                    if not isfinite(loss_sum):
                        again = list(islice(loader.in_order(), one.number, one.number + 1))
                        raise diagnosis.not_finite(self, f"the val loss is {loss_sum / seen}", again, self._last_rate())
                    total, right, n = total + loss_sum, right + some, n + seen
        finally:
            if kept is not None:
                self.module.load_state_dict(kept)
        return total / n, right / n

    def _last_rate(self) -> float:
        """Of the step that was done last, which was in this epoch."""
        return self.schedule.at(max(0, self.progress.step - 1), self.progress.factor)

    # -- what can go wrong -----------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        diagnosis.check(self, self._last_rate())
        self.save(self.progress, self.tensors())
        self._saved_at = time.monotonic()

    def _check_start(self, loss: float) -> None:
        expected = expected_at_start(kind_of(self.recipe), self.train.classes)
        fresh = not self.recipe.smoothing and not self.recipe.weights
        if fresh and (said := monitor.start(loss, expected, self.train.classes)):
            self.report.warn(said)

    def _check_dead(self) -> None:
        batch = next(iter((self.val or self.train).in_order()))
        images, _, _ = self.place(batch)
        if said := monitor.describe_dead(monitor.dead_units(self.module, images)):
            self.report.warn(said)


def predicted(z: Tensor) -> Tensor:
    """Logits (N, K), or (N, 1) with class 1 above zero -> (N,) classes."""
    return (z[:, 0] > 0).long() if z.shape[1] == 1 else z.argmax(1)


def kind_of(recipe: Recipe) -> Kind:
    """The loss of a resolved recipe."""
    assert recipe.loss != "auto"
    return recipe.loss
