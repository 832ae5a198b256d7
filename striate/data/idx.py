"""IDX, the format of MNIST: a few bytes that say how many, then the bytes themselves.

    00 00 08 d | size_1 ... size_d, 4 bytes each, big-endian | size_1 * ... * size_d bytes

Source:  LeCun, Cortes & Burges, THE MNIST DATABASE (file formats); Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747.
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ArrayImages, Split
from striate.data.wording import plural
from striate.errors import DatasetError

GZIP = b"\x1f\x8b"
LARGEST = 1 << 30  # bytes; MNIST's training images are 47 MB
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Original:
    """What tells one data set in this format from another: their files have the same names."""

    title: str
    classes: tuple[str, ...]
    test_counts: tuple[int, ...]  # of each class among the original 10,000 test images


ORIGINALS = {
    "mnist": Original("MNIST", tuple("0123456789"), (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)),
    "fashion_mnist": Original(
        "Fashion-MNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (1000,) * 10,
    ),
}


def is_here(name: str, folder: Path) -> bool:
    """Whether the four files are in the folder, zipped or not; whose they are, only their content tells."""
    return all(_one(folder, stem) for stems in FILES.values() for stem in stems)


def load(name: str, folder: Path) -> tuple[tuple[str, ...], dict[str, Split], tuple[str, ...]]:
    """Classes, train and test with pixels (N, 28, 28, 1) and keys "train/00000" ..., and notes.

    Raises: DatasetError naming the file and what was expected in it.
    """
    original = ORIGINALS[name]
    splits, notes = {}, []
    for role, stems in FILES.items():
        images, labels = (_one(folder, stem) or folder / f"{stem}.gz" for stem in stems)
        pixels, marks = read(images), read(labels)
        if pixels.shape[1:] != (28, 28) or marks.ndim != 1:
            raise DatasetError(
                f"{images if marks.ndim == 1 else labels}: holds {_sizes(pixels if marks.ndim == 1 else marks)}; "
                f"expected images of 28 x 28 with one label each"
            )
        if len(pixels) != len(marks):
            raise DatasetError(f"{labels}: {len(marks):,} labels for the {len(pixels):,} images in {images.name}")
        if len(marks) and int(marks.max()) >= len(original.classes):
            raise DatasetError(f"{labels}: label {int(marks.max())}; expected 0 to {len(original.classes) - 1}")
        expected = sum(original.test_counts) if role == "test" else 60_000
        if len(marks) != expected:
            notes.append(f"{images} holds {plural(len(marks), 'image')}; the original has {expected:,}.")
        elif role == "test":
            _check_kind(name, labels, tuple(np.bincount(marks, minlength=10).tolist()))
        keys = tuple(f"{role}/{i:05}" for i in range(len(marks)))
        splits[role] = Split(ArrayImages(pixels[..., None]), marks.astype(np.int64), keys)
    return original.classes, splits, tuple(notes)


def read(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file, zipped or not; the length is checked against the sizes it states.

    Raises: DatasetError naming the file, what was found and what was expected.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP
            raw.seek(0)
            with gzip.open(raw) if zipped else raw as file:
                head = file.read(4)
                if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
                    raise DatasetError(
                        f"{path}: begins with {head.hex(' ') or 'nothing'}; an IDX file of bytes begins with 00 00 08 "
                        "and the number of its dimensions"
                    )
                sizes = np.frombuffer(
                    _exactly(file.read(4 * head[3]), 4 * head[3], path, "sizes"), dtype=">u4"
                ).tolist()
                total = math.prod(sizes)
                if total > LARGEST:
                    raise DatasetError(f"{path}: states {total:,} bytes {sizes}; at most {LARGEST:,} are read")
                content = _exactly(file.read(total + 1), total, path, f"content for the stated sizes {sizes}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: a damaged or cut gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror or error})") from error
    return np.frombuffer(content, dtype=np.uint8).reshape(sizes)


def _one(folder: Path, stem: str) -> Path | None:
    """The file, in the spellings under which it goes round."""
    for spelling in (stem, stem.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            if (path := folder / f"{spelling}{ending}").is_file():
                return path
    return None


def _exactly(content: bytes, expected: int, path: Path, what: str) -> bytes:
    if len(content) != expected:
        found = f"only {len(content):,}" if len(content) < expected else "more"
        raise DatasetError(f"{path}: {found} bytes of {what}; expected {expected:,}: it is damaged or was cut")
    return content


def _check_kind(name: str, labels: Path, counts: tuple[int, ...]) -> None:
    for other, original in ORIGINALS.items():
        if other != name and counts == original.test_counts != ORIGINALS[name].test_counts:
            raise DatasetError(
                f"{labels}: these are the labels of {original.title}, not of {ORIGINALS[name].title}; the two have the "
                f"same file names: put each into a folder of its own name ({other}/, {name}/)"
            )


def _sizes(array: NDArray[np.uint8]) -> str:
    return " x ".join(str(size) for size in array.shape)
