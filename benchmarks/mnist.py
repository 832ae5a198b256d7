"""The IDX files of MNIST as arrays, read with NumPy alone: also the Python that Keras has needs it."""

import gzip
from pathlib import Path

import numpy as np

FILES = {"train": "train", "test": "t10k"}


def read(folder: Path, role: str, most: int | None = None):
    """Images (N, 28, 28) and labels (N,), both uint8; the first `most` of them."""
    stem = folder / "mnist" / FILES[role]
    images = _idx(stem.with_name(f"{stem.name}-images-idx3-ubyte.gz"), 16).reshape(-1, 28, 28)
    labels = _idx(stem.with_name(f"{stem.name}-labels-idx1-ubyte.gz"), 8)
    return images[:most], labels[:most]


def shorten(folder: Path, out: Path, images: int) -> None:
    """The same files with the first `images` training images only."""
    (out / "mnist").mkdir(parents=True)
    for role, most in (("train", images), ("test", None)):
        pixels, labels = read(folder, role, most)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            path = out / "mnist" / f"{FILES[role]}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes(), 1))


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header)
