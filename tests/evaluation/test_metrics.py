"""Own metrics against scikit-learn's, on random input with absent classes; intervals against simulation."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from sklearn import metrics as theirs

from striate.errors import DatasetError
from striate.evaluation.metrics import Metrics, measure, wilson
from striate.evaluation.predictions import Predictions


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    k, n = draw(st.integers(2, 9)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    used = rng.choice(k, size=draw(st.integers(1, k)), replace=False)  # the others never occur
    truth = rng.choice(used, size=n)
    logits = rng.normal(size=(n, k)) * draw(st.sampled_from([0.1, 1, 5])) + np.eye(k)[truth] * draw(
        st.sampled_from([0, 2])
    )
    logits[:, rng.choice(k, size=draw(st.integers(0, k - 1)), replace=False)] -= 14  # never predicted
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(tuple(map(str, range(n))), truth, p, tuple(f"c{i}" for i in range(k)), "test")


@settings(max_examples=100, deadline=None)
@given(some_predictions())
def test_every_number_is_scikit_learns(p: Predictions) -> None:
    got, t, y, k = measure(p), p.truth, p.predicted, len(p.classes)
    labels = np.arange(k)
    np.testing.assert_array_equal(got.confusion, theirs.confusion_matrix(t, y, labels=labels))
    assert got.accuracy.value == pytest.approx(theirs.accuracy_score(t, y), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of undefined shares and absent classes, which is the point
        assert got.balanced_accuracy == pytest.approx(theirs.balanced_accuracy_score(t, y), abs=1e-12)
        macro = theirs.precision_recall_fscore_support(t, y, average="macro", zero_division=0.0)
        each = theirs.precision_recall_fscore_support(t, y, labels=labels, zero_division=np.nan)
    assert (got.macro_precision, got.macro_recall, got.macro_f1) == pytest.approx(macro[:3], abs=1e-12)
    for i, score in enumerate(got.classes):
        assert score.images == each[3][i]
        for ours, other in zip((score.precision, score.recall, score.f1), each[:3], strict=True):
            assert (np.nan if ours is None else ours.value) == pytest.approx(other[i], abs=1e-12, nan_ok=True)
    exact = p.probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    if exact[np.arange(len(t)), t].min() > np.finfo(np.float64).eps:  # below, scikit-learn takes this in its place
        assert got.log_loss == pytest.approx(theirs.log_loss(t, exact, labels=labels), abs=1e-5)
    if k > 5:
        assert got.top5 is not None
        assert got.top5.value == pytest.approx(theirs.top_k_accuracy_score(t, exact, k=5, labels=labels), abs=1e-12)
    else:
        assert got.top5 is None


@settings(max_examples=50, deadline=None)
@given(some_predictions())
def test_the_baseline_is_the_best_that_a_constant_answer_can_do(p: Predictions) -> None:
    best = max(float((p.truth == c).mean()) for c in range(len(p.classes)))
    baseline = measure(p).baseline
    assert baseline.count / baseline.images == pytest.approx(best)
    assert int((p.truth == p.classes.index(baseline.truth)).sum()) == baseline.count


@settings(max_examples=50, deadline=None)
@given(some_predictions())
def test_confusions_are_every_mistake_once_the_most_frequent_first(p: Predictions) -> None:
    got = measure(p)
    found = got.confusions()
    assert sum(c.count for c in found) == got.images - got.right
    assert [c.count for c in found] == sorted((c.count for c in found), reverse=True)
    for c in found:
        t, y = p.classes.index(c.truth), p.classes.index(c.predicted)
        assert t != y
        assert c.count == int(((p.truth == t) & (p.predicted == y)).sum())
        assert c.images == int((p.truth == t).sum())


@given(n=st.integers(1, 5000), data=st.data())
def test_the_interval_is_wilsons(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    share, other = wilson(right, n), binomtest(right, n).proportion_ci(method="wilson")
    assert share is not None
    assert (share.low, share.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_a_share_of_nothing_is_undefined() -> None:
    assert wilson(0, 0) is None


@pytest.mark.parametrize(("n", "p"), [(50, 0.8), (100, 0.9), (360, 0.985), (1000, 0.5), (2000, 0.93)])
def test_95_percent_intervals_of_accuracy_cover_the_truth_in_93_to_97_percent_of_simulated_splits(
    n: int, p: float
) -> None:
    rng = np.random.default_rng(0)
    covered = []
    for right in rng.binomial(n, p, size=4000):
        share = wilson(int(right), n)
        assert share is not None
        covered.append(share.low <= p <= share.high)
    assert 0.93 <= np.mean(covered) <= 0.97
    ks = np.arange(n + 1)
    inside = [(s := wilson(int(k), n)) is not None and s.low <= p <= s.high for k in ks]
    assert np.mean(covered) == pytest.approx(binom.pmf(ks, n, p)[inside].sum(), abs=0.015)  # the simulation is sound


def test_95_percent_intervals_of_recall_precision_and_f1_cover_the_truth_in_93_to_97_percent() -> None:
    rng = np.random.default_rng(1)
    joint = np.array([[0.28, 0.04, 0.02], [0.05, 0.22, 0.03], [0.01, 0.05, 0.30]])  # chance of (truth, predicted)
    hits = {"recall": [], "precision": [], "f1": []}
    for _ in range(1500):
        cell = rng.choice(9, size=300, p=joint.ravel())
        said = np.eye(3)[cell % 3]
        got = measure(Predictions(tuple(map(str, range(300))), cell // 3, said, ("a", "b", "c"), "test"))
        for i, score in enumerate(got.classes):
            r, c, d = joint[i].sum(), joint[:, i].sum(), joint[i, i]
            for kind, true in (("recall", d / r), ("precision", d / c), ("f1", 2 * d / (r + c))):
                share = getattr(score, kind)
                hits[kind].append(share.low <= true <= share.high)
    for kind, inside in hits.items():
        assert 0.93 <= np.mean(inside) <= 0.97, kind


def test_a_perfect_and_a_hopeless_network_have_the_numbers_they_should() -> None:
    truth = np.array([0, 1, 2, 2])
    keys, classes = ("w", "x", "y", "z"), ("a", "b", "c")
    perfect: Metrics = measure(Predictions(keys, truth, np.eye(3)[truth], classes, "test"))
    assert (perfect.right, perfect.accuracy.value, perfect.accuracy.high, perfect.macro_f1, perfect.log_loss) == (
        4,
        1,
        1,
        1,
        0,
    )
    assert perfect.confusions() == []
    hopeless = measure(Predictions(keys, truth, np.eye(3)[(truth + 1) % 3], classes, "test"))
    assert (hopeless.right, hopeless.accuracy.low, hopeless.balanced_accuracy) == (0, 0, 0)
    assert np.isfinite(hopeless.log_loss), "a true class of probability 0 costs much, not everything"


def test_a_split_without_images_is_refused() -> None:
    with pytest.raises(DatasetError, match="test split has no images"):
        measure(Predictions((), np.zeros(0, np.int64), np.zeros((0, 2)), ("a", "b"), "test"))
