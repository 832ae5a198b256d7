"""IDX files are read whole or refused with their name and what was expected."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from striate.data import idx
from striate.errors import DatasetError

TRAIN, TEST = idx.FILES["train"], idx.FILES["test"]


def packed(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder: Path, n_train: int = 30, n_test: int = 20, zipped: bool = True) -> dict[str, np.ndarray]:
    """Random images with labels 0, 1, 2 ... 9, 0, 1 ..."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, made = np.random.default_rng(0), {}
    for role, n in (("train", n_train), ("test", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for stem, array in zip(idx.FILES[role], (images, labels), strict=True):
            content = packed(array)
            (folder / (stem + ".gz" * zipped)).write_bytes(gzip.compress(content, mtime=0) if zipped else content)
        made[role] = images
    return made


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, array_shapes(max_dims=4, min_side=0, max_side=6)), st.booleans())
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(packed(array), mtime=0) if zipped else packed(array))
    np.testing.assert_array_equal(idx.read(path), array)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_at_any_byte_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    content = packed(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    content = gzip.compress(content, mtime=0) if zipped else content
    path = tmp_path / "train-images-idx3-ubyte"
    for n in range(len(content)):
        path.write_bytes(content[:n])
        with pytest.raises(DatasetError, match="train-images-idx3-ubyte"):
            idx.read(path)


def test_damage_anywhere_in_a_zipped_file_never_passes_for_other_pixels(tmp_path: Path) -> None:
    """Gzip's own sum sees a change in the content; what it can't see is its header, which holds no pixels."""
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    content, path = gzip.compress(packed(array), mtime=0), tmp_path / "file"
    refused = 0
    for n in range(len(content)):
        path.write_bytes(content[:n] + bytes([content[n] ^ 0x5A]) + content[n + 1 :])
        try:
            found = idx.read(path)
        except DatasetError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, array)
    assert refused > len(content) - 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with nothing"),
        (b"<html>not found</html>", "begins with 3c 68 74 6d"),
        (struct.pack(">HBBI", 0, 8, 1, 4) + b"12345", "more bytes of content .* expected 4"),
        (struct.pack(">HBBI", 0, 8, 1, 4) + b"123", "only 3 bytes"),
        (struct.pack(">HBBI", 0, 13, 1, 1) + b"1234", "begins with 00 00 0d 01"),  # floats
        (struct.pack(">HBB", 0, 8, 0), "begins with 00 00 08 00"),
        (struct.pack(">HBB", 0, 8, 3) + b"\xff" * 12, "states .* at most"),
        (gzip.compress(struct.pack(">HBBII", 0, 8, 2, 1 << 16, 1 << 16), mtime=0), "states 4,294,967,296 bytes"),
    ],
)
def test_what_is_not_an_idx_file_of_bytes_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        idx.read(tmp_path / "f")


def test_a_gzip_bomb_is_not_unpacked_further_than_its_header_allows(tmp_path: Path) -> None:
    """200 MB of zeros behind a header that announces 100 bytes."""
    (tmp_path / "f").write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 100) + bytes(200 << 20), 1, mtime=0))
    with pytest.raises(DatasetError, match="more bytes"):
        idx.read(tmp_path / "f")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_set_has_its_two_splits_with_keys_in_the_original_order(tmp_path: Path, zipped: bool) -> None:
    made = write_set(tmp_path, zipped=zipped)
    assert idx.is_here("mnist", tmp_path)
    classes, splits, notes = idx.load("mnist", tmp_path)
    assert classes == tuple("0123456789")
    for role, images in made.items():
        assert splits[role].keys[:2] == (f"{role}/00000", f"{role}/00001")
        assert splits[role].labels.tolist() == [i % 10 for i in range(len(images))]
        np.testing.assert_array_equal(splits[role].images.read(7), images[7][..., None])
    assert "holds 30 images; the original has 60,000" in notes[0]


def test_names_with_a_dot_instead_of_a_dash_are_found(tmp_path: Path) -> None:
    write_set(tmp_path, zipped=False)
    for stem in (*TRAIN, *TEST):
        (tmp_path / stem).rename(tmp_path / stem.replace("-idx", ".idx"))
    assert idx.is_here("mnist", tmp_path)
    assert len(idx.load("mnist", tmp_path)[1]["train"]) == 30


def test_a_missing_file_means_that_the_set_is_not_here(tmp_path: Path) -> None:
    write_set(tmp_path)
    for stem in (*TRAIN, *TEST):
        hidden = (tmp_path / f"{stem}.gz").rename(tmp_path / "away")
        assert not idx.is_here("mnist", tmp_path)
        hidden.rename(tmp_path / f"{stem}.gz")


@pytest.mark.parametrize(
    ("stem", "array", "said"),
    [
        (TRAIN[1], np.zeros(29, np.uint8), "29 labels for the 30 images"),
        (TEST[1], np.full(20, 10, np.uint8), "label 10; expected 0 to 9"),
        (TEST[0], np.zeros((20, 32, 32), np.uint8), "20 x 32 x 32; expected images of 28 x 28"),
        (TRAIN[1], np.zeros((30, 2), np.uint8), "30 x 2; expected images of 28 x 28 with one label each"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(tmp_path: Path, stem: str, array: np.ndarray, said: str) -> None:
    write_set(tmp_path)
    (tmp_path / f"{stem}.gz").write_bytes(gzip.compress(packed(array), mtime=0))
    with pytest.raises(DatasetError, match=said) as caught:
        idx.load("mnist", tmp_path)
    assert stem in str(caught.value)


def test_one_set_under_the_name_of_the_other_is_found_out(tmp_path: Path) -> None:
    """Both have the same file names; 10,000 test labels tell them apart."""
    write_set(tmp_path, n_train=10, n_test=10_000)  # 1,000 of each class, as in Fashion-MNIST
    assert idx.load("fashion_mnist", tmp_path)[0][9] == "Ankle boot"
    with pytest.raises(DatasetError, match="labels of Fashion-MNIST, not of MNIST"):
        idx.load("mnist", tmp_path)
    counts = idx.ORIGINALS["mnist"].test_counts
    labels = np.repeat(np.arange(10, dtype=np.uint8), counts)
    (tmp_path / f"{TEST[1]}.gz").write_bytes(gzip.compress(packed(labels), mtime=0))
    assert idx.load("mnist", tmp_path)[0][9] == "9"
    with pytest.raises(DatasetError, match="labels of MNIST, not of Fashion-MNIST"):
        idx.load("fashion_mnist", tmp_path)


def test_the_real_mnist_is_read(shared: Path) -> None:
    _, splits, notes = idx.load("mnist", shared / "data" / "mnist")
    assert {role: split.images.shape() for role, split in splits.items()} == {"train": (28, 28, 1), "test": (28, 28, 1)}
    assert notes == ()
    assert splits["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    raw = gzip.decompress((shared / "data" / "mnist" / f"{TEST[0]}.gz").read_bytes())
    first = hashlib.sha256(raw[16 : 16 + 784]).digest()
    assert splits["test"].images.digest(0) == first
