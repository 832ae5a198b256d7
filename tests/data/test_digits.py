"""The embedded digits are scikit-learn's, image for image, and their splits never change."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import striate.data
from striate.data import digits
from striate.data.dataset import Split
from striate.data.sources import open_dataset

PINNED = {"train": (1288, "030af1a01b35ef8b"), "val": (149, "16a4e9c55441d866"), "test": (360, "a3ee23b19d7b1825")}


def all_images() -> dict[str, tuple[np.ndarray, int]]:
    found = {}
    for split in digits.load().values():
        for i, key in enumerate(split.keys):
            found[key] = (split.images.read(i), int(split.labels[i]))
    return found


def test_the_file_holds_the_digits_of_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    counts, labels = digits.read()
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(counts, theirs.images)
    np.testing.assert_array_equal(labels, theirs.target)


def test_every_digit_is_on_one_side_with_its_pixels_scaled_to_bytes() -> None:
    counts, labels = digits.read()
    scaled = np.floor(counts.astype(float) * 255 / 16 + 0.5)
    found = all_images()
    assert list(sorted(found)) == [f"digits/{i:04}" for i in range(1797)]
    for i in range(1797):
        pixels, label = found[f"digits/{i:04}"]
        assert (pixels[..., 0] == scaled[i]).all()
        assert label == labels[i]


def test_the_two_ends_and_the_middle_of_the_scale_are_exact() -> None:
    pixels = np.stack([image for image, _ in all_images().values()])
    assert pixels.shape == (1797, 8, 8, 1)
    assert sorted(np.unique(pixels)) == [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]


def key_hash(split: Split) -> str:
    return hashlib.sha256("\n".join(split.keys).encode()).hexdigest()[:16]


def test_the_sides_are_pinned_so_that_scores_stay_comparable() -> None:
    dataset = open_dataset("digits")
    assert {role: (len(split), key_hash(split)) for role, split in dataset.splits.items()} == PINNED
    assert dataset.counts("test").tolist() == [36] * 10
    assert dataset.counts("val").min() >= 10
    assert dataset.classes == tuple("0123456789")
    assert dataset.channels == 1


def test_no_image_is_on_two_sides() -> None:
    dataset = open_dataset("digits")
    seen = [split.images.read(i).tobytes() for split in dataset.splits.values() for i in range(len(split))]
    assert len(set(seen)) == len(seen) == 1797


def test_another_seed_or_share_changes_val_but_never_test() -> None:
    first, other = open_dataset("digits"), open_dataset("digits", seed=1, val_share=0.3)
    assert first.splits["test"].keys == other.splits["test"].keys
    assert first.splits["val"].keys != other.splits["val"].keys
    assert len(other.splits["val"]) > 350


def test_the_file_is_small_and_needs_no_pickle() -> None:
    path = Path(striate.data.__path__[0]) / "digits.npz"
    assert path.stat().st_size < 50_000
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays.files) == {"images", "labels"}
