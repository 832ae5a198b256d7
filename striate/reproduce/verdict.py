"""Does it come out again? A new result beside the stored one, and both beside the claim."""

from dataclasses import dataclass

from striate.errors import UsageError
from striate.reproduce.experiment import Experiment
from striate.reproduce.intervals import again
from striate.reproduce.result import Result


@dataclass(frozen=True)
class Compared:
    """One arm, then and now."""

    name: str
    now: float
    stored: float
    low: float  # where a repetition should fall
    high: float

    @property
    def inside(self) -> bool:
        return self.low <= self.now <= self.high


@dataclass(frozen=True)
class Verdict:
    """Whether a recipe reproduces its stored result, in a sentence."""

    experiment: Experiment
    arms: tuple[Compared, ...]

    @property
    def reproduces(self) -> bool:
        return all(arm.inside for arm in self.arms)

    @property
    def sentence(self) -> str:
        """One line, the worst arm named."""
        name, unit = self.experiment.form, self.experiment.claim.metric
        outside = [arm for arm in self.arms if not arm.inside]
        if outside:
            worst = max(outside, key=lambda arm: max(arm.low - arm.now, arm.now - arm.high))
            which = f"{worst.name!r}: " if len(self.arms) > 1 else ""
            more = f"; {len(outside)} of {len(self.arms)} arms lie outside" if len(self.arms) > 1 else ""
            return (
                f"{name} does not reproduce: {which}{worst.now:.2f} ({unit}), and {worst.low:.2f} to {worst.high:.2f} "
                f"was expected from the stored {worst.stored:.2f}{more}"
            )
        if len(self.arms) == 1:
            arm = self.arms[0]
            return (
                f"{name} reproduces: {arm.now:.2f} ({unit}), within the {arm.low:.2f} to {arm.high:.2f} expected from "
                f"the stored {arm.stored:.2f}"
            )
        furthest = max(self.arms, key=lambda arm: abs(arm.now - arm.stored))
        return (
            f"{name} reproduces: all {len(self.arms)} arms lie in their intervals ({unit}); the furthest from its "
            f"stored {furthest.stored:.2f} is {furthest.name!r} with {furthest.now:.2f}"
        )


def judge(experiment: Experiment, stored: Result | None, now: Result) -> Verdict:
    """Compare; the intervals are those of `striate.reproduce.intervals.again`, within what a share can be.

    Raises: UsageError where there is no stored result.
    """
    if stored is None:
        raise UsageError(
            f"{experiment.form} has no stored result to compare with; --store keeps the one that is measured now"
        )
    least = max(experiment.work.tolerance, 100 / stored.images)
    expected = again([one.values for one in stored.outcomes], experiment.work.seeds, least)
    arms = [
        Compared(then.name, now.outcome(then.name).mean.mean, then.mean.mean, max(0.0, low), min(100.0, high))
        for then, (low, high) in zip(stored.outcomes, expected, strict=True)
    ]
    return Verdict(experiment, tuple(arms))


def beside_claim(experiment: Experiment, result: Result) -> str:
    """By how much ours differs from what is claimed; empty where no figure is claimed, or there are several arms."""
    claimed = experiment.claim.figure
    if claimed is None or len(result.outcomes) != 1:
        return ""
    ours = result.outcomes[0].mean.mean
    gap = round(ours - claimed, 2)
    if not gap:
        return f"Claimed are {claimed:g}; ours is the same."
    return f"Claimed are {claimed:g}; ours is {ours:.2f}, {abs(gap):.2f} {'higher' if gap > 0 else 'lower'}."
