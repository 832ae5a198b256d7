"""What training tells whoever listens. The command line draws it; a notebook or a test can do something else."""

from dataclasses import dataclass, field
from typing import Any

from striate.training.plan import Plan


@dataclass
class Laps:
    """Seconds of an epoch so far, and where they went; what is left is for the account, the report and checkpoints."""

    whole: float = 0.0
    waited: float = 0.0  # for data
    forward: float = 0.0  # the loss with it
    backward: float = 0.0
    update: float = 0.0


@dataclass(frozen=True)
class Step:
    """One update, as it is shown while training."""

    epoch: int
    epochs: int
    batch: int  # batches done in this epoch
    batches: int
    loss: float  # mean over the epoch so far
    accuracy: float  # likewise
    lr: float
    images_per_s: float
    laps: Laps = field(default_factory=Laps)


@dataclass(frozen=True)
class Timing:
    """How long an epoch took; kept apart from its results, which do not depend on the clock."""

    epoch: int
    seconds: float
    images: int
    images_per_s: float
    data_wait: float  # share of the time in which the network waited for data
    val_seconds: float
    forward: float = 0.0  # shares of the time, likewise
    backward: float = 0.0
    update: float = 0.0


class Report:
    """Listens and says nothing; derive from it what you need."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something that will hurt if it is not looked at."""

    def prepare(self, what: str, done: int, of: int) -> None:
        """Data are being read."""

    def plan(self, plan: Plan) -> None:
        """What is going to happen; nothing has been trained yet."""

    def step(self, step: Step) -> None:
        """After each update."""

    def epoch(self, row: dict[str, Any], timing: Timing) -> None:
        """After each epoch and its validation."""
