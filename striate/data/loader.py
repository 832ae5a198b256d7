"""Batches, keyed by (seed, epoch, sample): the same for any number of workers, from any batch on.

Where the prepared pixels fit into memory they are prepared once and kept as bytes; else each batch is read when its
turn comes. Bytes are brought to the device that the network is on, and kept there where they fit; what varies and
normalises them is done there. Workers are threads: decoding, resizing and torch's operations release Python's lock, so
two threads do what two processes would, without copies, start-up or shared memory.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import keyed
from striate.data.augment import Augment
from striate.data.carried import carried, carried_tensor
from striate.data.dataset import ArrayImages, Pixels, Split
from striate.data.parts import part_of
from striate.data.preprocess import Preprocess
from striate.data.shards.images import ShardImages
from striate.errors import DatasetError, ImageError

Progress = Callable[[int, int], None]  # done, of
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Batch:
    """What a training step is given."""

    images: Tensor  # (N, C, H, W) float32, normalised
    labels: Tensor  # (N,) int64
    targets: Tensor | None  # (N, classes) float32 shares, where an augmentation mixed labels
    whole: int | None = None  # images of the batch that this is one process's part of
    idle: bool = False  # there were too few for this process; these only keep it in step with the others


class Loader:
    """Batches of one split.

    `keep` says how many bytes of prepared pixels may stay in memory (None: half of what is free). Batches are on
    `device`. With `views`, each
    image has so many augmented forms, used in turn from epoch to epoch; 0: new ones in every epoch. Where several
    processes share the batches, `rank` says which part of each is this one's.
    """

    rank, ranks = 0, 1

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        *,
        classes: int,
        batch: int,
        seed: int = 0,
        augment: Augment | None = None,
        workers: int | None = None,
        keep: int | None = None,
        progress: Progress | None = None,
        views: int = 0,
        device: torch.device = CPU,
    ) -> None:
        self.views, self.device = views, device
        self.split, self.preprocess, self.classes = split, preprocess, classes
        self.batch, self.seed, self.augment = batch, seed, augment
        h, w = preprocess.size
        wanted = len(split) * preprocess.channels * h * w
        self._from_source = augment is not None and augment.source_crop
        fits = wanted <= (free_memory() // 2 if keep is None else keep)
        threads = max(1, available_cores() if workers is None else workers)
        self._pixels = self._prepare(threads, progress) if fits and not self._from_source else None
        if self._pixels is not None and wanted <= free_memory(device) // 2:
            self._pixels = self._pixels.to(device)  # once, and not through pinned memory, which torch never gives back
        if workers is None:  # bytes that only need normalising are there before a thread could fetch them
            workers = 0 if self._pixels is not None and augment is None else min(2, available_cores())
        self.workers = workers

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._starts())

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch in its own order, from batch `start` on."""
        images = self.split.images
        blocks = images.blocks() if isinstance(images, ShardImages) else None
        order = (
            keyed.order_in_blocks(self.seed, epoch, *blocks)
            if blocks
            else (keyed.order(self.seed, epoch, len(self.split)))
        )
        return self._batches(order, start, epoch % self.views if self.views else epoch, self.augment)

    def view(self, view: int) -> Iterator[Batch]:
        """Every image once, in stored order, in one of its augmented forms: that of epochs `view`, `view + views`..."""
        return self._batches(np.arange(len(self.split)), 0, view, self.augment)

    def in_order(self) -> Iterator[Batch]:
        """Every image once, in stored order, without augmentation."""
        return self._batches(np.arange(len(self.split)), 0, 0, None)

    def _batches(self, order: NDArray[np.int64], start: int, epoch: int, augment: Augment | None) -> Iterator[Batch]:
        starts = self._starts()
        parts = [order[a:b] for a, b in pairwise([*starts, len(order)])][start:]
        if self.workers == 0:
            for part in parts:
                yield self._own(part, epoch, augment)
            return
        with _threads(self.workers, "striate-loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                for part in parts:
                    ahead.append(pool.submit(self._own, part, epoch, augment))
                    if len(ahead) > self.workers + 1:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _starts(self) -> list[int]:
        """Where each batch begins. A last one of a single image goes with the one before: batch norm needs two."""
        n = len(self.split)
        starts = list(range(0, n, self.batch))
        return starts[:-1] if self.batch > 1 and n > 1 and n % self.batch == 1 else starts

    def _own(self, indices: NDArray[np.int64], epoch: int, augment: Augment | None) -> Batch:
        """What this process gets of a batch: all of it where it is alone."""
        if self.ranks == 1:
            return self._make(indices, epoch, augment)
        part = part_of(len(indices), self.rank, self.ranks)
        mine = slice(part.first, part.last)
        if augment is None or not augment.mixes:
            made = self._make(indices[mine], epoch, augment)
        else:  # a partner may be in another process's part
            all_of_it = self._make(indices, epoch, augment)
            targets = all_of_it.targets
            made = Batch(all_of_it.images[mine], all_of_it.labels[mine], None if targets is None else targets[mine])
        return replace(made, whole=len(indices), idle=part.idle)

    def _make(self, indices: NDArray[np.int64], epoch: int, augment: Augment | None) -> Batch:
        labels = self.split.labels[indices]
        pixels = self._cut(indices, epoch, augment) if augment and self._from_source else self._fixed(indices)
        targets = None
        images = carried_tensor(pixels, self.device)
        if augment is not None:
            done = augment(images, labels, indices, seed=self.seed, epoch=epoch, classes=self.classes)
            images, targets = done.images, done.targets
        return Batch(self.preprocess.normalise(images), carried(labels, self.device), targets)

    def _fixed(self, indices: NDArray[np.int64]) -> Tensor:
        if self._pixels is not None:
            return self._pixels[carried(indices, self._pixels.device)]
        return torch.from_numpy(np.stack([self.preprocess.pixels(self._read(i)) for i in indices.tolist()]))

    def _cut(self, indices: NDArray[np.int64], epoch: int, augment: Augment) -> Tensor:
        """Random resized crops: a box of each original, resized to what the network sees."""
        sources = [self._read(i) for i in indices.tolist()]
        sizes = np.array([image.shape[:2] for image in sources], dtype=np.int64)
        boxes = augment.boxes(indices, sizes, seed=self.seed, epoch=epoch).astype(np.int64)
        cut = [self.preprocess.cut(image, box) for image, box in zip(sources, boxes.tolist(), strict=True)]
        return torch.from_numpy(np.stack(cut))

    def _read(self, index: int) -> Pixels:
        try:
            return self.split.images.read(index)
        except ImageError as error:  # it could be read when the data were screened
            raise DatasetError(
                f"{self.split.keys[index]} was readable at the start of the run and is not any more: {error}"
            ) from error

    def _prepare(self, threads: int, progress: Progress | None) -> Tensor:
        """(N, C, H, W) uint8 of the whole split."""
        n = len(self.split)
        h, w = self.preprocess.size
        if isinstance(self.split.images, ArrayImages):
            at_once = self.preprocess.all_pixels(self.split.images.pixels)
            if at_once is not None:
                return torch.from_numpy(np.ascontiguousarray(at_once))
        out = torch.empty(n, self.preprocess.channels, h, w, dtype=torch.uint8)
        view = out.numpy()

        def fill(first: int) -> int:
            last = min(n, first + 64)
            for i in range(first, last):
                view[i] = self.preprocess.pixels(self._read(i))
            return last - first

        done = 0
        with _threads(threads, "striate-prepare") as pool:
            for count in pool.map(fill, range(0, n, 64)):
                done += count
                if progress:
                    progress(done, n)
        return out


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def free_memory(device: torch.device = CPU) -> int:
    """Bytes that can be taken without swapping, or of a device's own memory; 4 GiB where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def _threads(workers: int, name: str) -> ThreadPoolExecutor:
    """Threads in which torch works alone, beside a caller that keeps its own number of them.

    torch has one number for all threads, which each takes when it first needs it: the caller has to take it before
    the workers change it, or its network would be computed by one thread, too, and come out with other last bits.
    """
    torch.get_num_threads()
    return ThreadPoolExecutor(workers, name, initializer=torch.set_num_threads, initargs=(1,))
