"""Does the network know how sure it may be? Of the images it is 80 % sure about it should be right on 80 %.

    bin b              images whose confidence (largest probability) lies in (low, high], equal widths, first bin from 0
    gap of b           | share right in b - mean confidence in b |
    expected error     sum over b of  (images in b / N) * gap of b                     ECE
    maximum error      largest gap of a bin that has images                            MCE
    Brier              mean over images of  sum over classes of (p - [class is true])^2     0 best, 2 worst
    temperature        p' = softmax(ln p / T), T chosen on the val split so that its log loss is smallest

Even a perfectly calibrated network has an expected error above zero on a finite split, so `by_chance` says what it
would have: the answers are drawn again and again, each right with exactly the probability that was claimed.

Source:  Guo et al. 2017, arXiv:1706.04599, eq. 2 to 5 and section 4.2; Brier 1950.
         Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams" (drawing again).
"""

from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from striate.data import keyed
from striate.evaluation.metrics import Share, wilson
from striate.evaluation.predictions import Predictions, positive

BINS = 15
DRAWS = 400  # enough for two digits of the chance level
_COLDEST, _HOTTEST = 0.05, 20.0  # temperatures that are searched
_ROWS = 4096
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Bin:
    """Images of about the same confidence."""

    low: float
    high: float
    images: int
    confidence: float | None  # mean; None where there are no images
    right: Share | None


@dataclass(frozen=True)
class Chance:
    """The expected calibration error that a perfectly calibrated network shows on as many images."""

    mean: float
    high: float  # 95 of 100 draws lie below


@dataclass(frozen=True)
class Calibration:
    """How far the stated probabilities can be believed."""

    bins: tuple[Bin, ...]
    expected_error: float
    maximum_error: float
    brier: float
    confidence: float  # mean of what it claims
    accuracy: float  # what it keeps
    chance: Chance


@dataclass(frozen=True)
class Temperature:
    """The one number that makes the probabilities milder (above 1) or bolder (below 1)."""

    value: float
    log_loss_before: float  # on the split it was fitted on, nats
    log_loss_after: float
    at_limit: bool  # the split is too easy or too small to fix it


def calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """The reliability of N stated probabilities."""
    confidence, right = predictions.confidence, predictions.right
    found = reliability(confidence, right, bins)
    p = predictions.probabilities
    truth = p[np.arange(len(p)), predictions.truth].astype(np.float64)
    squares = np.einsum("nk,nk->n", p, p, dtype=np.float64)  # sum of (p - [true])^2 = sum of p^2 - 2 p(true) + 1
    return Calibration(
        bins=found,
        expected_error=expected_error(confidence, right, bins),
        maximum_error=max(abs(b.right.value - b.confidence) for b in found if b.right and b.confidence is not None),
        brier=float((squares - 2 * truth + 1).mean()),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        chance=by_chance(confidence, bins),
    )


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> tuple[Bin, ...]:
    """(N,) and (N,) -> what was claimed and what was kept, bin by bin."""
    index = _bin_of(confidence, bins)
    found = []
    for b in range(bins):
        inside = index == b
        n = int(inside.sum())
        claimed = float(confidence[inside].mean()) if n else None
        found.append(Bin(b / bins, (b + 1) / bins, n, claimed, wilson(int(right[inside].sum()), n)))
    return tuple(found)


def expected_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """(N,) and (N,) -> expected calibration error: gap of a bin = |sum of (right - confidence)| / images in it."""
    gaps = np.bincount(_bin_of(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def by_chance(confidence: NDArray[np.float64], bins: int = BINS, draws: int = DRAWS) -> Chance:
    """What `expected_error` would be if every confidence (N,) were exactly the chance of being right."""
    index, n = _bin_of(confidence, bins), len(confidence)
    errors = [
        float(np.abs(np.bincount(index, weights=(luck < confidence) - confidence, minlength=bins)).sum() / n)
        for luck in (keyed.uniform(0, draw, "calibration", np.arange(n))[:, 0] for draw in range(draws))
    ]
    return Chance(float(np.mean(errors)), float(np.quantile(errors, 0.95)))


def fit_temperature(val: Predictions) -> Temperature:
    """The temperature that makes the log loss of these predictions smallest.

    The loss is convex in 1/T, so in ln T it has one valley, and golden-section search finds its floor.
    """
    score = np.log(positive(val.probabilities))
    parts = [slice(i, i + _ROWS) for i in range(0, len(val), _ROWS)]  # so that large splits need no large copies
    true = score[np.arange(len(val)), val.truth].sum()

    def loss(log_t: float) -> float:
        sharpness = exp(-log_t)
        return float(sum(_log_sum_exp(score[part] * sharpness).sum() for part in parts) - true * sharpness) / len(val)

    low, high = log(_COLDEST), log(_HOTTEST)
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = loss(a), loss(b)
    while high - low > 1e-5:
        if at_a <= at_b + 1e-12:  # on flat ground to the bold side, where the limit is
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = loss(b)
    best = (low + high) / 2
    return Temperature(exp(best), loss(0.0), loss(best), min(best - log(_COLDEST), log(_HOTTEST) - best) < 1e-3)


def at_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The same predictions, milder or bolder; the order of the classes stays."""
    z = np.log(positive(predictions.probabilities)) / temperature
    changed = np.exp(z - _log_sum_exp(z)[:, None])
    return Predictions(predictions.keys, predictions.truth, changed, predictions.classes, predictions.role)


def _bin_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.asarray(np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1), dtype=np.int64)


def _log_sum_exp(z: NDArray[np.float64]) -> NDArray[np.float64]:
    top = z.max(axis=1)
    return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(axis=1)))
