"""The most confused pairs, counted by a loop."""

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Preprocess
from striate.errors import ShapeError, UsageError
from striate.look.sets.pairs import most_confused

PREPARE = Preprocess(size=(8, 8))


def split_of(labels: list[int]) -> Split:
    n = len(labels)
    pixels = np.zeros((n, 8, 8, 3), np.uint8)
    return Split(ArrayImages(pixels), np.array(labels, np.int64), tuple(f"{i}.png" for i in range(n)))


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_pairs_are_those_that_a_loop_counts(k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, p = rng.integers(0, k, n).tolist(), rng.dirichlet(np.full(k, 0.5), n)
    names = [f"c{i}" for i in range(k)]
    found = most_confused(p, split_of(labels), PREPARE, names, most=99, examples=2)
    counted: Counter[tuple[int, int]] = Counter()
    for label, row in zip(labels, p, strict=True):
        if row.argmax() != label:
            counted[(label, int(row.argmax()))] += 1
    both: Counter[frozenset[int]] = Counter()
    for (a, b), count in counted.items():
        both[frozenset((a, b))] += count
    assert found.right == n - sum(counted.values())
    assert [pair.count for pair in found.pairs] == sorted(both.values(), reverse=True)
    for pair in found.pairs:
        assert pair.ways[0].count >= pair.ways[1].count
        for way in pair.ways:
            a, b = names.index(way.truth), names.index(way.predicted)
            assert way.count == counted[(a, b)]
            assert way.images == labels.count(a)
            mistakes = sorted(
                (i for i in range(n) if labels[i] == a and p[i].argmax() == b and a != b), key=lambda i: (-p[i, b], i)
            )
            assert list(way.examples) == mistakes[:2]
            assert way.probabilities == pytest.approx([p[i, b] for i in mistakes[:2]])


def test_of_equals_the_larger_share_comes_first() -> None:
    labels = [0, 0, 0, 0, 1, 2, 3]
    p = np.eye(4)[[1, 0, 0, 0, 1, 3, 3]]
    found = most_confused(p, split_of(labels), PREPARE, ["a", "b", "c", "d"])
    assert [{w.truth for w in pair.ways} for pair in found.pairs] == [{"c", "d"}, {"a", "b"}]
    assert found.to_json()["pairs"][0][0]["examples"] == [{"key": "5.png", "probability": 1.0}]


def test_no_mistake_is_said_and_drawn() -> None:
    found = most_confused(np.eye(2), split_of([0, 1]), PREPARE, ["a", "b"])
    assert (found.pairs, found.right) == ((), 2)
    with Image.open(io.BytesIO(found._repr_png_()), formats=["PNG"]) as picture:
        assert picture.width > 300


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"probabilities of shape \(2, 2\) for 3 images"):
        most_confused(np.eye(2), split_of([0, 1, 1]), PREPARE, ["a", "b"])
    with pytest.raises(UsageError, match="must be at least 1"):
        most_confused(np.eye(2), split_of([0, 1]), PREPARE, ["a", "b"], most=0)
