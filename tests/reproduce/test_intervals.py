"""Intervals: against SciPy, and by simulation."""

from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from striate.reproduce.intervals import again, of_difference, of_mean, quantile, within


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 9, 16, 101])
@pytest.mark.parametrize("p", [0.6, 0.975, 0.999])
def test_quantiles_are_scipys(df: int, p: float) -> None:
    assert quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9)


@given(st.floats(0.01, 50), st.integers(1, 60))  # SciPy 1.17's own tail is off by 3e-11 nearer to 0
def test_the_share_within_is_scipys(t: float, df: int) -> None:
    assert within(t, df) == pytest.approx(1 - 2 * stats.t.sf(t, df), abs=1e-10)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [98.1, 97.6, 98.4, 98.0]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = of_mean(values)
    assert (found.mean, found.low, found.high, found.n) == (pytest.approx(98.025), *map(pytest.approx, (low, high)), 4)


def test_one_run_has_no_interval() -> None:
    assert (of_mean([5.0]).low, of_mean([5.0]).high) == (None, None)


def test_what_the_seed_does_to_both_arms_cancels() -> None:
    seed = np.array([3.0, -2.0, 1.5])
    found = of_difference((90 + seed).tolist(), (89 + seed).tolist())
    assert found.mean == pytest.approx(1.0)
    assert found.low == pytest.approx(1.0)
    assert of_mean((90 + seed).tolist()).low < 85


@pytest.mark.parametrize(("deviations", "stated"), [((0.3,), 0.95), ((0.3,) * 6, 0.95), ((0.1, 0.1, 0.5), 0.91)])
def test_honest_repetitions_lie_inside_as_often_as_is_said(deviations: tuple[float, ...], stated: float) -> None:
    rng, trials, inside = np.random.default_rng(7), 800, 0
    for _ in range(trials):
        stored = [rng.normal(95, s, 3).tolist() for s in deviations]
        now = [fmean(rng.normal(95, s, 3).tolist()) for s in deviations]
        inside += all(low <= m <= high for m, (low, high) in zip(now, again(stored, 3, 0.0), strict=True))
    assert inside / trials > stated - 3 * (stated * (1 - stated) / trials) ** 0.5


def test_a_result_of_another_kind_lies_outside() -> None:
    rng, caught = np.random.default_rng(3), 0
    for _ in range(300):
        stored = [rng.normal(95, 0.3, 3).tolist() for _ in range(4)]
        now = [fmean(rng.normal(95 - 2.5 * (i == 1), 0.3, 3).tolist()) for i in range(4)]
        caught += not all(low <= m <= high for m, (low, high) in zip(now, again(stored, 3, 0.02), strict=True))
    assert caught > 290


def test_runs_that_happened_to_agree_leave_room_for_one_test_image() -> None:
    assert again([[97.0, 97.0, 97.0]], 3, 0.1) == [(pytest.approx(96.9), pytest.approx(97.1))]


def test_one_run_is_repeated_within_the_tolerance() -> None:
    assert again([[63.7]], 1, 0.3) == [(pytest.approx(63.4), pytest.approx(64.0))]
