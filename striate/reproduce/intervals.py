"""What a few runs say about the next ones: means, differences and where a repetition should fall.

    mean         m ± t(0.975, n - 1) s / sqrt(n)                            of n seeds
    difference   the same of a_i - b_i, both trained with seed i: what the seed does to both cancels
    again        m ± t(1 - 0.025 / arms, df) s sqrt(1 / n + 1 / k)          the mean of k runs that are yet to come

For the last one s is the deviation of the arm or that of all arms together, whichever is larger: three runs that
happened to agree do not make the fourth one wrong. df is that of all arms together, and the level is divided by
their number, so that all of them lie inside in 95 of 100 repetitions where arms scatter alike. Where one scatters five
times as much as the others it is 91 of 100 (three runs an arm, by simulation).

Source:  Student 1908, "The probable error of a mean"; Abramowitz & Stegun 1964, 26.7.3 and 26.7.4 (the sums).
Checked: against SciPy, and coverage by simulation, in tests/reproduce/test_intervals.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, cos, hypot, isfinite, pi, sin, sqrt
from statistics import fmean, stdev


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; without one (None) where a single run is all there is."""

    mean: float
    low: float | None
    high: float | None
    n: int


def of_mean(values: Sequence[float]) -> Interval:
    """The mean of n runs.

    >>> found = of_mean([1.0, 2.0, 3.0])
    >>> print(f"{found.mean:g} {found.low:.2f} {found.high:.2f}")
    2 -0.48 4.48
    """
    n, mean = len(values), fmean(values)
    if n < 2:
        return Interval(mean, None, None, n)
    half = quantile(0.975, n - 1) * stdev(values) / sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def of_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The mean of first - second, run by run: both (n,), in the same order of seeds."""
    return of_mean([a - b for a, b in zip(first, second, strict=True)])


def again(arms: Sequence[Sequence[float]], runs: int, least: float) -> list[tuple[float, float]]:
    """For each arm, given as the values of its runs, where the mean of so many new runs should fall: (low, high).

    `least` is the smallest half width, in the unit of the values: one test image, or a tolerance that was stated.
    """
    df = sum(len(values) - 1 for values in arms)
    if df == 0:
        return [(fmean(values) - least, fmean(values) + least) for values in arms]
    pooled = sqrt(sum((len(values) - 1) * _variance(values) for values in arms) / df)
    t = quantile(1 - 0.025 / len(arms), df)
    found = []
    for values in arms:
        deviation = max(pooled, sqrt(_variance(values)))
        half = max(least, t * deviation * sqrt(1 / len(values) + 1 / runs))
        found.append((fmean(values) - half, fmean(values) + half))
    return found


def _variance(values: Sequence[float]) -> float:
    return stdev(values) ** 2 if len(values) > 1 else 0.0


def within(t: float, df: int) -> float:
    """P(|T| <= t) of Student's distribution with `df` degrees of freedom, a whole number from 1 on.

    >>> round(within(1.0, 1), 4)
    0.5
    """
    angle = atan(t / sqrt(df))
    s, c = sin(angle), cos(angle)
    odd = df % 2
    term, total = (c, c if df > 1 else 0.0) if odd else (1.0, 1.0)
    for k in range(3 if odd else 2, df - 1, 2):
        term *= c * c * (k - 1) / k
        total += term
    return 2 / pi * (angle + s * total) if odd else s * total


def quantile(p: float, df: int) -> float:
    """The t that a share p > 0.5 of Student's distribution lies below.

    >>> round(quantile(0.975, 2), 3)
    4.303
    """
    low, high = 0.0, 1.0
    while (within(high, df) + 1) / 2 < p and isfinite(hypot(high, 1)):
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (within(middle, df) + 1) / 2 < p else (low, middle)
    return high
