"""What was typed leads to the data that was meant, or to a sentence that says where it looked and what there is."""

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from striate.cli.data import app
from striate.data import download, idx, sources
from striate.data.dataset import ROLES
from striate.data.sources import aligned, find, known, open_dataset, open_for_evaluation, places
from striate.errors import DatasetError, Offline, UnknownName, UsageError


def write_idx_set(folder: Path, n_train: int = 400, n_test: int = 50) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(folder)))
    for role, n in (("train", n_train), ("test", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for stem, array in zip(idx.FILES[role], (images, (np.arange(n) % 10).astype(np.uint8)), strict=True):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / f"{stem}.gz").write_bytes(gzip.compress(head + array.tobytes(), 1))


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder and an empty cache; a download would be an error of the test."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv(sources.ENVIRONMENT, raising=False)
    monkeypatch.setattr(sources.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(sources, "fetch_dataset", lambda *_, **__: pytest.fail("nobody asked for a download"))


def test_opening_a_data_set_does_not_import_torch() -> None:
    code = "import sys, striate.data.sources as s; s.open_dataset('digits'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- names


@pytest.mark.parametrize("where", ["given", "given/mnist", "given/MNIST/raw", "stated/mnist", "stated", "cache"])
def test_a_named_set_is_found_in_each_of_its_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    write_idx_set(tmp_path / "cache/striate/data/mnist" if where == "cache" else tmp_path / where)
    monkeypatch.setenv(sources.ENVIRONMENT, str(tmp_path / "stated"))
    dataset = open_dataset("mnist", data_dir=tmp_path / "given" if where.startswith("given") else None)
    assert dataset.name == "mnist"
    assert dataset.channels == 1
    assert set(dataset.splits) == set(ROLES)
    assert any(note.startswith("Read from ") for note in dataset.notes)


def test_the_given_folder_comes_alone_and_the_stated_one_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sources.ENVIRONMENT, str(tmp_path / "stated"))
    for place in ("stated", "cache/striate/data"):
        write_idx_set(tmp_path / place / "mnist")
    assert find("mnist") == tmp_path / "stated" / "mnist"
    assert find("mnist", tmp_path / "given") is None
    assert places(tmp_path / "given") == (tmp_path / "given",)
    assert places() == (tmp_path / "stated", tmp_path / "cache" / "striate" / "data")


def test_a_set_that_is_not_here_is_an_error_that_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset("cifar100", data_dir=tmp_path)
    for part in ("cifar-100-python.tar.gz", str(tmp_path / "cifar100"), "169 MB", "download", sources.ENVIRONMENT):
        assert part in str(caught.value)


def test_a_download_goes_into_the_first_place_and_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path]] = []

    def fetch(name: str, folder: Path, **_: object) -> None:
        asked.append((name, folder))
        write_idx_set(folder)

    monkeypatch.setattr(sources, "fetch_dataset", fetch)
    assert len(open_dataset("fashion_mnist", data_dir=tmp_path, download=True).classes) == 10
    assert asked == [("fashion_mnist", tmp_path / "fashion_mnist")]
    open_dataset("fashion_mnist", data_dir=tmp_path, download=True)  # it is there now
    assert len(asked) == 1


def test_a_failed_download_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise Offline("no network")

    monkeypatch.setattr(sources, "fetch_dataset", fetch)
    with pytest.raises(Offline, match="no network"):
        open_dataset("mnist", data_dir=tmp_path, download=True)


def test_the_val_split_of_a_named_set_depends_on_keys_seed_and_share_only(tmp_path: Path) -> None:
    write_idx_set(tmp_path / "a")
    write_idx_set(tmp_path / "b")
    one, two = open_dataset("mnist", data_dir=tmp_path / "a"), open_dataset("mnist", data_dir=tmp_path / "b")
    assert one.splits["val"].keys == two.splits["val"].keys
    assert one.counts("val").min() >= 1
    assert open_dataset("mnist", data_dir=tmp_path / "a", seed=5).splits["val"].keys != one.splits["val"].keys
    more = open_dataset("mnist", data_dir=tmp_path / "a", val_share=0.3)
    assert len(more.splits["val"]) > len(one.splits["val"])
    assert {*one.splits["train"].keys, *one.splits["val"].keys} == {f"train/{i:05}" for i in range(400)}
    assert "val" not in open_dataset("mnist", data_dir=tmp_path / "a", val_share=0).splits


def test_pixels_follow_their_keys_when_val_is_set_apart(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    whole = idx.load("mnist", tmp_path)[1]["train"]
    position = {key: i for i, key in enumerate(whole.keys)}
    dataset = open_dataset("mnist", data_dir=tmp_path)
    for role in ("train", "val"):
        split = dataset.splits[role]
        for i in range(0, len(split), 7):
            at = position[split.keys[i]]
            assert (split.images.read(i) == whole.images.read(at)).all()
            assert split.labels[i] == whole.labels[at]


# ---- what else was typed


def plant(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def test_a_name_wins_over_a_folder_that_is_called_like_it_and_says_so() -> None:
    plant(Path("digits"), "a/1.jpg", "b/1.jpg")
    named = open_dataset("digits")
    assert len(named.classes) == 10
    assert named.notes[0] == "There is also a folder called 'digits' here; to open that one, write ./digits."
    assert open_dataset("./digits").classes == open_dataset("digits/").classes == ("a", "b")
    assert open_for_evaluation("digits", tuple("0123456789")).notes[0] == named.notes[0]


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("mnits", UnknownName, "no data set is called 'mnits', and no folder or list in .*here; did you mean 'mnist'"),
        ("pests", UnknownName, "did you mean 'pets'"),
        ("zzzzzz", UnknownName, "the names are digits, mnist, fashion_mnist, cifar10, cifar100"),
        ("./pest", DatasetError, "there is nothing of that name, seen from .*here; did you mean 'pets'"),
        ("nowhere/at/all", DatasetError, "nothing of that name"),
        ("lost.csv", DatasetError, r"nothing of that name.* did you mean 'list\.csv'"),
        (
            "cat.jpg",
            DatasetError,
            r"one file; expected a folder of images, or a list of them ending in \.csv or \.jsonl",
        ),
        ("", UnknownName, "no data set is called ''"),
        ("/dev/null", DatasetError, "neither a folder nor a plain file"),
    ],
)
def test_what_leads_nowhere_is_answered_with_the_nearest_that_does(source: str, error: type, said: str) -> None:
    plant(Path(), "pets/a/1.jpg", "pets/b/1.jpg", "cat.jpg", "list.csv")
    with pytest.raises(error, match=said):
        open_dataset(source)


def test_options_are_checked_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="share"):
        open_dataset("no such thing", val_share=1.5)
    with pytest.raises(UsageError, match="regular expression"):
        open_dataset("no such thing", group_by="(")


def test_a_dot_is_the_working_folder() -> None:
    plant(Path(), "a/1.jpg", "b/1.jpg")
    assert open_dataset(".").name == "here"


# ---- for evaluation


def test_labels_of_a_named_set_are_put_in_the_order_of_the_run() -> None:
    straight = open_for_evaluation("digits", tuple("0123456789"))
    turned = open_for_evaluation("digits", (*"9876543210", "other"))
    assert straight.splits["test"].keys == turned.splits["test"].keys
    assert (turned.splits["test"].labels == 9 - straight.splits["test"].labels).all()
    assert turned.classes == (*"9876543210", "other")
    assert "test has no image of 1 class: 'other'." in turned.notes
    assert list(straight.splits) == ["test"]


def test_a_network_for_other_classes_is_refused_by_their_names() -> None:
    with pytest.raises(DatasetError, match=r"digits has 8 classes that the network does not know: '2', '3'"):
        open_for_evaluation("digits", ("0", "1", "cat"))


def test_a_named_set_has_the_splits_it_was_published_with(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    digits = tuple("0123456789")
    assert len(open_for_evaluation("mnist", digits, role="train", data_dir=tmp_path).splits["train"]) == 400
    with pytest.raises(DatasetError, match="has no 'val' split; it has train, test"):
        open_for_evaluation("mnist", digits, role="val", data_dir=tmp_path)


def test_aligning_moves_labels_and_leaves_images_alone() -> None:
    dataset = open_dataset("digits")
    moved = aligned(dataset, tuple("5678901234"))
    for role, split in dataset.splits.items():
        assert moved.splits[role].images is split.images
        names = [moved.classes[label] for label in moved.splits[role].labels.tolist()]
        assert names == [dataset.classes[label] for label in split.labels.tolist()]


# ---- the command


def test_the_list_names_every_set_with_its_place(tmp_path: Path) -> None:
    write_idx_set(tmp_path / "mnist")
    assert [one.name for one in known()] == list(sources.NAMES)
    shown = CliRunner().invoke(app, ["list", "--data-dir", str(tmp_path)])
    assert shown.exit_code == 0
    assert f"in {tmp_path / 'mnist'}" in shown.stdout
    assert "not here, 170 MB to download" in shown.stdout
    rows = json.loads(CliRunner().invoke(app, ["list", "--json", "--data-dir", str(tmp_path)]).stdout)
    assert [row["name"] for row in rows] == list(sources.NAMES)
    assert [row["folder"] for row in rows] == [None, str(tmp_path / "mnist"), None, None, None]
    assert rows[1]["bytes"] == download.catalogue()["mnist"].size == 11_594_722


def test_fetch_prints_the_folder_and_downloads_only_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx_set(tmp_path / "mnist")
    shown = CliRunner().invoke(app, ["fetch", "mnist", "--data-dir", str(tmp_path)])
    assert shown.stdout.replace("\n", "") == str(tmp_path / "mnist")

    def fetch(name: str, folder: Path, *, progress: download.Progress) -> None:
        progress("a file", 1, 2)
        progress("a file", 2, 2)

    monkeypatch.setattr(sources, "fetch_dataset", fetch)
    shown = CliRunner().invoke(app, ["fetch", "cifar10", "--data-dir", str(tmp_path)])
    assert shown.stdout.strip().endswith(str(tmp_path / "cifar10"))


@pytest.mark.parametrize(("name", "said"), [("digits", "inside the package"), ("mnits", "did you mean 'mnist'")])
def test_what_can_not_be_fetched_is_said(name: str, said: str) -> None:
    with pytest.raises(UnknownName, match=said):
        sources.fetch_named(name)
