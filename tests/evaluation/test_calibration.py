"""Calibration on networks whose calibration is known because it was made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss

from striate.evaluation.calibration import (
    at_temperature,
    by_chance,
    calibration,
    expected_error,
    fit_temperature,
    reliability,
)
from striate.evaluation.predictions import Predictions


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def drawn(n: int, k: int, seed: int, spread: float = 2.0, boldness: float = 1.0) -> Predictions:
    """Truth drawn from softmax(z); the network claims softmax(boldness * z): calibrated where boldness is 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * spread
    truth = (softmax(z).cumsum(1) < rng.random((n, 1))).sum(1).clip(max=k - 1)
    return Predictions(tuple(map(str, range(n))), truth, softmax(boldness * z), tuple(map(str, range(k))), "test")


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 80), bins=st.integers(1, 20))
def test_the_expected_error_is_its_definition_written_out(seed: int, n: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = np.round(rng.random(n), 2), rng.random(n) < 0.5  # rounded: many lie on the edges of bins
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(n) if (b / bins < confidence[i] or b == 0) and confidence[i] <= (b + 1) / bins]
        if inside:
            total += len(inside) / n * abs(np.mean(right[inside]) - np.mean(confidence[inside]))
    edges = np.abs(confidence * bins - np.round(confidence * bins)) < 1e-9
    assert edges.any() or expected_error(confidence, right, bins) == pytest.approx(total, abs=1e-12)
    table = reliability(confidence, right, bins)
    from_table = sum(
        b.images / n * abs(b.right.value - b.confidence) for b in table if b.right and b.confidence is not None
    )
    assert expected_error(confidence, right, bins) == pytest.approx(from_table, abs=1e-12)
    assert sum(b.images for b in table) == n


@pytest.mark.parametrize("bins", [1, 2, 3, 10, 15])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below_it(bins: int) -> None:
    for b, found in enumerate(reliability(np.arange(bins + 1) / bins, np.zeros(bins + 1, bool), bins)):
        assert found.images == (2 if b == 0 else 1)  # 0 itself is in the first


def test_a_calibrated_network_has_an_error_near_zero_and_one_that_exaggerates_has_not() -> None:
    honest = calibration(drawn(40_000, 6, seed=0))
    assert honest.expected_error < 0.01
    assert honest.expected_error <= honest.chance.high * 1.5
    boastful = calibration(drawn(40_000, 6, seed=0, boldness=3))
    assert boastful.expected_error > 0.1
    assert boastful.expected_error > 5 * boastful.chance.high
    assert boastful.confidence > boastful.accuracy
    assert boastful.maximum_error >= boastful.expected_error


def test_chance_is_what_calibrated_networks_really_show() -> None:
    errors = [(p := drawn(300, 5, seed=s), expected_error(p.confidence, p.right))[1] for s in range(300)]
    claimed = [by_chance(drawn(300, 5, seed=s).confidence, draws=100) for s in range(20)]
    assert np.mean(errors) == pytest.approx(np.mean([c.mean for c in claimed]), rel=0.05)
    above = np.mean(np.array(errors) > np.mean([c.high for c in claimed]))
    assert 0.01 <= above <= 0.10


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(2, 6))
def test_brier_is_scikit_learns(seed: int, k: int) -> None:
    p = drawn(50, k, seed)
    exact = p.probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    if k == 2:  # scikit-learn halves it for two classes
        assert calibration(p).brier == pytest.approx(2 * brier_score_loss(p.truth == 1, exact[:, 1]), abs=1e-6)
    else:
        want = np.mean([sum((row[c] - (c == t)) ** 2 for c in range(k)) for row, t in zip(exact, p.truth, strict=True)])
        assert calibration(p).brier == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("boldness", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_a_planted_exaggeration(boldness: float) -> None:
    val, test = drawn(8000, 5, seed=1, boldness=boldness), drawn(8000, 5, seed=2, boldness=boldness)
    fitted = fit_temperature(val)
    assert fitted.value == pytest.approx(boldness, rel=0.06)
    assert fitted.log_loss_after <= fitted.log_loss_before
    assert not fitted.at_limit
    before, after = calibration(test).expected_error, calibration(at_temperature(test, fitted.value)).expected_error
    assert after < 0.02
    assert boldness == 1.0 or after < before / 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(2, 5), boldness=st.floats(0.3, 3))
def test_the_temperature_is_the_minimum_that_scipy_finds(seed: int, k: int, boldness: float) -> None:
    p = drawn(200, k, seed, boldness=boldness)
    score = np.log(p.probabilities.astype(np.float64))

    def loss(log_t: float) -> float:
        return float(-np.log(softmax(score / np.exp(log_t))[np.arange(200), p.truth]).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-8})
    assert fit_temperature(p).log_loss_after == pytest.approx(best.fun, abs=1e-9)


def test_temperature_keeps_every_answer_and_one_changes_nothing() -> None:
    p = drawn(200, 4, seed=3)
    np.testing.assert_array_equal(at_temperature(p, 3.7).predicted, p.predicted)
    np.testing.assert_allclose(at_temperature(p, 1.0).probabilities, p.probabilities, rtol=1e-5)


def test_a_split_without_a_mistake_can_not_fix_the_temperature_and_says_so() -> None:
    truth = np.arange(30) % 3
    p = Predictions(tuple(map(str, range(30))), truth, np.eye(3)[truth] * 0.97 + 0.01, ("a", "b", "c"), "val")
    assert fit_temperature(p).at_limit


def test_certainty_of_exactly_one_and_zero_gives_finite_numbers() -> None:
    truth = np.array([0, 1, 0])
    p = Predictions(("x", "y", "z"), truth, np.eye(2)[[0, 1, 1]], ("a", "b"), "test")
    found = calibration(p)
    assert found.expected_error == pytest.approx(1 / 3)
    assert found.brier == pytest.approx(2 / 3)
    assert np.isfinite(fit_temperature(p).log_loss_after)
    assert np.isfinite(at_temperature(p, 20.0).probabilities).all()
