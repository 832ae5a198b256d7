"""Paired comparison: exact, honest about luck, and only of the same images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from striate.errors import DatasetError
from striate.evaluation.compare import mcnemar, paired
from striate.evaluation.predictions import Predictions

CLASSES = ("a", "b")


def answers(right: np.ndarray, truth: np.ndarray, classes: tuple[str, str] = CLASSES) -> Predictions:
    said = np.where(right, truth, 1 - truth)
    return Predictions(tuple(map(str, range(len(truth)))), truth, np.eye(2)[said] * 0.8 + 0.1, classes, "test")


@given(st.integers(0, 400), st.integers(0, 400))
def test_p_is_scipys_binomial_test(b: int, c: int) -> None:
    want = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(want, rel=1e-9)


def test_p_of_very_many_images_is_a_number() -> None:
    assert 0 <= mcnemar(4000, 6000) < 1e-80
    assert mcnemar(5000, 5000) == 1.0


def test_two_equal_networks_are_called_different_in_about_5_percent_of_simulations() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=1000)
    false_alarms, covered = [], []
    for _ in range(2000):
        shared = rng.random(1000)  # images are hard or easy for both
        a, b = ((0.7 * shared + 0.3 * rng.random(1000)) < 0.7 for _ in range(2))
        found = paired(answers(a, truth), answers(b, truth))
        false_alarms.append(found.p < 0.05)
        covered.append(found.low <= 0 <= found.high)
    assert 0.03 <= np.mean(false_alarms) <= 0.06
    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_interval_of_a_real_difference_covers_it_in_93_to_97_percent_of_simulations() -> None:
    rng = np.random.default_rng(1)
    truth = np.zeros(300, np.int64)
    covered, seen = [], []
    for _ in range(2000):
        kind = rng.choice(4, size=300, p=[0.75, 0.12, 0.05, 0.08])  # both, only first, only second, neither
        found = paired(answers((kind == 0) | (kind == 1), truth), answers((kind == 0) | (kind == 2), truth))
        covered.append(found.low <= 0.07 <= found.high)
        seen.append(found.difference)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(seen) == pytest.approx(0.07, abs=0.003)


def test_counts_are_those_of_the_four_kinds_whatever_the_order_of_rows_and_classes() -> None:
    truth = np.array([0, 1, 0, 1, 0, 1])
    a = answers(np.array([1, 1, 1, 1, 0, 0], bool), truth)
    b = answers(np.array([1, 0, 0, 1, 1, 0], bool), truth)
    order = np.array([0, 3, 4, 1, 2, 5])
    turned = Predictions(
        tuple(b.keys[i] for i in order), 1 - b.truth[order], b.probabilities[order][:, ::-1], ("b", "a"), "test"
    )
    for other in (b, turned):
        found = paired(a, other)
        assert (found.images, found.both, found.only_first, found.only_second, found.neither) == (6, 2, 2, 1, 1)
        assert found.difference == pytest.approx(1 / 6)


def test_other_images_and_other_labels_are_refused_by_name() -> None:
    truth, right = np.array([0, 1]), np.array([True, True])
    a = answers(right, truth)
    other_key = Predictions(("0", "new"), a.truth, a.probabilities, CLASSES, "test")
    with pytest.raises(DatasetError, match=r"of 2 and 2, 1 are in both; '1' is only in the first"):
        paired(a, other_key)
    with pytest.raises(DatasetError, match="of 2 and 3, 2 are in both"):
        paired(a, answers(np.array([True] * 3), np.array([0, 1, 0])))
    with pytest.raises(DatasetError, match=r"'1' is 'b' in the first predictions and 'a' in the second"):
        paired(a, answers(right, np.array([0, 0])))
