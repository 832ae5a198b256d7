"""What a data set is to the rest of the house: classes in order, and splits of images with labels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from striate.data.decode import Limits, read_image
from striate.errors import DatasetError

Pixels = NDArray[np.uint8]  # (H, W, C), C = 1 (gray) or 3 (red, green, blue)
Labels = NDArray[np.int64]  # (N,), index into Dataset.classes

ROLES = ("train", "val", "test")


class Images(Protocol):
    """Where the pixels of a split come from."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Pixels:
        """The image as (H, W, C) bytes.  Raises: ImageError, naming the file."""
        ...

    def shape(self) -> tuple[int, int, int] | None:
        """(H, W, C) where all images have one shape, None where they may differ."""
        ...

    def digest(self, index: int) -> bytes:
        """SHA-256 of what is stored for the image (the file's bytes, or the pixels)."""
        ...

    def take(self, indices: NDArray[np.int64]) -> "Images":
        """The same images in another order or number."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images of one size that are in memory: pixels (N, H, W, C) uint8."""

    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int) -> Pixels:
        image: Pixels = self.pixels[index]
        return image

    def shape(self) -> tuple[int, int, int]:
        _, h, w, c = self.pixels.shape
        return h, w, c

    def digest(self, index: int) -> bytes:
        return hashlib.sha256(np.ascontiguousarray(self.pixels[index]).data).digest()

    def take(self, indices: NDArray[np.int64]) -> "ArrayImages":
        return ArrayImages(self.pixels[indices])


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images that are files, decoded when they are asked for."""

    paths: tuple[Path, ...]
    background: tuple[int, int, int] = (255, 255, 255)  # what transparent pixels show
    limits: Limits = field(default_factory=Limits)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Pixels:
        return read_image(self.paths[index], background=self.background, limits=self.limits).pixels

    def shape(self) -> None:
        return None

    def digest(self, index: int) -> bytes:
        with self.paths[index].open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    def take(self, indices: NDArray[np.int64]) -> "FileImages":
        return replace(self, paths=tuple(self.paths[i] for i in indices.tolist()))


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels, and a name for each that stays the same when others come or go."""

    images: Images
    labels: Labels
    keys: tuple[str, ...]  # "cats/cat.7.jpg", or "train/00017" for an archive

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels) == len(self.keys)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "Split":
        """The split with these images only, in this order."""
        index = np.asarray(indices, dtype=np.int64)
        return Split(self.images.take(index), self.labels[index], tuple(self.keys[i] for i in index.tolist()))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Classes in their stored order, and splits by role: `train`, `val`, `test` (not all need be there)."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    channels: int  # 1 where every image is known to be gray, else 3
    notes: tuple[str, ...] = ()  # what was decided while opening it, in sentences for the user

    def __post_init__(self) -> None:
        if unknown := set(self.splits) - set(ROLES):
            raise DatasetError(f"{self.name}: no role is called {sorted(unknown)}; roles are {', '.join(ROLES)}")

    def split(self, role: str) -> Split:
        """The split of that role.  Raises: DatasetError, naming the roles there are."""
        if role not in self.splits:
            raise DatasetError(f"{self.name} has no {role!r} split; it has {', '.join(self.splits) or 'none'}")
        return self.splits[role]

    def counts(self, role: str) -> Labels:
        """(classes,) images of each class in a split."""
        return np.bincount(self.split(role).labels, minlength=len(self.classes)).astype(np.int64)


@dataclass(frozen=True)
class Gathered:
    """Content of a data set in one line: resume and evaluation compare it."""

    sha256: str
    images: int


def fingerprint(dataset: Dataset, digests: Mapping[str, Sequence[bytes]]) -> Gathered:
    """One hash over classes, roles, keys, labels and contents; `digests[role][i]` is the hash of one image."""
    whole = hashlib.sha256("\0".join(dataset.classes).encode())
    for role in sorted(dataset.splits):
        split = dataset.splits[role]
        whole.update(role.encode() + b"\0")
        for key, label, digest in zip(split.keys, split.labels.tolist(), digests[role], strict=True):
            whole.update(f"{key}\0{label}\0".encode(errors="surrogateescape") + digest)
    return Gathered(whole.hexdigest(), sum(len(s) for s in dataset.splits.values()))
