"""Is one network better than another, or lucky? Both answered the same images: only those count where they differ.

    b  images that only the first is right on          c  images that only the second is right on
    difference   (b - c) / N
    p            chance of a split at least as uneven as b to c, were it a coin's: exact McNemar test, two-sided
    interval     of the difference, 95 %: Wald's after half an image is added to each of the four kinds

Source:  McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
         Agresti & Min 2005, "Simple improved confidence intervals for comparing matched proportions".
Checked: against scipy's binomial test, type-I error and coverage by simulation, in tests/evaluation/test_compare.py.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from striate.data.wording import several
from striate.errors import DatasetError
from striate.evaluation.metrics import Z95
from striate.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Comparison:
    """How the first of two networks compares with the second, on the same images."""

    images: int
    both: int  # right by both
    only_first: int
    only_second: int
    neither: int
    difference: float  # accuracy of the first minus that of the second
    low: float
    high: float
    p: float  # two-sided, exact


def paired(first: Predictions, second: Predictions) -> Comparison:
    """Compare two predictions of the same images; rows may come in another order, classes in another one, too.

    Raises: DatasetError where the images, or their true classes, are not the same.
    """
    row = {key: i for i, key in enumerate(second.keys)}
    missing = [key for key in first.keys if key not in row]
    if missing or len(first) != len(second):
        alike = len(first) - len(missing)
        raise DatasetError(
            f"predictions can be paired only on the same images: of {len(first)} and {len(second)}, {alike} are in both"
            + (f"; {several(missing, 3)} is only in the first" if missing else "")
        )
    at = np.array([row[key] for key in first.keys], dtype=np.int64)
    other_truth = [second.classes[t] for t in second.truth[at].tolist()]
    for key, one, two in zip(first.keys, (first.classes[t] for t in first.truth.tolist()), other_truth, strict=True):
        if one != two:
            raise DatasetError(f"{key!r} is {one!r} in the first predictions and {two!r} in the second: other labels")
    a, b = first.right, second.right[at]
    return _compare(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p: twice the chance of at most min(b, c) heads in b + c throws, at most 1.

    >>> mcnemar(8, 1)
    0.0390625
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    heads, ways = 0, 1
    for k in range(fewer + 1):
        heads += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, heads / 2 ** (n - 1)) if n else 1.0


def _compare(both: int, only_first: int, only_second: int, neither: int) -> Comparison:
    n = both + only_first + only_second + neither
    b, c, m = only_first + 0.5, only_second + 0.5, n + 2
    middle, half = (b - c) / m, Z95 * sqrt((b + c) - (b - c) ** 2 / m) / m
    difference = (only_first - only_second) / n
    return Comparison(
        n, both, only_first, only_second, neither, difference,
        max(-1.0, middle - half), min(1.0, middle + half), mcnemar(only_first, only_second),
    )  # fmt: skip
