"""Images that are there more than once: byte for byte, or as the same picture saved otherwise."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from striate.data.checks.finding import Finding, Group, Seen, found
from striate.data.dataset import Dataset
from striate.data.nearduplicates import NearDuplicates, near_duplicates
from striate.data.record import CELLS, THUMB, small
from striate.data.wording import plural

LEAKED = "Nothing is removed; what is measured on such images flatters."
UNLEAK = "Keep each picture in one split; for images of one scene or person, split with --group-by."


def exact(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Files with the same bytes (or arrays with the same pixels)."""
    by_digest: dict[bytes, list[Seen]] = {}
    for one in seen:
        if one.record.reason is None:
            by_digest.setdefault(one.record.digest, []).append(one)
    groups = [same for same in by_digest.values() if len(same) > 1]
    yield from found(
        "label-conflict", "error", [_keys(group) for group in groups if len({one.label for one in group}) > 1],
        "{n} images are in more than one class.", "Nothing is removed; the network is taught that both are right.",
        "Decide to which class each belongs.",
    )  # fmt: skip
    leaks = [group for group in groups if len({one.role for one in group}) > 1]
    yield from found(
        "leak", "error", [_keys(group) for group in leaks],
        f"{{n}} images are in more than one split{_share(seen, leaks)}.", LEAKED, UNLEAK,
    )  # fmt: skip
    within = [part for group in groups for part in _by(group, lambda one: (one.role, one.label)) if len(part) > 1]
    files = plural(sum(map(len, within)), "file")
    yield from found(
        "duplicate", "warning", [_keys(part) for part in within],
        f"{{n}} images are there more than once in one class of one split, in {files}.",
        "They are used as often as they are there.", "Remove the copies: they count double.",
    )  # fmt: skip


def near(
    seen: Sequence[Seen], dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Finding], list[str]]:
    """The same picture at another size or quality, mirrored, cropped, brighter; and notes on what was not compared."""
    ones = _different(seen)
    if len(ones) < 2:
        return [], ["Near-duplicates were not looked for: no two images are of 32 pixels or more on both sides."]
    thumbs, colours = _small_pictures(ones, dataset)
    result = near_duplicates(thumbs, colours, progress)
    notes = []
    if result.compared < len(ones):
        flat = len(ones) - result.compared
        notes.append(f"Near-duplicates were not looked for among {plural(flat, 'image')} with next to nothing in it.")
    if not result.complete:
        notes.append("The images are so alike as a whole that only the most alike pairs were looked at.")
    return list(_near_findings(seen, ones, result)), notes


def _near_findings(seen: Sequence[Seen], ones: Sequence[Seen], result: NearDuplicates) -> Iterator[Finding]:
    pairs = [(ones[a], ones[b]) for a, b in result.pairs.tolist()]
    yield from found(
        "near-label-conflict", "warning", [_keys(pair) for pair in pairs if pair[0].label != pair[1].label],
        "{n} pairs of nearly the same picture are in two classes.", "Nothing is removed.",
        "Look at them: one of the two labels is likely wrong.",
    )  # fmt: skip
    leaks = [pair for pair in pairs if pair[0].role != pair[1].role]
    yield from found(
        "near-leak", "error", [_keys(pair) for pair in leaks],
        f"{{n}} pairs of nearly the same picture are in two splits{_share(seen, leaks)}.", LEAKED, UNLEAK,
    )  # fmt: skip
    within = [(a, b) for a, b in pairs if a.role == b.role and a.label == b.label]
    groups = _joined(within)
    yield from found(
        "near-duplicate", "warning", [_keys(group) for group in groups],
        f"{{n}} pictures are there in several forms within one class ({plural(sum(map(len, groups)), 'image')}).",
        "All are used.", "Keep one of each, unless the variants are wanted.",
    )  # fmt: skip


def _different(seen: Sequence[Seen]) -> list[Seen]:
    """One image of each content, of those that are large enough to be compared."""
    first: dict[bytes, Seen] = {}
    for one in seen:
        if one.record.reason is None and min(one.record.size) >= THUMB:
            first.setdefault(one.record.digest, one)
    return list(first.values())


def _small_pictures(ones: Sequence[Seen], dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(N, 32, 32) and (N, 4, 4, 3): from the records or, where the images are in memory, from the pixels."""
    thumbs, colours = np.empty((len(ones), THUMB, THUMB), np.uint8), np.empty((len(ones), CELLS, CELLS, 3), np.uint8)
    place = {role: {key: i for i, key in enumerate(split.keys)} for role, split in dataset.splits.items()}
    for row, one in enumerate(ones):
        if one.record.thumb:
            thumbs[row] = np.frombuffer(one.record.thumb, np.uint8).reshape(THUMB, THUMB)
            colours[row] = np.frombuffer(one.record.colour, np.uint8).reshape(CELLS, CELLS, 3)
        else:
            thumbs[row], colours[row] = small(dataset.splits[one.role].images.read(place[one.role][one.key]))
    return thumbs, colours


def _share(seen: Sequence[Seen], groups: Iterable[Iterable[Seen]]) -> str:
    """How much of val and test that is."""
    judged = sum(one.role != "train" and one.record.reason is None for one in seen)
    hit = len({(one.role, one.key) for group in groups for one in group if one.role != "train"})
    return f": {hit / judged:.1%} of what is measured on" if judged and hit else ""


def _joined(pairs: Iterable[tuple[Seen, Seen]]) -> list[list[Seen]]:
    """Pairs that share an image become one group."""
    group_of: dict[tuple[str, str], list[Seen]] = {}
    for a, b in pairs:
        one, other = (group_of.setdefault((s.role, s.key), [s]) for s in (a, b))
        if one is not other:
            one += other
            for member in other:
                group_of[member.role, member.key] = one
    return list({id(group): group for group in group_of.values()}.values())


def _by(group: Iterable[Seen], what: Callable[[Seen], object]) -> list[list[Seen]]:
    parts: dict[object, list[Seen]] = {}
    for one in group:
        parts.setdefault(what(one), []).append(one)
    return list(parts.values())


def _keys(group: Iterable[Seen]) -> Group:
    return tuple(one.key for one in group)
