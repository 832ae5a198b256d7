"""What is packed comes out as it was: names, labels, bytes, split and order."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from striate import durable
from striate.data.dataset import Dataset
from striate.data.screen import screen
from striate.data.shards.index import INDEX
from striate.data.shards.packing import pack
from striate.data.sources import open_dataset
from striate.errors import DatasetError, EnvironmentFault, UsageError
from tests.data.shards.packs import folder


def same(one: Dataset, other: Dataset) -> bool:
    assert one.classes == other.classes
    assert one.splits.keys() == other.splits.keys()
    for role, split in one.splits.items():
        assert split.keys == other.splits[role].keys
        assert (split.labels == other.splits[role].labels).all()
    return screen(one).fingerprint == screen(other).fingerprint


@pytest.mark.parametrize("size", [1, 6000, 10**9])
def test_shards_of_any_size_give_the_data_set_of_the_folder(tmp_path: Path, size: int) -> None:
    root = folder(tmp_path / "insects", ("bees", "10", "2", "ants"))  # names of digits are names, not numbers
    index = pack(str(root), tmp_path / "sh", size=size)
    assert sum(entry.images for entry in (index.shards or {}).values()) == 24
    assert same(open_dataset(str(root)), open_dataset(str(tmp_path / "sh")))


def test_a_divided_folder_stays_divided(tmp_path: Path) -> None:
    root = tmp_path / "insects"
    for role in ("train", "val", "test"):
        folder(root / role)
    pack(str(root), tmp_path / "sh", size=6000)
    assert {path.name.split("-")[0] for path in (tmp_path / "sh").glob("*.tar")} == {"train", "val", "test"}
    assert same(open_dataset(str(root)), open_dataset(str(tmp_path / "sh")))


def test_shards_of_shards_are_the_same_images_and_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    root = folder(tmp_path / "insects")
    for name in ("one", "two"):
        pack(str(root), tmp_path / name, size=6000)
    pack(str(tmp_path / "one"), tmp_path / "again", size=6000)
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two", "again")
    ]
    assert [{name: data for name, data in files.items() if name != durable.LOCK} for files in written[1:]] == [
        {name: data for name, data in written[0].items() if name != durable.LOCK}
    ] * 2


def test_what_is_in_memory_is_packed_without_loss(tmp_path: Path) -> None:
    pack("digits", tmp_path / "sh", size=10**9)
    before, after = open_dataset("digits").split("val"), open_dataset(str(tmp_path / "sh")).split("val")
    assert set(before.keys) == set(after.keys)
    there = {key: i for i, key in enumerate(after.keys)}
    for i, key in enumerate(before.keys):
        assert after.labels[there[key]] == before.labels[i]
        assert np.array_equal(after.images.read(there[key]), before.images.read(i))


def test_a_shard_is_a_fair_mixture_and_not_one_class(tmp_path: Path) -> None:
    pack(str(folder(tmp_path / "insects", each=40)), tmp_path / "sh", size=30_000)
    with tarfile.open(tmp_path / "sh" / "shard-00000.tar") as tar:
        labels = [tar.extractfile(m).read() for m in tar if m.name.endswith(".cls")]  # type: ignore[union-attr]
    assert len(labels) < 40
    assert 0.25 < labels.count(b"0") / len(labels) < 0.75


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    root = folder(tmp_path / "insects")
    with pytest.raises(UsageError, match="not empty"):
        pack(str(root), root, size=6000)


def test_a_disk_that_fills_leaves_nothing_that_is_taken_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, real, left = folder(tmp_path / "insects"), durable.os.fsync, iter([0, 0, 0, 0])

    def full(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"shard-0000\d\.tar: could not be written \(No space left on device\)"):
        pack(str(root), tmp_path / "sh", size=3000)
    monkeypatch.undo()
    assert not list((tmp_path / "sh").glob(".tmp-*"))
    with pytest.raises(DatasetError, match=f"{INDEX}: the shards beside it were not all written"):
        open_dataset(str(tmp_path / "sh"))


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files to be closed for it
def test_webdataset_reads_what_was_packed(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="the extra shards is not installed")
    root = folder(tmp_path / "insects")
    pack(str(root), tmp_path / "sh", size=6000)
    seen = {}
    for one in wds.WebDataset(sorted(map(str, (tmp_path / "sh").glob("*.tar"))), shardshuffle=False):
        import json

        about = json.loads(one["json"])
        seen[about["file_name"]] = (about["label"], one["cls"], one["png"])
    files = {str(path.relative_to(root)): path for path in root.rglob("*.png")}
    assert seen == {
        name: (path.parent.name, str(["ants", "bees"].index(path.parent.name)).encode(), path.read_bytes())
        for name, path in files.items()
    }


@pytest.mark.oracle
def test_what_webdataset_packs_is_read(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="the extra shards is not installed")
    from tests.data.shards.packs import picture

    (tmp_path / "sh").mkdir()
    with wds.ShardWriter(str(tmp_path / "sh" / "train-%04d.tar"), maxcount=4, verbose=0) as sink:
        for i in range(10):
            sink.write({"__key__": f"{i:06}", "png": picture(i), "cls": i % 2})
    (tmp_path / "sh" / "classes.txt").write_text("ant\nbee\n")
    split = open_dataset(str(tmp_path / "sh"), val_share=0.0).split("train")
    assert len(split) == 10
    assert sorted(split.images.data(i) for i in range(10)) == sorted(map(picture, range(10)))  # type: ignore[attr-defined]
