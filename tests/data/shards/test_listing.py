"""Tar shards as data sets: labels from members or folders, roles from names, and every mistake named."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from striate.data.shards.index import INDEX, verify
from striate.data.shards.packing import pack as pack_data
from striate.data.shards.patterns import expanded
from striate.data.sources import look, open_dataset
from striate.data.split import UNDIVIDED
from striate.errors import DatasetError, ImageError, Offline, UsageError
from tests.data.shards.packs import folder, pack, picture, sample


def refused(source: Path | str, *parts: str) -> None:
    with pytest.raises(DatasetError) as error:
        look(str(source))
    for part in parts:
        assert part in str(error.value)


def labels(source: Path | str, role: str = UNDIVIDED) -> dict[str, tuple[str, ...]]:
    return dict(look(str(source)).files[role])


LABELS = [
    {"cls": 1}, {"cls": "bee"}, {"json": {"label": 1}}, {"json": {"class_name": "bee", "label": 1}}, {"txt": "bee\n"},
    {"json": {"width": 8}, "cls": 1}, {"json": {"label": "bee"}, "cls": 1, "txt": "a bee on a flower"},
]  # fmt: skip


@pytest.mark.parametrize("said", LABELS)
def test_a_label_is_read_from_json_cls_or_txt(tmp_path: Path, said: dict[str, Any]) -> None:
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    shard = pack(tmp_path / "a.tar", [*sample("0", 0, cls=0), *sample("1", 1, **said)])
    assert labels(shard) == {"ant": ("a/0.png",), "bee": ("a/1.png",)}


@pytest.mark.parametrize(
    ("name", "text"),
    [("classnames.txt", "ant\nbee\n"), ("classes.json", '["ant", "bee"]'), ("classes.json", '{"bee": 1, "ant": 0}'),
     ("classes.json", '{"0": "ant", "1": "bee"}')],
)  # fmt: skip
def test_names_of_classes_lie_beside_the_shards_in_any_usual_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    pack(tmp_path / "a.tar", [*sample("0", 0, cls=0), *sample("1", 1, cls=1)])
    assert look(str(tmp_path)).classes == ("ant", "bee")


def test_numbers_without_names_are_the_names_and_a_note_says_how_to_give_better_ones(tmp_path: Path) -> None:
    listing = look(str(pack(tmp_path / "a.tar", [*sample("0", 0, cls=0), *sample("1", 1, cls=7)])))
    assert listing.classes == ("0", "7")
    assert any("classes.txt" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        (sample("1", 1, cls=0, json={"label": "bee"}), "'1.json' says 'bee', but '1.cls' says 'ant'"),
        (sample("1", 1, cls=2), "'1.cls' says class 2; there are names for 0 to 1"),
        (sample("1", 1), "'1' has an image, and no label beside it"),
        (sample("1", 1, cls=""), "'1.cls' gives no label"),
        (sample("1", 1, txt="long " * 60), "a class name is one line of at most 255 letters"),
        (sample("1", 1, json="{"), "no label beside it"),
        ([*sample("1", 1, cls=0), ("1.json", b"{")], "'1.json' is not JSON"),
        ([*sample("1", 1, cls=0), ("1.jpg", picture(2))], "'1' has 2 images (png, jpg); expected one"),
        ([*sample("1", 1, cls=0), ("1.png", picture(2))], "'1.png' is there twice"),
        ([*sample("1", 1), ("1.cls", b"\xff\xfe")], "'1.cls' is not UTF-8 text"),
        ([*sample("1", 1), ("1.cls", b"0" * 2000)], "'1.cls' has 2,000 bytes; a label has at most 1,024"),
    ],
)
def test_what_is_wrong_with_a_sample_is_said_with_shard_and_member(
    tmp_path: Path, members: list[tuple[str, bytes]], complaint: str
) -> None:
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    shard = pack(tmp_path / "a.tar", [*sample("0", 0, cls=0), *members])
    refused(shard, "a.tar: ", complaint)


def test_a_pickle_in_a_shard_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    bomb = pickle.dumps(Trap())
    traps = [(f"0.{ending}", bomb) for ending in ("pyd", "pickle", "pkl", "pth", "npy")]
    pack(tmp_path / "a.tar", [*sample("0", 0, cls=0), *traps, ("1.pth", bomb), *sample("2", 2, cls=1)])
    dataset = open_dataset(str(tmp_path), val_share=0, test_share=0)
    assert [dataset.split("train").images.read(i).shape for i in range(2)] == [(8, 8, 3)] * 2
    assert not (tmp_path / "sprung").exists()


def test_class_folders_that_were_packed_as_they_are_give_what_the_folder_gives(tmp_path: Path) -> None:
    root = folder(tmp_path / "insects")
    paths = sorted(path for path in root.rglob("*.png"))
    members = [(f"./{path.relative_to(root)}", path.read_bytes()) for path in reversed(paths)]
    shard = pack(tmp_path / "x" / "insects.tar", [*members, ("./.DS_Store", b""), ("./ants/._a.0.png", b"junk")])
    assert look(str(shard)).files == look(str(root)).files
    divided = pack(tmp_path / "x" / "two.tar", [(f"train/{name[2:]}", data) for name, data in members])
    assert set(look(str(divided)).files) == {"train"}


@pytest.mark.parametrize(
    ("names", "roles"),
    [(("train-0", "val-0"), {"train", "val"}), (("imagenet1k-train-00", "imagenet1k-validation-00"), {"train", "val"}),
     (("train/0", "test/0"), {"train", "test"}), (("pets-0", "pets-1"), {UNDIVIDED})],
)  # fmt: skip
def test_the_role_of_a_shard_is_in_its_name_or_folder(tmp_path: Path, names: tuple[str, str], roles: set[str]) -> None:
    for i, name in enumerate(names):
        pack(tmp_path / f"{name}.tar", [*sample(f"{i}0", i, cls="ant"), *sample(f"{i}1", i + 9, cls="bee")])
    assert set(look(str(tmp_path)).files) == roles
    assert set(look("::".join(str(tmp_path / f"{name}.tar") for name in names)).files) == roles


def test_shards_that_say_a_role_beside_shards_that_do_not_are_refused(tmp_path: Path) -> None:
    for name in ("train-0", "more"):
        pack(tmp_path / f"{name}.tar", sample(name, 0, cls="ant"))
    refused(tmp_path, "1 image in shards whose names say no role (train, val, test), while others do")
    pack(tmp_path / "train-test.tar", sample("0", 0, cls=0))
    refused(tmp_path / "train-test.tar", "expected train, val or test, one of them")


def test_samples_of_foreign_shards_may_be_called_alike_for_their_shard_tells_them_apart(tmp_path: Path) -> None:
    for i in (0, 1):
        pack(tmp_path / f"{i}.tar", [*sample("000", i, cls="ant"), *sample("001", i + 5, cls="bee")])
    assert labels(tmp_path) == {"ant": ("0/000.png", "1/000.png"), "bee": ("0/001.png", "1/001.png")}


def test_a_folder_with_class_folders_stays_one_though_an_archive_lies_in_it(tmp_path: Path) -> None:
    pack(folder(tmp_path) / "backup.tar", sample("0", 0, cls=0))
    assert look(str(tmp_path)).classes == ("ants", "bees")


def packed(tmp_path: Path, size: int = 6000) -> Path:
    pack_data(str(folder(tmp_path / "insects")), tmp_path / "sh", size=size)
    return tmp_path / "sh"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    where = packed(tmp_path)
    (where / "shard-00001.tar").rename(where / "shard-00009.tar")
    refused(where, "1 shard not listed in shards.json: 'shard-00009.tar'")
    (where / "shard-00009.tar").unlink()
    refused(where, "1 shard missing, listed in shards.json: 'shard-00001.tar'")
    refused(f"{where}/shard-{{00000..00001}}.tar", "1 shard not there", "'shard-00001.tar'")
    assert look(str(where / "shard-00000.tar"))  # a part of the set, by its name


def test_a_shard_that_was_cut_or_changed_is_named(tmp_path: Path) -> None:
    where = packed(tmp_path)
    first, second = where / "shard-00000.tar", where / "shard-00001.tar"
    whole = first.read_bytes()
    first.write_bytes(whole[:-512])
    refused(where, "shard-00000.tar", f"{len(whole) - 512:,} bytes, but shards.json says {len(whole):,}")
    harmed = bytearray(whole)
    harmed[700] ^= 1  # inside the first image: its length is as it was
    first.write_bytes(harmed)
    look(str(where))
    with pytest.raises(DatasetError, match=r"not as written \(SHA-256 differs\): 'shard-00000.tar'"):
        verify(where)
    first.write_bytes(second.read_bytes().ljust(len(whole), b"\0"))
    refused(where, "is also in")
    first.write_bytes(whole)
    assert len(verify(where).shards or {}) == len(list(where.glob("*.tar")))


def test_what_a_stopped_writer_left_is_not_taken_for_all(tmp_path: Path) -> None:
    where = packed(tmp_path)
    index = json.loads((where / INDEX).read_text())
    (where / INDEX).write_text(json.dumps(index | {"complete": False}))
    refused(where, "were not all written")


@pytest.mark.parametrize("text", ["", "[]", '{"striate": "other"}', '{"striate": "shards", "version": 2}', "{" * 9999])
def test_an_index_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    where = packed(tmp_path)
    (where / INDEX).write_text(text)
    refused(where, f"{where / INDEX}: not an index of shards")


def test_a_shard_that_changes_during_a_training_is_an_error_and_no_other_image(tmp_path: Path) -> None:
    where = packed(tmp_path)
    images = open_dataset(str(where)).split("train").images
    images.read(0)
    for path in where.glob("*.tar"):
        path.write_bytes(path.read_bytes() + bytes(512))
    with pytest.raises(DatasetError, match=r"shard-0000\d\.tar has changed since it was first read"):
        images.read(0)


def test_an_image_that_is_damaged_is_named_by_shard_and_member(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", [*sample("0", 0, cls="ant"), ("1.png", picture(3)[:60]), ("1.cls", b"bee")])
    images = open_dataset(str(tmp_path), val_share=0, test_share=0).split("train").images
    with pytest.raises(ImageError, match=r"a\.tar: 1\.png: .*cut short"):
        images.read(1)


@pytest.mark.parametrize("source", ["pipe:touch sprung", "pipe:touch sprung; cat a.tar", "ftp://host/a.tar"])
def test_an_address_that_a_shell_would_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="expected a file, or an address"):
        open_dataset(source, download=True)
    assert not list(tmp_path.iterdir())


def test_nothing_is_fetched_unless_that_was_asked_for() -> None:
    with pytest.raises(Offline, match="--download"):
        open_dataset("https://127.0.0.1:1/train-{0..3}.tar")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [("{3..1}.tar", "counts down; expected {1..3}"), ("a.tar::a.tar", "named twice: 'a.tar'"),
     ("{0..99999999}.tar", "over 100,000 shards"), ("none*.tar", "no file fits this pattern")],
)  # fmt: skip
def test_a_pattern_that_can_not_be_meant_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(DatasetError) as error:
        expanded(pattern)
    assert complaint in str(error.value)
