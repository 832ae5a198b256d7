"""The screening pass: what can't be read is set aside by name, whoever looks and whatever was remembered."""

import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from striate.data import screen as screening
from striate.data.dataset import ArrayImages, Dataset, FileImages, Pixels, Split, fingerprint
from striate.data.decode import Limits
from striate.data.record import look_at, small
from striate.data.remembered import Memory
from striate.data.screen import Screened, inspect, screen
from striate.errors import DatasetError, EnvironmentFault, ImageError
from tests.data.pictures import drawn, encoded, exif

OLD = 1_000_000_000  # seconds, long before any test: the memory does not trust what changed just now


def dataset(root: Path, good: int = 6, spoil: tuple[str, ...] = ("a/2.png", "b/4.png")) -> Dataset:
    """Two classes, in train and val; `spoil` names the training images that are cut short."""
    splits = {}
    for number, role in enumerate(("train", "val")):
        paths, labels, keys = [], [], []
        for label, name in enumerate("ab"):
            for i in range(good):
                path = root / role / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                data = encoded(drawn(100 * number + 10 * label + i, 20 + i, 30), "PNG")
                key = f"{name}/{i}.png"
                path.write_bytes(data[:100] if role == "train" and key in spoil else data)
                os.utime(path, (OLD, OLD))
                paths.append(path)
                labels.append(label)
                keys.append(f"{role}/{key}")
        splits[role] = Split(FileImages(tuple(paths)), np.array(labels), tuple(keys))
    return Dataset("made", ("a", "b"), splits, 3, ("opened by hand",))


def told(screened: Screened) -> tuple[object, ...]:
    return (
        screened.quarantined,
        {role: list(records) for role, records in screened.records.items()},
        {role: (split.keys, split.labels.tolist()) for role, split in screened.dataset.splits.items()},
        screened.fingerprint,
        screened.dataset.channels,
        screened.dataset.notes,
    )


def test_what_cannot_be_read_is_taken_out_by_name_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    whole = dataset(tmp_path)
    screened = screen(whole)
    assert [(q.role, q.key) for q in screened.quarantined] == [("train", "train/a/2.png"), ("train", "train/b/4.png")]
    assert all(q.reason.startswith("cut short") for q in screened.quarantined)
    gone = {q.key for q in screened.quarantined}
    for role, split in screened.dataset.splits.items():
        before = whole.splits[role]
        kept = [i for i, key in enumerate(before.keys) if key not in gone]
        assert split.keys == tuple(before.keys[i] for i in kept)
        assert split.labels.tolist() == before.labels[kept].tolist()
        assert [split.images.read(i).shape for i in range(len(split))] == [before.images.read(i).shape for i in kept]
    assert screened.dataset.classes == whole.classes
    assert screened.original is whole


def test_records_say_what_the_files_are(tmp_path: Path) -> None:
    screened = screen(dataset(tmp_path))
    records = screened.records["train"]
    assert len(records) == 12
    assert records[2].reason is not None
    assert (records[2].fault, records[2].size, records[2].thumb) == ("cut short", (0, 0), b"")
    for i, record in enumerate(records):
        path = screened.original.split("train").images.paths[i]  # type: ignore[attr-defined]
        assert record.digest == hashlib.sha256(path.read_bytes()).digest()
        if record.reason is None:
            assert record.size == (20 + i % 6, 30)
            assert record.facts is not None
            assert record.facts.format == "PNG"
            assert len(record.thumb) == 1024
    assert screened.sizes("val").tolist() == [[20 + i % 6, 30] for i in range(12)]
    assert len(screened.sizes()) == 10


def test_the_size_in_a_record_is_the_upright_one(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded(drawn(1, 20, 30), "JPEG", exif=exif(6)))
    assert look_at(path, background=(255, 255, 255), limits=Limits()).size == (30, 20)


def test_the_small_picture_is_the_mean_of_each_part(tmp_path: Path) -> None:
    pixels = drawn(2, 96, 64, channels=1)
    thumb, colour = small(pixels)
    want = pixels.reshape(32, 3, 32, 2).mean(axis=(1, 3))
    assert np.abs(thumb - want).max() <= 1  # rounded twice: across, then down
    assert np.abs(colour - thumb.reshape(4, 8, 4, 8).mean(axis=(1, 3))[:, :, None]).max() <= 1


def test_the_result_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    whole = dataset(tmp_path)
    one = told(screen(whole, workers=1))
    for workers in (0, 2, 7):
        assert told(screen(whole, workers=workers)) == one


def test_the_fingerprint_is_that_of_what_is_left_and_moves_with_one_byte(tmp_path: Path) -> None:
    whole = dataset(tmp_path)
    screened = screen(whole)
    digests = {
        role: [hashlib.sha256(Path(tmp_path / key).read_bytes()).digest() for key in screened.dataset.splits[role].keys]
        for role in ("train", "val")
    }
    assert screened.fingerprint == fingerprint(screened.dataset, digests)
    assert screened.fingerprint.images == 22
    path = tmp_path / "val/a/0.png"
    path.write_bytes(encoded(drawn(77, 20, 30), "PNG"))
    assert screen(whole).fingerprint.sha256 != screened.fingerprint.sha256


def test_a_file_that_vanishes_before_it_is_read_is_set_aside(tmp_path: Path) -> None:
    whole = dataset(tmp_path, spoil=())
    (tmp_path / "val/b/5.png").unlink()
    (quarantined,) = screen(whole).quarantined
    assert (quarantined.key, quarantined.role) == ("val/b/5.png", "val")
    assert "No such file" in quarantined.reason
    assert str(tmp_path) not in quarantined.reason


def test_a_class_without_a_readable_training_image_is_an_error_that_names_its_files(tmp_path: Path) -> None:
    whole = dataset(tmp_path, good=2, spoil=("b/0.png", "b/1.png"))
    with pytest.raises(DatasetError, match=r"'b' has no readable training image left.*b/0\.png.*b/1\.png"):
        screen(whole)
    assert len(inspect(whole).quarantined) == 2


def test_a_split_without_a_readable_image_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    whole = dataset(tmp_path, spoil=())
    for path in (tmp_path / "val").rglob("*.png"):
        path.write_bytes(b"")
    screened = screen(whole)
    assert set(screened.dataset.splits) == {"train"}
    assert any("val has no readable image left" in note for note in screened.dataset.notes)


def test_channels_are_one_where_every_image_is_gray(tmp_path: Path) -> None:
    whole = dataset(tmp_path, spoil=())
    assert screen(whole).dataset.channels == 3
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(encoded(drawn(3, 20, 30, channels=1), "PNG"))
    assert screen(whole).dataset.channels == 1


def test_limits_that_are_given_hold(tmp_path: Path) -> None:
    screened = inspect(dataset(tmp_path, spoil=()), limits=Limits(max_side=30, max_pixels=30 * 22))
    assert {q.key.split("/")[-1] for q in screened.quarantined} == {"3.png", "4.png", "5.png"}
    assert all("pixels are read" in q.reason for q in screened.quarantined)


def test_progress_ends_at_the_number_of_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    screen(dataset(tmp_path), progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (24, 24)


def test_arrays_are_not_decoded_but_fingerprinted() -> None:
    pixels = np.stack([drawn(i, 12, 10, channels=1) for i in range(8)])
    pixels[3] = 7
    split = Split(ArrayImages(pixels), np.arange(8) % 2, tuple(map(str, range(8))))
    screened = screen(Dataset("made", ("a", "b"), {"train": split}, 1))
    assert screened.quarantined == ()
    assert [record.digest for record in screened.records["train"]] == [
        hashlib.sha256(image.tobytes()).digest() for image in pixels
    ]
    assert [(r.lowest, r.highest) for r in screened.records["train"]] == [(i.min(), i.max()) for i in pixels]
    assert screened.sizes().tolist() == [[12, 10]] * 8


def test_images_of_any_other_kind_are_read_one_by_one() -> None:
    class Made:
        def __init__(self, numbers: list[int]) -> None:
            self.numbers = numbers

        def __len__(self) -> int:
            return len(self.numbers)

        def read(self, index: int) -> Pixels:
            if self.numbers[index] == 1:
                raise ImageError("the second is lost")
            return drawn(self.numbers[index], 9, 9)

        def shape(self) -> None:
            return None

        def digest(self, index: int) -> bytes:
            return bytes([self.numbers[index]]) * 32

        def take(self, indices: NDArray[np.int64]) -> "Made":
            return Made([self.numbers[i] for i in indices.tolist()])

    split = Split(Made([0, 1, 2]), np.zeros(3, np.int64), ("x", "y", "z"))
    screened = inspect(Dataset("made", ("a",), {"train": split}, 3))
    assert screened.dataset.split("train").keys == ("x", "z")
    assert [(q.key, q.reason) for q in screened.quarantined] == [("y", "the second is lost")]


def test_no_thread_is_left_when_looking_is_interrupted(tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen(dataset(tmp_path), progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("screen")]


# What an earlier look remembered


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are really looked at."""
    looked: list[Path] = []

    def counting(path: Path, **settings: object) -> object:
        looked.append(path)
        return look_at(path, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(screening, "look_at", counting)
    return looked


def test_what_has_not_changed_is_not_looked_at_again(tmp_path: Path, counted: list[Path]) -> None:
    whole, cache = dataset(tmp_path / "set"), tmp_path / "memory" / "records"
    first = told(screen(whole, cache=cache))
    assert len(counted) == 24
    counted.clear()
    assert told(screen(whole, cache=cache)) == first
    assert counted == []


def test_what_has_changed_is_looked_at_again(tmp_path: Path, counted: list[Path]) -> None:
    whole, cache = dataset(tmp_path / "set"), tmp_path / "records"
    screen(whole, cache=cache)
    counted.clear()
    longer, touched = tmp_path / "set/train/a/0.png", tmp_path / "set/val/b/1.png"
    longer.write_bytes(encoded(drawn(500, 20, 30), "PNG") + b"more")
    os.utime(longer, (OLD, OLD))
    os.utime(touched, (OLD + 1, OLD + 1))
    with_memory = told(screen(whole, cache=cache))
    assert sorted(counted) == [longer, touched]
    assert with_memory == told(screen(whole))


def test_what_changed_a_moment_ago_is_not_remembered(tmp_path: Path, counted: list[Path]) -> None:
    whole, cache = dataset(tmp_path / "set"), tmp_path / "records"
    os.utime(tmp_path / "set/train/a/1.png")
    screen(whole, cache=cache)
    counted.clear()
    screen(whole, cache=cache)
    assert counted == [tmp_path / "set/train/a/1.png"]


def test_what_could_not_be_read_at_all_is_tried_again(tmp_path: Path, counted: list[Path]) -> None:
    whole, cache = dataset(tmp_path / "set", spoil=()), tmp_path / "records"
    lost = tmp_path / "set/val/a/1.png"
    data = lost.read_bytes()
    lost.unlink()
    assert len(screen(whole, cache=cache).quarantined) == 1
    lost.write_bytes(data)
    os.utime(lost, (OLD, OLD))
    assert screen(whole, cache=cache).quarantined == ()


def test_other_settings_forget_everything(tmp_path: Path, counted: list[Path]) -> None:
    whole, cache = dataset(tmp_path / "set"), tmp_path / "records"
    screen(whole, cache=cache)
    for other in (
        lambda: screen(whole, cache=cache, limits=Limits(max_side=1000)),
        lambda: screen(
            replace(
                whole,
                splits={
                    role: replace(split, images=replace(split.images, background=(0, 0, 0)))  # type: ignore[type-var]
                    for role, split in whole.splits.items()
                },
            ),
            cache=cache,
        ),
    ):
        counted.clear()
        other()
        assert len(counted) == 24


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "binary", "other version", "nonsense line", "folder"])
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    whole, cache = dataset(tmp_path / "set"), tmp_path / "records"
    first = told(screen(whole, cache=cache))
    good = cache.read_bytes()
    spoilt = {
        "cut": good[:-500], "flip": good[:-300] + bytes([good[-300] ^ 2]) + good[-299:], "empty": b"",
        "binary": os.urandom(500), "other version": good.replace(b'"version": 1', b'"version": 0', 1),
        "nonsense line": good + b"[]\n", "folder": b"",
    }[damage]  # fmt: skip
    cache.write_bytes(spoilt)
    if damage == "folder":
        cache.unlink()
        cache.mkdir()
        with pytest.raises(EnvironmentFault):
            screen(whole, cache=cache)
        return
    assert told(screen(whole, cache=cache)) == first
    assert cache.read_bytes() == good  # built again


def test_the_memory_runs_no_code_and_is_readable_text(tmp_path: Path) -> None:
    cache = tmp_path / "records"
    screen(dataset(tmp_path / "set"), cache=cache)
    lines = cache.read_text(encoding="ascii").splitlines()
    assert len(lines) == 25
    assert len(Memory.open(cache).entries) == 24
