"""The pairs of classes that a network takes for each other most, with examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import Split
from striate.data.preprocess import Preprocess
from striate.errors import ShapeError, UsageError

PAIRS, EXAMPLES = 6, 4


@dataclass(frozen=True, eq=False)
class Way:
    """Images of one class that were called another."""

    truth: str
    predicted: str
    count: int
    images: int  # of the class `truth`
    examples: tuple[int, ...]  # numbers of images, the surest mistakes first
    probabilities: tuple[float, ...]  # of the wrong class, for each example


@dataclass(frozen=True, eq=False)
class Pair:
    """Two classes, both ways; the first is the more frequent mistake."""

    ways: tuple[Way, Way]

    @property
    def count(self) -> int:
        return self.ways[0].count + self.ways[1].count


@dataclass(frozen=True, eq=False)
class Pairs:
    """The most confused pairs of a split, the worst first."""

    pairs: tuple[Pair, ...]
    right: int
    split: Split
    preprocess: Preprocess

    @property
    def images(self) -> int:
        return len(self.split)

    def to_json(self) -> dict[str, Any]:
        """Counts and the keys of the examples."""
        return {
            "images": self.images,
            "right": self.right,
            "pairs": [
                [
                    {
                        "is": way.truth,
                        "called": way.predicted,
                        "count": way.count,
                        "images": way.images,
                        "examples": [
                            {"key": self.split.keys[i], "probability": p}
                            for i, p in zip(way.examples, way.probabilities, strict=True)
                        ],
                    }
                    for way in pair.ways
                ]
                for pair in self.pairs
            ],
        }

    def _repr_png_(self) -> bytes:
        from striate.look.png import picture_png
        from striate.look.sets.picture import draw_pairs

        return picture_png(draw_pairs(self))


def most_confused(
    probabilities: NDArray[np.floating],
    split: Split,
    preprocess: Preprocess,
    classes: Sequence[str],
    *,
    most: int = PAIRS,
    examples: int = EXAMPLES,
) -> Pairs:
    """What a network said of each image (N, K) -> the pairs with the most mistakes, both ways together.

    Of equal pairs first the one with the larger share of its images, then in the order of the classes.

    Raises: ShapeError where the numbers do not fit; UsageError for no pairs or examples.
    """
    n, k = len(split), len(classes)
    if probabilities.shape != (n, k):
        raise ShapeError(f"probabilities of shape {probabilities.shape} for {n} images and {k} classes")
    if most < 1 or examples < 1:
        raise UsageError(f"{most} pairs, {examples} examples: both must be at least 1")
    truth, predicted = split.labels, probabilities.argmax(axis=1)
    wrong = np.flatnonzero(truth != predicted)
    low, high = np.minimum(truth, predicted)[wrong], np.maximum(truth, predicted)[wrong]
    number, counts = np.unique(low * k + high, return_counts=True)
    of = np.bincount(truth, minlength=k)
    share = counts / np.maximum(of[number // k] + of[number % k], 1)
    chosen = number[np.lexsort((number, -share, -counts))][:most]

    def way(a: int, b: int) -> Way:
        here = wrong[(truth[wrong] == a) & (predicted[wrong] == b)]
        sure = probabilities[here, b]
        order = np.argsort(-sure, kind="stable")[:examples]
        return Way(
            classes[a], classes[b], len(here), int(of[a]), tuple(here[order].tolist()), tuple(sure[order].tolist())
        )

    pairs = []
    for both in chosen.tolist():
        a, b = divmod(both, k)
        there, back = way(a, b), way(b, a)
        pairs.append(Pair((there, back) if there.count >= back.count else (back, there)))
    return Pairs(tuple(pairs), n - len(wrong), split, preprocess)
