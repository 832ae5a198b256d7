"""A folder of images, or any other data set, as tar shards.

    train-00000.tar    00000000.jpg  00000000.cls  00000000.json    the image as it was, its class as a number, and
                       00000001.jpg  ...                            {"file_name": ..., "label": ...}
    shards.json        what was written, with names of the classes and SHA-256 (see index.py)

Images are shuffled by a hash of their names, so that one shard, read alone, is a fair sample. The same images give the
same bytes on every machine. What is in memory (MNIST and the like) is stored as PNG files.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from striate import durable
from striate.data.dataset import FileImages, Images, Labels
from striate.data.decode import Limits, read_bytes
from striate.data.folder import IMAGE_EXTENSIONS
from striate.data.listing import Listing, printable
from striate.data.shards.images import ShardImages
from striate.data.shards.index import INDEX, Entry, Index
from striate.data.shards.samples import extension
from striate.data.split import UNDIVIDED, spread
from striate.errors import UsageError

RECORD = tarfile.RECORDSIZE  # bytes; a tar file ends at a whole number of these
Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True, eq=False)
class Part:
    """Images of one role."""

    images: Images
    labels: Labels
    keys: tuple[str, ...]


def parts_of(listing: Listing, limits: Limits | None = None) -> Mapping[str, Part]:
    """What a listing names, by role; the labels are positions in `all_classes`."""
    classes = all_classes(listing)
    parts = {}
    for role, files in listing.files.items():
        keys = [key for name in files for key in files[name]]
        labels = np.repeat([classes.index(name) for name in files], [len(files[name]) for name in files])
        images = listing.images(keys, (255, 255, 255), limits or Limits())
        parts[role] = Part(images, labels.astype(np.int64), tuple(map(printable, keys)))
    return parts


def all_classes(listing: Listing) -> tuple[str, ...]:
    """The classes of train in their order, and behind them what only other splits have."""
    more = [name for files in listing.files.values() for name in files if name not in listing.classes]
    return (*listing.classes, *dict.fromkeys(more))


def write_shards(
    parts: Mapping[str, Part], classes: tuple[str, ...], out: Path, *, size: int, progress: Progress | None = None
) -> Index:
    """Write shards of about `size` bytes and their index into a new folder.

    Raises: UsageError where the folder holds something; ImageError for a file that can't be read; EnvironmentFault.
    """
    if out.exists() and (not out.is_dir() or any(not path.name.startswith(".") for path in out.iterdir())):
        raise UsageError(f"{out} is there already, and not empty; shards need a folder of their own")
    total, done = sum(len(part.keys) for part in parts.values()), 0
    entries: list[Entry] = []
    with durable.claim(out):
        durable.sweep(out)
        durable.write_json(out / INDEX, Index(classes, {}).to_json(complete=False))
        for role, part in parts.items():
            order = np.argsort(spread(part.keys), kind="stable").tolist()
            begin = 0
            while begin < len(order):
                stem = "shard" if role == UNDIVIDED else role
                path = out / f"{stem}-{sum(e.name.startswith(stem) for e in entries):05}.tar"
                with durable.replacing(path) as file:
                    tar = _Tar(file)
                    first = begin
                    while begin < len(order) and (begin == first or tar.bytes < size):
                        _add(tar, begin, part, order[begin], classes)
                        begin, done = begin + 1, done + 1
                        if progress and (done % 100 == 0 or done == total):
                            progress(done, total)
                    tar.close()
                entries.append(Entry(path.name, tar.bytes, begin - first, tar.hash.hexdigest()))
        index = Index(classes, {entry.name: entry for entry in entries})
        durable.write_json(out / INDEX, index.to_json(complete=True))
    return index


def _add(tar: "_Tar", number: int, part: Part, index: int, classes: tuple[str, ...]) -> None:
    key, label = part.keys[index], int(part.labels[index])
    data, ending = stored(part.images, index)
    about = {"file_name": key, "label": classes[label]}
    tar.add(f"{number:08}.{ending}", data)
    tar.add(f"{number:08}.cls", str(label).encode())
    tar.add(f"{number:08}.json", json.dumps(about, ensure_ascii=False).encode())


def stored(images: Images, index: int) -> tuple[bytes, str]:
    """The bytes of an image and the extension that they go by; of an array, those of a PNG file."""
    if isinstance(images, FileImages):
        name, data = images.paths[index].name, read_bytes(images.paths[index], images.limits)
    elif isinstance(images, ShardImages):
        name, data = images.names[index], images.data(index)
    else:
        pixels, file = images.read(index), io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
        return file.getvalue(), "png"
    ending = extension(name)
    return data, ending if ending in IMAGE_EXTENSIONS else "jpg"  # what it is, its first bytes tell


class _Tar:
    """A tar file that is written from its beginning to its end, counted and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.bytes, self.hash = file, 0, hashlib.sha256()

    def add(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """The mark of the end."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self.bytes % RECORD))

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.bytes += len(data)
