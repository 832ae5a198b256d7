"""Images in tar shards: read one by one, in any order, from where they lie in their shard."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import Pixels
from striate.data.decode import Limits, decode, printable
from striate.data.shards.members import opened
from striate.errors import DatasetError, ImageError, ImageTooLarge


class Shard(Protocol):
    """A tar file whose members are known."""

    @property
    def name(self) -> str:
        """As errors call it."""
        ...

    @property
    def together(self) -> int:
        """Shards that an epoch draws from at a time; 0: all of them."""
        ...

    def open(self) -> AbstractContextManager[int]:
        """A descriptor of its content.  Raises: DatasetError where it is not there any more, or is another one."""
        ...


@dataclass(frozen=True)
class LocalShard:
    """A shard on a disk of this machine, as it was when its headers were read."""

    path: Path
    size: int  # bytes
    time_ns: int  # of the last change
    name: str
    together: int = 0

    @contextmanager
    def open(self) -> Iterator[int]:
        """Raises: DatasetError where the file is gone or has changed since its headers were read."""
        try:
            with opened(self.path, self.name) as handle:
                status = os.fstat(handle)
                if (status.st_size, status.st_mtime_ns) != (self.size, self.time_ns):
                    raise DatasetError(f"{self.name} has changed since it was first read; start again")
                yield handle
        except OSError as error:
            raise DatasetError(f"{self.name}: can't be read ({error.strerror or error})") from error


@dataclass(frozen=True, eq=False)
class ShardImages:
    """Images that are members of shards, decoded when they are asked for.

    where (N, 3): which shard, offset of the first byte in it, bytes.
    """

    shards: tuple[Shard, ...]
    names: tuple[str, ...]  # of the members
    where: NDArray[np.int64]
    background: tuple[int, int, int] = (255, 255, 255)
    limits: Limits = field(default_factory=Limits)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> Pixels:
        data = self.data(index)
        return decode(data, self.called(index), background=self.background, limits=self.limits).pixels

    def data(self, index: int) -> bytes:
        """The bytes of the member.

        Raises: ImageError, naming shard and member; ImageTooLarge over the limit; DatasetError where the shard itself
        is not what it was, for then all its images are gone and not one that could be left out.
        """
        shard, offset, size = self.where[index].tolist()
        try:
            self.limits.check_bytes(size)
        except ImageTooLarge as error:
            raise ImageTooLarge(f"{self.called(index)}: {error}") from error
        with self.shards[shard].open() as handle:
            data = os.pread(handle, size, offset)
        if len(data) != size:
            raise ImageError(f"{self.called(index)}: cut short: {len(data):,} of {size:,} bytes are there")
        return data

    def called(self, index: int) -> str:
        """Shard and member, as errors name the image."""
        return f"{self.shards[int(self.where[index, 0])].name}: {printable(self.names[index])}"

    def shape(self) -> None:
        return None

    def digest(self, index: int) -> bytes:
        return hashlib.sha256(self.data(index)).digest()

    def take(self, indices: NDArray[np.int64]) -> "ShardImages":
        return replace(self, names=tuple(self.names[i] for i in indices.tolist()), where=self.where[indices])

    def stored_order(self) -> NDArray[np.int64]:
        """The order in which each shard is read from its beginning to its end, one after the other."""
        return np.lexsort((self.where[:, 1], self.where[:, 0])).astype(np.int64)

    def each(self) -> "Iterator[StoredImage]":
        """The images one by one, by their names."""
        return (StoredImage(self, index) for index in range(len(self)))

    def blocks(self) -> tuple[NDArray[np.int64], int] | None:
        """The shard of each image, and how many shards an epoch draws from at a time; None where it may be all."""
        together = max((shard.together for shard in self.shards), default=0)
        return (self.where[:, 0], together) if together else None


@dataclass(frozen=True)
class StoredImage:
    """One image of a shard; as text it is its shard and member."""

    images: ShardImages
    index: int

    def __str__(self) -> str:
        return self.images.called(self.index)

    def read(self, background: tuple[int, int, int]) -> Pixels:
        """Its pixels (H, W, 1 or 3).  Raises: ImageError, naming shard and member."""
        return replace(self.images, background=background).read(self.index)
