"""CIFAR-10 and CIFAR-100 as they were published in 2009: Python or binary batches, in their archive or unpacked.

    python   a pickle of {"data": (N, 3072) bytes, "labels" or "fine_labels": N numbers, ...}; read by `unpickled`
    binary   records of 1 (CIFAR-10) or 2 (coarse, fine: CIFAR-100) label bytes and 3,072 pixels
    pixels   1,024 red, 1,024 green, 1,024 blue, each 32 rows of 32

An archive is read member by member, by name, into memory; nothing is unpacked to disk.

Source:  Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
"""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ArrayImages, Labels, Split
from striate.data.unpickled import unpickled
from striate.data.wording import plural, several
from striate.errors import DatasetError

PIXELS = 3 * 32 * 32
LARGEST = 256 << 20  # bytes of one file; the largest original is 155 MB
MOST_MEMBERS = 1_000
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Form:
    """One of the ways a data set goes round."""

    folder: str  # the folder's name in the archive, and unpacked
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: tuple[str, ...]  # the file of class names, and of the names of coarse classes
    binary: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, *self.test, *self.names)


FORMS = {
    "cifar10": (
        Form("cifar-10-batches-py", "cifar-10-python.tar.gz",
             tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",), ("batches.meta",)),
        Form("cifar-10-batches-bin", "cifar-10-binary.tar.gz",
             tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",), ("batches.meta.txt",), True),
    ),
    "cifar100": (
        Form("cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), ("meta",)),
        Form("cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), ("test.bin",),
             ("fine_label_names.txt", "coarse_label_names.txt"), True),
    ),
}  # fmt: skip
CLASSES = {"cifar10": 10, "cifar100": 100}


def find(name: str, folder: Path) -> tuple[Form, Path] | None:
    """The first form of the data set in a folder, and where: its unpacked folder, the folder itself, or the archive."""
    for form in FORMS[name]:
        for place in (folder / form.folder, folder):
            if all((place / file).is_file() for file in form.files):
                return form, place
        if (folder / form.archive).is_file():
            return form, folder / form.archive
    return None


def is_here(name: str, folder: Path) -> bool:
    """Whether the folder holds the data set in one of its forms."""
    return find(name, folder) is not None


def load(name: str, folder: Path) -> tuple[tuple[str, ...], dict[str, Split], tuple[str, ...]]:
    """Class names, train and test with pixels (N, 32, 32, 3) and keys "train/00000" ..., and notes.

    Raises: DatasetError naming the file and what was expected in it.
    """
    found = find(name, folder)
    if found is None:
        raise DatasetError(
            f"{folder}: expected {' or '.join(form.archive for form in FORMS[name])}, or one of them unpacked"
        )
    form, place = found
    content = _members(place, form) if place.is_file() else {file: _content(place / file) for file in form.files}
    where = {file: f"{place}: {file}" if place.is_file() else str(place / file) for file in form.files}
    classes, coarse = _names(name, form, content, where)
    if len(classes) != CLASSES[name]:
        raise DatasetError(f"{where[form.names[0]]}: {plural(len(classes), 'class name')}; expected {CLASSES[name]}")
    splits, notes = {}, []
    for role, files in (("train", form.train), ("test", form.test)):
        parts = [
            _records(content[file], where[file], len(form.names)) if form.binary else _batch(content[file], where[file])
            for file in files
        ]
        labels = np.concatenate([part[1] for part in parts])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            seen = f"labels from {labels.min()} to {labels.max()}"
            raise DatasetError(f"{where[files[0]]}: {seen}; expected 0 to {len(classes) - 1}")
        pixels = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
        for part, place_in in zip(
            parts, np.split(pixels, np.cumsum([len(part[1]) for part in parts])[:-1]), strict=True
        ):
            place_in[:] = part[0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        keys = tuple(f"{role}/{i:05}" for i in range(len(labels)))
        splits[role] = Split(ArrayImages(pixels), labels, keys)
        expected = 50_000 if role == "train" else 10_000
        if len(labels) != expected:
            notes.append(f"{place} holds {plural(len(labels), 'image')} for {role}; the original has {expected:,}.")
    if coarse:
        notes.append(f"The labels are the {len(classes)} fine ones; the {len(coarse)} coarse ones are not used.")
    return classes, splits, tuple(notes)


def _batch(content: bytes, where: str) -> tuple[NDArray[np.uint8], Labels]:
    """(N, 3072) and (N,) of a Python batch."""
    batch = unpickled(content, where)
    data, labels = batch.get("data"), batch.get("fine_labels", batch.get("labels"))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != PIXELS:
        found = f"an array {data.shape}" if isinstance(data, np.ndarray) else "none"
        raise DatasetError(f"{where}: expected an array 'data' of (N, {PIXELS}) bytes; found {found}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DatasetError(
            f"{where}: expected a list of numbers called 'labels' or 'fine_labels'; found {several(batch)}"
        )
    if len(labels) != len(data):
        raise DatasetError(f"{where}: {len(labels):,} labels for {len(data):,} images")
    return data, np.array(labels, dtype=np.int64)


def _records(content: bytes, where: str, marks: int) -> tuple[NDArray[np.uint8], Labels]:
    """(N, 3072) and (N,) of a binary batch; the last of a record's label bytes is the fine one."""
    size = marks + PIXELS
    if len(content) % size:
        raise DatasetError(
            f"{where}: {len(content):,} bytes are no whole number of records of {size:,}: it is damaged or was cut"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    return records[:, marks:], records[:, marks - 1].astype(np.int64)


def _names(
    name: str, form: Form, content: Mapping[str, bytes], where: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if form.binary:
        try:
            lists = [tuple(content[file].decode().split()) for file in form.names]
        except UnicodeDecodeError as error:
            raise DatasetError(f"{where[form.names[0]]}: expected one class name a line; {error}") from error
        return lists[0], lists[1] if len(lists) > 1 else ()
    file = form.names[0]
    meta = unpickled(content[file], where[file])
    keys = ("label_names",) if name == "cifar10" else ("fine_label_names", "coarse_label_names")
    lists = []
    for key in keys:
        found = meta.get(key)
        if not isinstance(found, list) or not all(isinstance(one, bytes) for one in found):
            raise DatasetError(f"{where[file]}: expected a list of names called {key!r}; found {several(meta)}")
        lists.append(tuple(one.decode(errors="backslashreplace") for one in found))
    return lists[0], lists[1] if len(lists) > 1 else ()


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise DatasetError(f"{path}: {path.stat().st_size:,} bytes; the original is smaller than {LARGEST:,}")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror or error})") from error


def _members(archive: Path, form: Form) -> dict[str, bytes]:
    """The wanted members of an archive, by their exact names."""
    wanted = {f"{form.folder}/{file}": file for file in form.files}
    found: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for number, member in enumerate(tar):
                if number >= MOST_MEMBERS or member.size > LARGEST:
                    raise DatasetError(
                        f"{archive}: {plural(number + 1, 'member')}, the last of {member.size:,} bytes; the original "
                        f"has {len(wanted)} or so, each below {LARGEST:,}: this is another archive"
                    )
                file = wanted.get(member.name.removeprefix("./"))
                if file is None:
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or file in found:
                    raise DatasetError(f"{archive}: {member.name} is there twice, or is no plain file; expected one")
                found[file] = content.read()
            while unzipped.read(1 << 20):  # where it ends, gzip compares its checksum: tar has none of content
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise DatasetError(f"{archive}: a damaged or cut archive ({error}); fetch it again") from error
    if absent := [member for member, file in wanted.items() if file not in found]:
        raise DatasetError(
            f"{archive}: expected the {plural(len(absent), 'member')} {several(absent)}; they are not in it"
        )
    return found
