"""Compiling the network for its training steps, where that saves more time than it takes.

torch's compiler needs half a minute to a minute before the first step and makes a step a few per cent shorter, or
none, or longer: which one is measured on a copy of the network. It is not tried for short runs. The answer is a
setting of the run, so that a run that goes on computes as it began.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from striate.data.loader import Batch
from striate.training.losses import Loss
from striate.training.plan import trial

WORTH_A_TRY = 1800.0  # seconds that a run has to take
LEAST_GAIN = 0.05  # share of a step below which a difference may be chance


class Compiled:
    """The forward pass of any network, compiled when it is first called on it.

    Only for batches of the size that came first: a smaller one at the end of an epoch would be compiled anew.
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[nn.Module, tuple[Callable[[Tensor], Any], torch.Size]] = WeakKeyDictionary()

    def __call__(self, module: nn.Module, images: Tensor) -> Any:
        if module not in self._made:
            self._made[module] = torch.compile(module, dynamic=False), images.shape
        run, shape = self._made[module]
        return run(images) if images.shape == shape else module(images)


@dataclass(frozen=True)
class Choice:
    """Whether to compile, and why in a sentence; empty where it was not even tried."""

    compile: bool
    why: str = ""


def choose(
    module: nn.Module, batch: Batch, loss: Loss, *, bf16: bool, steps: int, seconds: float, plain_s: float
) -> Choice:
    """Try it on a copy, where the run is long enough.

    `seconds` is what the run is expected to take with `steps` of `plain_s` each.
    """
    if seconds < WORTH_A_TRY:
        return Choice(False)
    begun = time.perf_counter()
    try:
        tried = trial(module, batch, loss, bf16=bf16, forward=Compiled(), least=2)
    except RuntimeError as error:  # all that torch's compiler raises, also where there is no C++ compiler
        first = str(error).strip().partition("\n")[0]
        return Choice(False, f"not compiled: torch's compiler can't do it here ({type(error).__name__}: {first})")
    return weigh(plain_s, tried.step_s, time.perf_counter() - begun, steps)


def weigh(plain_s: float, compiled_s: float, warm_up_s: float, steps: int) -> Choice:
    """Seconds of a step as it is and compiled, and those before the first compiled one -> whether it pays.

    >>> weigh(0.50, 0.40, 60.0, 10_000)
    Choice(compile=True, why='compiled: a step takes 400 ms in place of 500; 60 s of warm-up save about 15.7 minutes')
    >>> weigh(0.50, 0.49, 60.0, 10_000).compile
    False
    """
    both = f"{1000 * compiled_s:.0f} ms in place of {1000 * plain_s:.0f}"
    saved = steps * (plain_s - compiled_s) - warm_up_s
    if compiled_s > plain_s * (1 - LEAST_GAIN):
        return Choice(False, f"not compiled: a step would take {both}")
    if saved <= 0:
        return Choice(False, f"not compiled: a step would take {both}, too little for {warm_up_s:.0f} s of warm-up")
    return Choice(
        True, f"compiled: a step takes {both}; {warm_up_s:.0f} s of warm-up save about {saved / 60:.1f} minutes"
    )
