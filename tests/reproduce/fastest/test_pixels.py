"""Images in memory, moved and mirrored as one array."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.data.dataset import ArrayImages, FileImages, Split
from striate.errors import DatasetError
from striate.reproduce.fastest.pixels import Pixels, mirrored, moved, ways

CPU = torch.device("cpu")


def split(n: int = 24, size: int = 6, channels: int = 3, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    return Split(ArrayImages(images), np.arange(n, dtype=np.int64) % 3, tuple(f"{i}" for i in range(n)))


def pixels_of(split: Split) -> np.ndarray:
    assert isinstance(split.images, ArrayImages)
    return split.images.pixels


@given(st.integers(0, 3), st.integers(0, 1000), st.integers(5, 8), st.sampled_from([1, 3]))
def test_each_image_is_moved_as_numpy_pads_and_cuts_it(shift: int, seed: int, size: int, channels: int) -> None:
    images = pixels_of(split(12, size, channels, seed))
    chosen = ways(seed, 1, 12, shift)
    found = moved(torch.from_numpy(images), chosen, shift).numpy()
    for image, way, got in zip(images, chosen, found, strict=True):
        y, x = divmod(int(way), 2 * shift + 1)
        wider = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
        assert np.array_equal(got, wider[y : y + size, x : x + size])


def test_all_ways_to_move_are_about_equally_frequent() -> None:
    counts = np.bincount(ways(3, 0, 25_000, 2), minlength=25)
    assert len(counts) == 25
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


@given(st.integers(0, 10**6), st.integers(0, 50))
def test_two_epochs_in_a_row_show_both_views_of_every_image(seed: int, epoch: int) -> None:
    now, then = (mirrored(seed, number, 500) for number in (epoch, epoch + 1))
    assert np.array_equal(now, ~then)
    assert 150 < now.sum() < 350


def test_an_epoch_shows_every_image_once_with_its_own_label() -> None:
    made = split(24)
    data = Pixels.of(made, CPU)
    shown = data.shown(data.images, torch.float32)
    seen = []
    for x, y in data.epoch(5, 8, 1, shift=0, mirror=False, dtype=torch.float32):
        for image, label in zip(x, y, strict=True):
            which = [i for i in range(24) if torch.equal(shown[i], image)]
            assert len(which) == 1
            assert made.labels[which[0]] == label
            seen += which
    assert sorted(seen) == list(range(24))


def test_a_mirrored_epoch_holds_images_and_mirror_images_as_the_coins_say() -> None:
    data = Pixels.of(split(24), CPU)
    plain = data.shown(data.images, torch.float32)
    expected = torch.where(torch.from_numpy(mirrored(1, 2, 24))[:, None, None, None], plain.flip(3), plain)
    ((x, _y),) = data.epoch(2, 24, 1, shift=0, mirror=True, dtype=torch.float32)
    ((again, _),) = data.epoch(2, 24, 1, shift=0, mirror=False, dtype=torch.float32)
    order = [next(i for i in range(24) if torch.equal(plain[i], image)) for image in again]
    assert torch.equal(x, expected[order])
    assert torch.equal(data.images, torch.from_numpy(pixels_of(split(24))))  # the data themselves stay


def test_what_is_left_at_the_end_of_an_epoch_is_not_seen() -> None:
    data = Pixels.of(split(24), CPU)
    assert [len(y) for _, y in data.epoch(0, 7, 0, shift=1, mirror=True, dtype=torch.float32)] == [7, 7, 7]


def test_channels_are_shown_with_mean_0_and_deviation_1() -> None:
    data = Pixels.of(split(500, 8), CPU)
    x = data.shown(data.images, torch.float32)
    assert x.shape == (500, 3, 8, 8)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.mean((0, 2, 3)).abs().max() < 1e-3
    assert (x.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_test_images_are_shown_like_training_images() -> None:
    train, test = Pixels.of(split(seed=0), CPU), split(seed=1)
    like = Pixels.of(test, CPU, like=train)
    expected = (pixels_of(test) - train.mean.numpy()) / train.std.numpy()
    assert np.allclose(like.shown(like.images, torch.float32).permute(0, 2, 3, 1), expected, atol=1e-5)


def test_images_that_are_files_are_refused() -> None:
    files = Split(FileImages(()), np.zeros(0, dtype=np.int64), ())
    with pytest.raises(DatasetError, match="in memory"):
        Pixels.of(files, CPU)
