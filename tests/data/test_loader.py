"""Batches: every image once, the same bytes for any number of workers, from any batch on, kept in memory or not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data import keyed
from striate.data.augment import Augment
from striate.data.dataset import ArrayImages, FileImages, Split
from striate.data.loader import Batch, Loader, available_cores, free_memory
from striate.data.preprocess import Preprocess
from striate.errors import DatasetError

SMALL = Preprocess(size=(8, 8), order="gray", mean=(0.4,), std=(0.3,), resize="stretch")
COLOUR = Preprocess(size=(8, 8))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arrays(n: int, height: int = 8, width: int = 8, channels: int = 1) -> Split:
    """Each image holds its own number in its first pixel, so that it is known wherever it turns up."""
    pixels = np.random.default_rng(n).integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    return Split(ArrayImages(pixels), np.arange(n) % 3, tuple(f"image {i}" for i in range(n)))


@pytest.fixture
def files(tmp_path: Path) -> Split:
    rng = np.random.default_rng(3)
    paths = []
    for i in range(11):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (9 + i, 20 - i, 3), dtype=np.uint8)).save(paths[-1])
    return Split(FileImages(tuple(paths)), np.arange(11) % 2, tuple(path.name for path in paths))


def loader(split: Split, **more: Any) -> Loader:
    c = 3 if isinstance(split.images, FileImages) else 1
    return Loader(split, COLOUR if c == 3 else SMALL, **({"classes": 3, "batch": 4, "seed": 5, "workers": 0} | more))


def numbers(batch: Batch) -> list[int]:
    """Which images of `arrays` a batch holds."""
    first = batch.images[:, 0, 0, 0] * 0.3 + 0.4
    return (first * 255).round().int().tolist()


def content(batches: Iterator[Batch]) -> list[tuple[bytes, ...]]:
    """All bytes of all batches."""
    return [
        tuple(b"" if t is None else t.numpy().tobytes() for t in (batch.images, batch.labels, batch.targets))
        for batch in batches
    ]


# -- every image once --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3), st.sampled_from([0, 2]))
def test_an_epoch_has_every_image_once_with_its_own_label(n: int, batch: int, epoch: int, workers: int) -> None:
    made = loader(arrays(n), batch=batch, workers=workers)
    for batches in (list(made.epoch(epoch)), list(made.in_order())):
        found = [i for one in batches for i in numbers(one)]
        assert sorted(found) == list(range(n))
        assert [int(v) for one in batches for v in one.labels] == [i % 3 for i in found]
        assert len(batches) == len(made)
        assert all(len(one.labels) == len(one.images) for one in batches)
        sizes = [len(one.images) for one in batches]
        assert set(sizes[:-1]) <= {batch}
        assert 1 <= sizes[-1] <= batch + 1


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(2, 20))
def test_no_batch_of_a_single_image_is_left_for_batch_norm_to_fail_on(n: int, batch: int) -> None:
    made = loader(arrays(n), batch=batch)
    for batches in (list(made.epoch(0)), list(made.in_order())):
        assert min(len(one.images) for one in batches) >= 2


def test_batches_of_one_image_are_made_where_they_are_asked_for_or_there_is_only_one() -> None:
    assert [len(one.images) for one in loader(arrays(3), batch=1).epoch(0)] == [1, 1, 1]
    assert [len(one.images) for one in loader(arrays(1), batch=4).epoch(0)] == [1]
    assert [len(one.images) for one in loader(arrays(9), batch=4).epoch(0)] == [4, 5]


def test_a_network_with_batch_norm_can_be_trained_on_every_batch() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.BatchNorm1d(3)).train()
    for one in loader(arrays(13), batch=4).epoch(0):
        assert bool(torch.isfinite(net(one.images)).all())


def test_the_order_is_the_keyed_one_and_another_each_epoch_and_seed() -> None:
    split = arrays(50)
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            found = [i for one in loader(split, seed=seed).epoch(epoch) for i in numbers(one)]
            assert found == keyed.order(seed, epoch, 50).tolist()
            orders[tuple(found)] = 1
    assert len(orders) == 4
    assert [i for one in loader(split).in_order() for i in numbers(one)] == list(range(50))


# -- the same bytes ----------------------------------------------------------------------------------------------------

SPECS = [None, "rotation:20 shift:0.1 hflip", "mixup:0.4", "randaugment:2,9", "resized_crop:0.3 hflip"]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("source", ["files", "arrays"])
def test_workers_and_memory_change_no_byte(files: Split, source: str, spec: str | None) -> None:
    split = files if source == "files" else arrays(23)
    augment = Augment.parse(spec) if spec else None
    first = loader(split, augment=augment)
    expected = [content(first.epoch(1)), content(first.epoch(2)), content(first.in_order())]
    assert expected[0] != expected[1]
    for workers in (0, 1, 2, 5, None):
        for keep in (None, 0):
            made = loader(split, augment=augment, workers=workers, keep=keep)
            assert content(made.epoch(1)) == expected[0]
            assert content(made.epoch(2)) == expected[1]
            assert content(made.in_order()) == expected[2]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("spec", [None, "rotation:20 hflip", "mixup:0.4", "resized_crop"])
def test_an_epoch_that_is_entered_in_the_middle_goes_on_with_the_same_bytes(
    files: Split, spec: str | None, workers: int
) -> None:
    made = loader(files, augment=Augment.parse(spec) if spec else None, workers=workers, batch=2)
    whole = content(made.epoch(4))
    assert len(whole) == len(made) == 5  # 11 images: the last batch has three
    for start in range(len(whole) + 1):
        assert content(made.epoch(4, start)) == whole[start:]


def test_a_sample_depends_on_its_place_in_the_split_and_not_on_its_batch() -> None:
    split, augment = arrays(23), Augment.parse("rotation:30 hflip zoom:0.2")
    seen = []
    for batch in (1, 4, 23):
        made = loader(split, augment=augment, batch=batch)
        images = torch.cat([one.images for one in made.epoch(3)])
        seen.append(images[np.argsort(keyed.order(5, 3, 23))])
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_what_is_in_order_is_preprocessed_and_nothing_else(files: Split) -> None:
    made = loader(files, augment=Augment.parse("rotation:90 mixup:1"))
    found = torch.cat([one.images for one in made.in_order()])
    assert torch.equal(found, COLOUR([files.images.read(i) for i in range(len(files))]))
    assert all(one.targets is None for one in made.in_order())


def test_a_random_resized_crop_is_cut_out_of_the_original_and_not_of_the_small_image(files: Split) -> None:
    augment = Augment.parse("resized_crop:0.2")
    batch = next(loader(files, augment=augment, batch=11).epoch(0))
    ids = keyed.order(5, 0, 11)
    sizes = [files.images.read(int(i)).shape[:2] for i in ids]
    boxes = augment.boxes(ids, sizes, seed=5, epoch=0)
    for image, i, box in zip(batch.images, ids, boxes, strict=True):
        top, left, height, width = (int(v) for v in box)
        part = files.images.read(int(i))[top : top + height, left : left + width]
        resized = Preprocess(size=(8, 8), resize="stretch").pixels(part)
        assert torch.equal(image, COLOUR.normalise(torch.from_numpy(resized)[None])[0])


def test_mixed_labels_are_shares_of_the_classes() -> None:
    made = loader(arrays(12), augment=Augment.parse("mixup:1"), batch=12)
    targets = next(made.epoch(0)).targets
    assert targets is not None
    assert targets.shape == (12, 3)
    assert torch.allclose(targets.sum(1), torch.ones(12))
    assert next(loader(arrays(12), augment=Augment.parse("hflip")).epoch(0)).targets is None


# -- threads -----------------------------------------------------------------------------------------------------------


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("striate")]


def test_no_thread_is_left_when_an_epoch_ends_or_is_given_up(files: Split) -> None:
    made = loader(files, workers=2, keep=0, batch=2)
    list(made.epoch(0))
    assert ours() == []
    batches = made.epoch(0)
    next(batches)
    assert len(ours()) > 0
    batches.close()  # type: ignore[attr-defined]
    assert ours() == []


def test_the_network_keeps_its_threads_beside_the_workers(tmp_path: Path) -> None:
    """torch shares the number among threads that have not yet asked for it: it must not fall to the workers' one."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys, torch\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from striate.data.dataset import FileImages, Split\n"
        "from striate.data.loader import Loader\n"
        "from striate.data.preprocess import Preprocess\n"
        "torch.set_num_threads(3)\n"
        "split = Split(FileImages((Path(sys.argv[1]),) * 4), np.zeros(4, np.int64), tuple('abcd'))\n"
        "Loader(split, Preprocess(size=(4, 4)), classes=2, batch=1, workers=2)\n"
        "print(torch.get_num_threads())\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "a.png"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"


# -- memory and files --------------------------------------------------------------------------------------------------


def test_images_are_read_once_where_they_fit_into_memory_and_each_time_where_not(
    files: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = FileImages.read
    monkeypatch.setattr(FileImages, "read", lambda self, index: (reads.append(index), read(self, index))[1])
    bytes_needed = 11 * 3 * 8 * 8
    for keep, expected in ((bytes_needed, 11), (bytes_needed - 1, 22)):
        reads.clear()
        made = loader(files, keep=keep)
        list(made.epoch(0))
        list(made.epoch(1))
        assert len(reads) == expected


def test_progress_is_told_from_the_first_to_the_last_image(files: Split) -> None:
    told: list[tuple[int, int]] = []
    many = files.take(np.arange(220) % 11)
    loader(many, progress=lambda done, of: told.append((done, of)))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (220, 220)
    assert {of for _, of in told} == {220}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_a_file_that_changes_while_training_stops_it_by_name(
    files: Split, tmp_path: Path, workers: int, harm: str
) -> None:
    made = loader(files, workers=workers, keep=0, batch=1)
    victim = tmp_path / "7.png"
    if harm == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:50] if harm == "cut" else b"not an image at all")
    with pytest.raises(DatasetError, match=r"7\.png was readable at the start of the run") as caught:
        list(made.epoch(0))
    assert str(victim) in str(caught.value)
    assert ours() == []
    with pytest.raises(DatasetError, match=r"7\.png"):
        loader(files, workers=workers)


def test_the_machine_is_asked_for_cores_and_memory() -> None:
    assert 1 <= available_cores() <= 10_000
    assert 1 << 20 < free_memory() < 1 << 50
