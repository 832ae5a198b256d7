"""One look at every image of a data set: what can't be read is set aside by name, and the rest is fingerprinted.

The result does not depend on the number of workers, on the order in which they finish, or on the memory of an earlier
look (see remembered.py).
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ROLES, ArrayImages, Dataset, FileImages, Gathered, Images, fingerprint
from striate.data.decode import Limits
from striate.data.record import Record, look_at, look_at_stored
from striate.data.remembered import Memory
from striate.data.shards.images import ShardImages
from striate.data.wording import plural, several
from striate.errors import DatasetError, ImageError

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Quarantined:
    """An image that is left out."""

    key: str
    role: str
    reason: str


@dataclass(frozen=True, eq=False)
class Screened:
    """A data set without what can't be read, and what was found out about every image."""

    dataset: Dataset
    quarantined: tuple[Quarantined, ...]
    records: Mapping[str, list[Record]]  # role -> one for each image of `original`, in its order
    original: Dataset  # with what can't be read: `records` follow its order
    fingerprint: Gathered  # of what is left

    def sizes(self, role: str = "train") -> NDArray[np.int64]:
        """(N, 2) height and width, upright, of the images of a role that can be read."""
        found = [record.size for record in self.records[role] if record.reason is None]
        return np.array(found, dtype=np.int64).reshape(-1, 2)


def screen(
    dataset: Dataset,
    *,
    limits: Limits | None = None,
    workers: int = 2,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Screened:
    """Decode every image once, with `workers` threads; `cache` is a file in which records are kept for the next time.

    Raises: DatasetError where a class has no readable training image left, naming the class and its files.
    """
    screened = inspect(dataset, limits=limits, workers=workers, cache=cache, progress=progress)
    if "train" in dataset.splits:
        _check_classes(screened)
    return screened


def inspect(
    dataset: Dataset,
    *,
    limits: Limits | None = None,
    workers: int = 2,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Screened:
    """As `screen`, of a data set that need not be good enough to train on."""
    memory = Memory.open(cache) if cache else None
    splits = {role: dataset.splits[role] for role in ROLES if role in dataset.splits}
    total, done = sum(map(len, splits.values())), 0
    records: dict[str, list[Record]] = {role: [] for role in splits}
    for role, split in splits.items():
        for record in _look(split.images, limits, workers, memory):
            records[role].append(record)
            done += 1
            if progress and (done % 100 == 0 or done == total):
                progress(done, total)
    if memory:
        memory.save()
    return _sorted_out(dataset, records)


def _look(images: Images, limits: Limits | None, workers: int, memory: Memory | None) -> Iterator[Record]:
    if isinstance(images, ArrayImages):
        yield from _look_at_arrays(images)
    elif isinstance(images, FileImages):
        settings = images.background, limits or images.limits
        look = partial(look_at, background=settings[0], limits=settings[1])
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="screen") as pool:
            try:
                yield from pool.map(memory.remembering(look, settings) if memory else look, images.paths)
            finally:
                pool.shutdown(cancel_futures=True)
    elif isinstance(images, ShardImages):
        stored = images if limits is None else replace(images, limits=limits)
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="screen") as pool:
            try:
                yield from pool.map(partial(_look_at_member, stored), range(len(stored)))
            finally:
                pool.shutdown(cancel_futures=True)
    else:
        yield from (_look_at_one(images, i) for i in range(len(images)))


def _look_at_arrays(images: ArrayImages) -> Iterator[Record]:
    h, w, c = images.shape()
    rows = images.pixels.reshape(len(images), -1)
    for i, (lowest, highest) in enumerate(zip(rows.min(axis=1).tolist(), rows.max(axis=1).tolist(), strict=True)):
        yield Record(digest=images.digest(i), size=(h, w), channels=c, lowest=lowest, highest=highest)


def _look_at_member(images: ShardImages, index: int) -> Record:
    return look_at_stored(
        lambda: images.data(index), images.called(index), background=images.background, limits=images.limits
    )


def _look_at_one(images: Images, index: int) -> Record:
    try:
        pixels = images.read(index)
    except ImageError as error:
        return Record(reason=str(error), fault="unreadable")
    h, w, c = pixels.shape
    low, high = int(pixels.min()), int(pixels.max())
    return Record(digest=images.digest(index), size=(h, w), channels=c, lowest=low, highest=high)


def _sorted_out(dataset: Dataset, records: Mapping[str, list[Record]]) -> Screened:
    """Take out what can't be read."""
    quarantined = tuple(
        Quarantined(key, role, record.reason)
        for role, found in records.items()
        for key, record in zip(dataset.splits[role].keys, found, strict=True)
        if record.reason is not None
    )
    good = {role: [i for i, record in enumerate(found) if record.reason is None] for role, found in records.items()}
    kept = {
        role: dataset.splits[role] if len(index) == len(records[role]) else dataset.splits[role].take(index)
        for role, index in good.items()
        if index or role == "train"
    }
    notes = tuple(f"{role} has no readable image left and is not used." for role in good if role not in kept)
    gray = all(records[role][i].channels == 1 for role in kept for i in good[role])
    cleaned = replace(dataset, splits=kept, channels=1 if gray else 3, notes=(*dataset.notes, *notes))
    digests = {role: [records[role][i].digest for i in good[role]] for role in kept}
    return Screened(cleaned, quarantined, records, dataset, fingerprint(cleaned, digests))


def _check_classes(screened: Screened) -> None:
    dataset, before = screened.original, screened.original.split("train")
    left = set(screened.dataset.split("train").labels.tolist())
    for gone in sorted(set(before.labels.tolist()) - left):
        label = dict(zip(before.keys, before.labels.tolist(), strict=True))
        lost = [f"{q.key} ({q.reason})" for q in screened.quarantined if q.role == "train" and label[q.key] == gone]
        raise DatasetError(
            f"{dataset.name}: the class {dataset.classes[gone]!r} has no readable training image left; it had "
            f"{plural(len(lost), 'file')}: {several(lost)}. Mend or replace them, or remove the class"
        )
