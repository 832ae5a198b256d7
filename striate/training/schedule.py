"""The learning rate as a function of the step: nothing to store, so nothing to lose.

Only `plateau` depends on how training went; its factor is part of the training state.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi

from striate.training.recipe import Recipe


@dataclass(frozen=True)
class Schedule:
    """Learning rate of each step, from a recipe and the number of steps."""

    kind: str
    lr: float
    steps: int  # of the whole run
    steps_per_epoch: int
    warmup: float  # share of all steps
    step_epochs: int

    @classmethod
    def of(cls, recipe: Recipe, steps_per_epoch: int, epochs: int) -> "Schedule | Phased":
        """Of a whole recipe; where it unfreezes on the way, each phase has its own schedule from its first step on."""
        begins = [0, *(int(phase["epoch"]) - 1 for phase in recipe.unfreeze), epochs]
        rates = [recipe.lr, *(float(phase.get("lr", recipe.lr)) for phase in recipe.unfreeze)]
        parts = [
            cls(recipe.schedule, lr, steps_per_epoch * (b - a), steps_per_epoch, recipe.warmup, recipe.step_epochs)
            for lr, (a, b) in zip(rates, pairwise(begins), strict=True)
        ]
        return parts[0] if len(parts) == 1 else Phased(tuple(parts))

    def at(self, step: int, factor: float = 1.0) -> float:
        """Rate of step 0 .. steps-1; `factor` is what a plateau has left of it.

            warm-up    lr (s + 1) / (warm + 1)
            cosine     lr (1 + cos(pi t)) / 2                 t = share of the rest that is done
            step       lr / 10^(epoch // step_epochs)
            onecycle   from lr/25 up over 30 %, then down to lr/10,000, each half a cosine

        Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Smith & Topin 2018, arXiv:1708.07120 (one-cycle).
        """
        if self.kind == "onecycle":
            rise = 0.3 * self.steps
            if step < rise:
                return _between(self.lr / 25, self.lr, step / rise)
            return _between(self.lr, self.lr / 1e4, (step - rise) / max(1.0, self.steps - rise))
        warm = int(self.warmup * self.steps)
        if step < warm:
            return self.lr * (step + 1) / (warm + 1)
        if self.kind == "cosine":
            return self.lr * 0.5 * (1 + cos(pi * (step - warm) / max(1, self.steps - warm)))
        if self.kind == "step":
            return self.lr * 0.1 ** (step // self.steps_per_epoch // self.step_epochs)
        return self.lr * factor


@dataclass(frozen=True)
class Phased:
    """One schedule after the other."""

    parts: tuple[Schedule, ...]

    def at(self, step: int, factor: float = 1.0) -> float:
        """Rate of step 0 .. steps-1 of the whole training."""
        for part in self.parts[:-1]:
            if step < part.steps:
                return part.at(step, factor)
            step -= part.steps
        return self.parts[-1].at(step, factor)


def _between(a: float, b: float, share: float) -> float:
    return b + (a - b) * (1 + cos(pi * share)) / 2
