"""Pairs of images that show the same picture: saved again at another quality or size, mirrored, cropped, made brighter.

Each image is known by its `record.small` picture: 32 x 32 gray values and 4 x 4 colours. Two looks:

    1  all pairs    r = correlation of 12 x 12 means, one of the two whole, the other whole or cropped to its middle
                    92.5 %, mirrored or not; r > 0.8 goes on, if differences from mean to mean correlate by 0.45
    2  those        the best of 49 + 49 croppings of one against the whole other (0 to 10 % of a side, on either side):
                    correlation of 16 x 16 means >= 0.90, of their differences from neighbour to neighbour >= 0.84,
                    of the inner 8 x 8 >= 0.80 (a common frame makes no common picture); and shares of red, green and
                    blue that differ by 0.045 on average at most

The first look is a matrix product and misses nothing by bad luck, as a banded search of 64-bit hashes would: on 500
photographs, a crop of 5 % moved the difference hash by up to 23 of its 64 bits, and chance pairs begin at 8.
The thresholds are set between what was measured for altered copies and for the most alike of 4.5 million pairs of
photographs; see tests/data/test_nearduplicates.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.record import THUMB

Floats = NDArray[np.float32]

FIRST = 0.80
SOME_EDGES = 0.45
ALIKE, EDGES, INSIDE, TINT = 0.90, 0.84, 0.80, 0.045
FLAT = 6.0  # standard deviation of the small picture, in gray values, below which there is nothing to compare
MIDDLES = ((0.0, 1.0), (0.0375, 0.925))  # where a crop begins, and its length, as shares of a side
CROPS = ((0.0, 1.0), (0.0, 0.95), (0.05, 0.95), (0.025, 0.95), (0.05, 0.9), (0.0, 0.9), (0.1, 0.9))
_COARSE, _FINE = 12, 16
_MOST = 30  # candidates an image; a set of images that are all alike has more, and then only the best are kept
_ROWS, _PAIRS = 512, 1024  # compared at once


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs (P, 2) of image numbers, the lower first, in order; whether one is the other's mirror image; how alike."""

    pairs: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    likeness: Floats  # correlation of the best croppings
    compared: int  # images with enough in them to be compared
    complete: bool  # False where so many were alike that only the most alike were looked at


def near_duplicates(
    thumbs: NDArray[np.uint8], colours: NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
) -> NearDuplicates:
    """From thumbs (N, 32, 32) and colours (N, 4, 4, 3). Time grows with N squared: 50,000 take minutes."""
    there = np.flatnonzero(thumbs.reshape(len(thumbs), THUMB * THUMB).std(axis=1) >= FLAT)
    gray, colour = thumbs[there].astype(np.float32), colours[there]
    first, second, mirrored, complete = _candidates(gray, progress)
    likeness = np.zeros(len(first), np.float32)
    for at in range(0, len(first), _PAIRS):
        part = np.arange(at, min(at + _PAIRS, len(first)))
        ones, others = gray[first[part]], gray[second[part]]
        others = np.where(mirrored[part, None, None], others[:, :, ::-1], others)
        tints = colour[second[part]]
        tints = np.where(mirrored[part, None, None, None], tints[:, :, ::-1], tints)
        maybe = _edges_agree(ones, others) & (_tint_apart(colour[first[part]], tints) <= TINT)
        likeness[part[maybe]] = _best(ones[maybe], others[maybe])
    found = np.flatnonzero(likeness > 0)
    pairs, flips, values = (
        np.stack([there[first[found]], there[second[found]]], axis=1),
        mirrored[found],
        likeness[found],
    )
    order = np.lexsort((-values, pairs[:, 1], pairs[:, 0]))
    order = order[np.r_[True, (np.diff(pairs[order], axis=0) != 0).any(axis=1)][: len(order)]]  # one of two mirrors
    return NearDuplicates(pairs[order], flips[order], values[order], len(there), complete)


def _candidates(
    gray: Floats, progress: Callable[[int, int], None] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], bool]:
    """First look: number of the lower and the higher image of a pair, mirrored or not; whether all were kept."""
    n = len(gray)
    whole, threshold, keep = _unit(_means(gray, MIDDLES[0], _COARSE)), FIRST, _MOST * n + 10_000
    codes, values = np.zeros(0, np.int64), np.zeros(0, np.float32)
    looks = [(middle, flip) for middle in MIDDLES for flip in (False, True)]
    for number, (middle, flip) in enumerate(looks):
        means = _means(gray, middle, _COARSE)
        keys = np.ascontiguousarray(_unit(means[:, :, ::-1] if flip else means).T)
        for top in range(0, n, _ROWS):
            start = top if middle == MIDDLES[0] else 0  # of two whole images, one order is enough
            likeness = whole[top : top + _ROWS] @ keys[:, start:]
            hits = np.flatnonzero(likeness > threshold)
            score = likeness.reshape(-1)[hits]
            rows, columns = hits // (n - start) + top, hits % (n - start) + start
            other = rows != columns
            low, high = np.minimum(rows, columns)[other], np.maximum(rows, columns)[other]
            codes, values = np.r_[codes, (low * n + high) * 2 + flip], np.r_[values, score[other]]
            if len(codes) > 4 * keep or (top + _ROWS >= n):
                order = np.lexsort((-values, codes))
                order = order[np.r_[True, np.diff(codes[order]) != 0][: len(order)]]
                codes, values = codes[order], values[order]
                if len(codes) > keep:
                    threshold = max(threshold, float(np.partition(values, -keep // 2)[-keep // 2]))
                    codes, values = codes[values > threshold], values[values > threshold]
            if progress:
                progress(number * n + min(n, top + _ROWS), len(looks) * n)
    pair = codes // 2
    return pair // max(n, 1), pair % max(n, 1), codes % 2 == 1, threshold == FIRST


def _edges_agree(ones: Floats, others: Floats) -> NDArray[np.bool_]:
    """Whether the edges of pictures (P, 32, 32) correlate at all, of each two one whole, the other whole or cropped."""
    one, other = (_means(pictures, MIDDLES[0], _COARSE) for pictures in (ones, others))
    inside_one, inside_other = (_means(pictures, MIDDLES[1], _COARSE) for pictures in (ones, others))
    best = np.full(len(ones), -1.0, np.float32)
    for a, b in ((one, other), (inside_one, other), (one, inside_other)):
        best = np.maximum(best, (_unit(_steps(a)) * _unit(_steps(b))).sum(axis=1))
    agree: NDArray[np.bool_] = best >= SOME_EDGES
    return agree


def _tint_apart(ones: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Difference between shares of red, green and blue (P, 4, 4, 3), the most of the three, mean over lit cells."""
    one, other = ones.astype(np.float64), others.astype(np.float64)
    light_one, light_other = one.sum(axis=3, keepdims=True), other.sum(axis=3, keepdims=True)
    apart = np.abs(one / np.maximum(light_one, 1) - other / np.maximum(light_other, 1)).max(axis=3)
    light = (light_one + light_other)[:, :, :, 0]
    mean: NDArray[np.float64] = (apart * light).sum(axis=(1, 2)) / np.maximum(light.sum(axis=(1, 2)), 1)
    return mean


def _best(ones: Floats, others: Floats) -> Floats:
    """Second look at pairs (P, 32, 32): likeness of the best croppings, 0 where the two are not the same picture."""
    best = np.zeros(len(ones), np.float32)
    for cropped, whole in ((ones, others), (others, ones)):
        views = _cropped(cropped)
        target = _means(whole, CROPS[0], _FINE)
        likeness = np.einsum("pcv,pv->pc", _unit(views), _unit(target))
        chosen = likeness.argmax(axis=1)
        rows = np.arange(len(views))
        view = views[rows, chosen]
        edges = (_unit(_steps(view)) * _unit(_steps(target))).sum(axis=1)
        value = likeness[rows, chosen]
        inside = (_unit(view[:, 4:-4, 4:-4]) * _unit(target[:, 4:-4, 4:-4])).sum(axis=1)
        same = (value >= ALIKE) & (edges >= EDGES) & (inside >= INSIDE)
        best = np.where(same, np.maximum(best, value), best)
    return best


def _means(gray: Floats, crop: tuple[float, float], size: int) -> Floats:
    """From (N, 32, 32), the means (N, size, size) of a crop that begins and ends alike on both sides."""
    part = _averages(crop, size)
    means: Floats = np.ascontiguousarray(np.matmul(np.matmul(part, gray), part.T))
    return means


def _cropped(gray: Floats) -> Floats:
    """(N, 32, 32) -> (N, 49, 16, 16): each crop of the rows with each of the columns."""
    parts = np.concatenate([_averages(crop, _FINE) for crop in CROPS])
    k = len(CROPS)
    both = np.matmul(np.matmul(parts, gray), parts.T).reshape(len(gray), k, _FINE, k, _FINE)
    return np.ascontiguousarray(both.transpose(0, 1, 3, 2, 4)).reshape(len(gray), k * k, _FINE, _FINE)


def _averages(crop: tuple[float, float], size: int) -> Floats:
    """(size, 32): each row takes the mean of its share of a crop of 32 values."""
    begin, length = crop
    edges = (begin + length * np.arange(size + 1) / size) * THUMB
    left, right = edges[:-1, None], edges[1:, None]
    cells = np.arange(THUMB)
    share = np.clip(np.minimum(right, cells + 1) - np.maximum(left, cells), 0, None)
    shares: Floats = (share / share.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _steps(means: Floats) -> Floats:
    """From (N, s, s), the differences from each value to the one below and to the one at its right."""
    down, right = np.diff(means, axis=1)[:, :, 1:], np.diff(means, axis=2)[:, 1:, :]
    steps: Floats = np.concatenate([down, right], axis=1)
    return steps


def _unit(values: Floats) -> Floats:
    """(..., s, t) -> (..., s * t), of mean 0 and length 1, so that a product of two is their correlation."""
    flat = values.reshape(*values.shape[:-2], values.shape[-2] * values.shape[-1])
    flat = flat - flat.mean(axis=-1, keepdims=True)
    unit: Floats = flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-6)
    return unit
