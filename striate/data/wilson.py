"""A share that was counted, and how sure it is.

Intervals are Wilson's: unlike p +- 2 sd they stay inside 0..1 and hold near 0 and 1.

Source:  Wilson 1927, "Probable inference, the law of succession, and statistical inference".
Checked: coverage by simulation, in tests/evaluation/test_metrics.py.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Share:
    """A part of a whole with its 95 % interval, all in 0..1."""

    value: float
    low: float
    high: float


def wilson(right: int, images: int, z: float = Z95) -> Share | None:
    """The share right/images with its interval; None where there are no images.

    >>> share = wilson(355, 360)
    >>> print(f"{share.value:.3f} {share.low:.3f} {share.high:.3f}")
    0.986 0.968 0.994
    """
    if images == 0:
        return None
    p, extra = right / images, z * z / images
    centre, half = p + extra / 2, z * sqrt(p * (1 - p) / images + extra / images / 4)
    low, high = (centre - half) / (1 + extra), (centre + half) / (1 + extra)
    return Share(p, 0.0 if right == 0 else max(0.0, low), 1.0 if right == images else min(1.0, high))
