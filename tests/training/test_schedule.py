"""The learning rate of every step: torch's own schedules where they mean the same, and what any schedule must do."""

import math
import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from striate.training.recipe import Recipe
from striate.training.schedule import Schedule

KINDS = ["constant", "step", "plateau", "cosine", "onecycle"]


def schedule(kind: str, steps: int = 200, *, lr: float = 0.1, per_epoch: int = 10, warmup: float = 0.0) -> Schedule:
    return Schedule(kind, lr, steps, per_epoch, warmup, step_epochs=3)


def torchs(make: Callable[[SGD], LRScheduler], steps: int) -> list[float]:
    rule = SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no gradient was computed
        made = make(rule)
        rates = []
        for _ in range(steps):
            rates.append(float(rule.param_groups[0]["lr"]))
            rule.step()
            made.step()
    return rates


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_cosine_is_torchs_own(steps: int) -> None:
    found = [schedule("cosine", steps).at(s) for s in range(steps)]
    assert found == pytest.approx(torchs(lambda rule: CosineAnnealingLR(rule, T_max=steps), steps), abs=1e-12)


def test_cosine_after_a_warm_up_is_torchs_own_over_the_rest() -> None:
    made = schedule("cosine", 200, warmup=0.25)
    expected = torchs(lambda rule: CosineAnnealingLR(rule, T_max=150), 150)
    assert [made.at(s) for s in range(50, 200)] == pytest.approx(expected, abs=1e-12)


def test_step_is_torchs_own() -> None:
    found = [schedule("step").at(s) for s in range(200)]
    assert found == pytest.approx(torchs(lambda rule: StepLR(rule, step_size=30, gamma=0.1), 200), rel=1e-9)


@pytest.mark.parametrize("steps", [10, 50, 300])
def test_onecycle_is_torchs_own_with_these_ends(steps: int) -> None:
    """torch reaches its last rate at the last step, here it would come one step later."""
    share = (0.3 * steps + 1) / (steps + 1)
    expected = torchs(
        lambda rule: OneCycleLR(
            rule, 0.1, total_steps=steps + 1, pct_start=share, div_factor=25, final_div_factor=400, cycle_momentum=False
        ),
        steps,
    )
    assert [schedule("onecycle", steps).at(s) for s in range(steps)] == pytest.approx(expected, rel=1e-9)


def test_constant_and_plateau_stay_but_for_what_the_plateau_has_left() -> None:
    for kind in ("constant", "plateau"):
        assert {schedule(kind).at(s) for s in range(200)} == {0.1}
    assert schedule("plateau").at(7, factor=0.01) == pytest.approx(0.001)


def test_a_step_comes_at_the_first_update_of_an_epoch() -> None:
    made = schedule("step")
    assert [made.at(s) for s in (29, 30, 59, 60)] == pytest.approx([0.1, 0.01, 0.01, 0.001])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 500), st.floats(1e-8, 100), st.integers(1, 60), st.floats(0, 0.99))
def test_every_rate_is_positive_and_none_is_above_the_peak(
    kind: str, steps: int, lr: float, per_epoch: int, warmup: float
) -> None:
    made = schedule(kind, steps, lr=lr, per_epoch=per_epoch, warmup=warmup)
    rates = [made.at(s) for s in range(steps)]
    assert all(math.isfinite(rate) and 0 < rate <= lr * (1 + 1e-12) for rate in rates)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["constant", "plateau", "cosine", "step"]), st.integers(1, 500), st.floats(0, 0.9))
def test_the_peak_comes_right_after_the_warm_up_which_rises_evenly(kind: str, steps: int, warmup: float) -> None:
    made = schedule(kind, steps, warmup=warmup, per_epoch=1000)
    warm = int(warmup * steps)
    rates = [made.at(s) for s in range(steps)]
    assert max(rates) == rates[warm] == pytest.approx(0.1)
    rise = [b - a for a, b in pairwise(rates[: warm + 1])]
    assert rise == pytest.approx([0.1 / (warm + 1)] * warm)
    assert rates[warm:] == sorted(rates[warm:], reverse=True)


@pytest.mark.parametrize("steps", [10, 11, 12, 100, 1001])
def test_onecycle_rises_to_its_peak_and_ends_far_below_its_start(steps: int) -> None:
    rates = [schedule("onecycle", steps, warmup=0.5).at(s) for s in range(steps)]
    peak = rates.index(max(rates))
    assert abs(peak - 0.3 * steps) < 1
    assert rates[peak] == pytest.approx(0.1, rel=0.2 if steps < 100 else 0.001)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("kind", ["cosine", "onecycle"])
def test_long_schedules_end_low(kind: str) -> None:
    assert schedule(kind, 1000, warmup=0.05).at(999) < 0.1 / 5000


def test_a_recipe_makes_its_schedule() -> None:
    recipe = Recipe.make({"model": "m", "data": "d", "schedule": "step", "lr": 0.4, "step_epochs": 2, "warmup": 0.1})
    made = Schedule.of(recipe, steps_per_epoch=5, epochs=8)
    assert made == Schedule("step", 0.4, 40, 5, 0.1, 2)
    assert [made.at(s) for s in (3, 4, 9, 10, 20)] == pytest.approx([0.4 * 4 / 5, 0.4, 0.4, 0.04, 0.004])
