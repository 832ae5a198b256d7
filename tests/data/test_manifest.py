"""Lists of images: what is in them is read, and every mistake is named with its line."""

import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.dataset import Dataset
from striate.data.manifest import list_manifest
from striate.data.sources import open_dataset, open_for_evaluation
from striate.data.split import UNDIVIDED
from striate.errors import DatasetError

IMAGES = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in IMAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write(folder: Path, content: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


ROWS = [("a/1.jpg", "cat"), ("a/2.jpg", "cat"), ("b/1.jpg", "dog"), ("b/2.jpg", "dog")]
CSV = "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in ROWS)
JSONL = "".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in ROWS)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CSV, "list.csv"),
        ("\ufeff" + CSV, "list.csv"),
        (CSV.replace("\n", "\r\n"), "LIST.CSV"),
        (CSV.replace("\n", "\n\n"), "list.csv"),
        (CSV.rstrip("\n"), "list.csv"),
        (CSV.replace("a/1.jpg", '"a/1.jpg"'), "list.csv"),
        (CSV.replace(",cat", ", cat "), "list.csv"),
        ("label,file_name\n" + "".join(f"{label},{name}\n" for name, label in ROWS), "list.csv"),
        (JSONL, "list.jsonl"),
        ("\ufeff" + JSONL.replace("\n", "\r\n\n"), "list.jsonl"),
    ],
)
def test_every_usual_way_of_writing_it_means_the_same(home: Path, content: str, name: str) -> None:
    listing = list_manifest(write(home, content, name))
    assert listing.files == {UNDIVIDED: {"cat": ("a/1.jpg", "a/2.jpg"), "dog": ("b/1.jpg", "b/2.jpg")}}
    assert listing.classes == ("cat", "dog")
    assert listing.notes == ()


def test_a_list_that_divides_its_images_gives_those_splits(home: Path) -> None:
    rows = "a/1.jpg,cat,train\na/2.jpg,cat,Validation\nb/1.jpg,dog,train\nb/2.jpg,dog, test \n"
    dataset = open_dataset(str(write(home, "file_name,label,split\n" + rows)))
    assert {role: split.keys for role, split in dataset.splits.items()} == {
        "train": ("a/1.jpg", "b/1.jpg"),
        "val": ("a/2.jpg",),
        "test": ("b/2.jpg",),
    }
    assert dataset.classes == ("cat", "dog")
    assert {"val has no image of 1 class: 'dog'.", "test has no image of 1 class: 'cat'."} <= set(dataset.notes)


def test_an_undivided_list_is_split_for_the_user_by_name(home: Path) -> None:
    for i in range(60):
        (home / f"{i}.jpg").write_bytes(b"")
    rows = [f"{i}.jpg,{'odd' if i % 2 else 'even'}\n" for i in range(60)]
    forward = open_dataset(str(write(home, "file_name,label\n" + "".join(rows))))
    backward = open_dataset(str(write(home, "file_name,label\n" + "".join(rows[::-1]), "other.csv")))
    assert set(forward.splits) == {"train", "val", "test"}
    for role, split in forward.splits.items():
        assert set(split.keys) == set(backward.splits[role].keys)


def test_paths_may_lead_anywhere_the_list_is_the_users_word(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "x.jpg"
    other.write_bytes(b"")
    (home / "lists").mkdir()
    (home / "lists" / "linked.jpg").symlink_to(other)
    content = f"file_name,label\n../a/1.jpg,cat\n{other},dog\nlinked.jpg,dog\n"
    dataset = open_dataset(str(write(home / "lists", content)), val_share=0, test_share=0)
    paths = dataset.splits["train"].images.paths  # type: ignore[attr-defined]
    assert [path.resolve() for path in paths] == [home / "a/1.jpg", other, other]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it names no image"),
        ("file_name,label\n", "it names no image"),
        ("file,label\na/1.jpg,cat\n", r"line 1: no column 'file_name'; the header is 'file', 'label'; did you mean"),
        ("file_name\na/1.jpg\n", "line 1: no column 'label'"),
        ("file_name;label\na/1.jpg;cat\n", "separated by ';', expected commas"),
        ("file_name\tlabel\na/1.jpg\tcat\n", r"separated by '\\t'"),
        ("file_name,label,label\na/1.jpg,cat,dog\n", "line 1: the column 'label' is there twice"),
        ("file_name,label,spilt\na/1.jpg,cat,train\n", "column is called 'spilt'; did you mean 'split'"),
        ("file_name,label\na/1.jpg,cat\na/2.jpg\n", "line 3: 1 field, but the header has 2"),
        (
            "file_name,label\na/1.jpg,cat,train\n",
            "line 2: 3 fields, but the header has 2; a name with a comma",
        ),
        ("file_name,label\na/1.jpg,\n", "line 2: no label for 'a/1.jpg'"),
        ("file_name,label\na/1.jpg,  \n", "line 2: no label for 'a/1.jpg'"),
        ("file_name,label\n,cat\n", "line 2: no file_name"),
        ("file_name,label\na/1.jpg,cat\na/9.jpg,cat\n", "1 problem: line 3: 'a/9.jpg' is not there"),
        ("file_name,label\na,cat\n", "line 2: 'a' is a folder, not a file"),
        ("file_name,label\n/dev/null,cat\n", "line 2: '/dev/null' is a character device, not a file"),
        ("file_name,label\na/1.jpg,cat\na/1.jpg,cat\n", "line 3: 'a/1.jpg' was already named in line 2$"),
        ("file_name,label\na/1.jpg,cat\na/../a/1.jpg,dog\n", "line 3: .* was already named in line 2 as 'cat'"),
        ("file_name,label,split\na/1.jpg,cat,dev\n", "line 2: split 'dev'; expected train, val or test"),
        ("file_name,label,split\na/1.jpg,cat,train\na/2.jpg,cat,\n", "1 row without a split, while others have one"),
        ('file_name,label\n"a/1.jpg,cat\n', "line 2: not CSV"),
        ('file_name,label\na/1.jpg,cat\n"a/2.jpg"x,cat\n', "line 3: not CSV"),
        ("file_name,label\na\0b,cat\n", "line 2: "),
        (b"file_name,label\na/caf\xe9.jpg,cat\n", "expected UTF-8 text; byte 21 is not"),
        (b"\x89PNG\r\n\x1a\n", "expected UTF-8 text; byte 0"),
        ("file_name,label\n" + "x" * 140_000 + ",cat\n", "line 2: not CSV .field larger"),
    ],
)
def test_each_mistake_in_a_csv_is_named_with_its_line(home: Path, content: str | bytes, said: str) -> None:
    path = write(home, content)
    with pytest.raises(DatasetError, match=said) as caught:
        list_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it names no image"),
        ('{"file_name": "a/1.jpg", "label": "cat"}\n{"file_name": "a/2.jpg",\n', "line 2: not JSON"),
        ("[]\n", "line 1: .* expected an object"),
        ("null\n", "line 1: .* expected an object"),
        ('{"file_name": "a/1.jpg"}\n', "line 1: no label for 'a/1.jpg'"),
        ('\n\n{"label": "cat"}\n', "line 3: no file_name"),
        ('{"file_name": "a/1.jpg", "label": null}\n', "line 1: no label"),
        ('{"file_name": "a/1.jpg", "label": ["cat"]}\n', r"line 1: label is \['cat'\]; expected text"),
        ('{"file_name": "a/1.jpg", "label": true}\n', "line 1: label is True; expected text"),
        ('{"file_name": "a/1.jpg", "label": 1.5}\n', "line 1: label is 1.5; expected text"),
        ('{"file_name": 7, "label": "cat"}\n', "line 1: '7' is not there"),
        ('{"file_name": "a\\u00001", "label": "cat"}\n', "line 1: .* not text that a file system takes"),
        ('{"file_name": "a/1.jpg", "label": "\\ud800"}\n', "line 1: .* not text that a file system takes"),
        ("[" * 100_000 + "\n", "line 1: not JSON"),
        ('{"file_name": "a/1.jpg", "label": ' + "9" * 5_000 + "}\n", "line 1: not JSON"),
        ('{"file_name": "a/1.jpg", "label": "cat", "labels": 1}\n', "column is called 'labels'; did you mean 'label'"),
    ],
)
def test_each_mistake_in_a_jsonl_is_named_with_its_line(home: Path, content: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        list_manifest(write(home, content, "list.jsonl"))


def test_ten_missing_files_are_named_and_the_rest_counted(home: Path) -> None:
    content = "file_name,label\na/1.jpg,cat\n" + "".join(f"gone/{i}.jpg,cat\n" for i in range(25))
    with pytest.raises(DatasetError) as caught:
        list_manifest(write(home, content))
    message = str(caught.value)
    assert "25 problems: line 3: 'gone/0.jpg' is not there" in message
    assert message.endswith("; and 15 more")
    assert message.count("is not there") == 10


def test_a_fifo_in_a_list_is_refused_without_waiting_for_it(home: Path) -> None:
    os.mkfifo(home / "pipe.jpg")
    with pytest.raises(DatasetError, match=r"'pipe\.jpg' is a FIFO"):
        list_manifest(write(home, "file_name,label\npipe.jpg,cat\n"))


def test_numbers_are_class_names_like_others_and_other_columns_are_told(home: Path) -> None:
    rows = [{"file_name": name, "label": i, "author": "x", "score": [1]} for i, name in enumerate(IMAGES)]
    listing = list_manifest(write(home, "".join(json.dumps(row) + "\n" for row in rows), "list.jsonl"))
    assert listing.classes == ("0", "1", "2", "3")
    assert listing.notes == ("Columns of the manifest that are not used: 'author', 'score'.",)


def test_a_line_separator_inside_a_string_does_not_end_a_row(home: Path) -> None:
    rows = [{"file_name": name, "label": f"x\u2028{i}"} for i, name in enumerate(IMAGES)]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert list_manifest(write(home, content, "list.jsonl")).classes[0] == "x\u20280"


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        TEXT.filter(str.strip),
        min_size=1,
        max_size=4,
    )
)
def test_any_label_survives_csv_and_jsonl(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    folder = tmp_path_factory.mktemp("list")
    for i in range(len(labels)):
        (folder / f"{i}.jpg").write_bytes(b"")
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label"), *((f"{i}.jpg", label) for i, label in enumerate(labels))])
    content = "".join(json.dumps({"file_name": f"{i}.jpg", "label": label}) + "\n" for i, label in enumerate(labels))
    for listing in (list_manifest(folder / "list.csv"), list_manifest(write(folder, content, "list.jsonl"))):
        found = {path: label for label, paths in listing.files[UNDIVIDED].items() for path in paths}
        assert found == {f"{i}.jpg": label.strip() for i, label in enumerate(labels)}


# ---- metadata.csv and metadata.jsonl inside a folder


def found_in(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {role: split.keys for role, split in dataset.splits.items()}


@pytest.mark.parametrize(("content", "name"), [(CSV, "metadata.csv"), (JSONL, "metadata.jsonl")])
def test_a_folder_with_its_own_list_of_labels_is_read_by_it(home: Path, content: str, name: str) -> None:
    write(home, content, name)
    dataset = open_dataset(str(home), val_share=0, test_share=0)
    assert dataset.classes == ("cat", "dog")  # not a and b, the folders
    assert dataset.name == home.name
    assert found_in(dataset) == {"train": IMAGES}


def test_each_split_may_have_its_own_list(tmp_path: Path) -> None:
    for role in ("train", "validation"):
        (tmp_path / role).mkdir()
        for i in range(2):
            (tmp_path / role / f"{i}.jpg").write_bytes(b"")
        write(tmp_path / role, "file_name,label\n0.jpg,cat\n1.jpg,dog\n", "metadata.csv")
    dataset = open_dataset(str(tmp_path))
    assert found_in(dataset) == {
        "train": ("train/0.jpg", "train/1.jpg"),
        "val": ("validation/0.jpg", "validation/1.jpg"),
    }
    assert all(path.is_file() for split in dataset.splits.values() for path in split.images.paths)  # type: ignore[attr-defined]
    (tmp_path / "train" / "1.jpg").unlink()
    with pytest.raises(DatasetError, match=r"train/metadata.csv line 3: '1.jpg' is not there"):
        open_dataset(str(tmp_path))


def test_a_list_that_only_describes_the_images_leaves_the_folders_in_charge(home: Path) -> None:
    write(home, "file_name,text\na/1.jpg,the label of a picture\n", "metadata.csv")
    dataset = open_dataset(str(home))
    assert dataset.classes == ("a", "b")
    assert any("metadata.csv" in note for note in dataset.notes)


def test_two_lists_in_one_folder_are_refused(home: Path) -> None:
    write(home, CSV, "metadata.csv")
    write(home, JSONL, "metadata.jsonl")
    with pytest.raises(DatasetError, match=r"both metadata\.csv and metadata\.jsonl"):
        open_dataset(str(home))


def test_a_label_of_val_that_train_lacks_is_named_with_an_image(home: Path) -> None:
    rows = "a/1.jpg,cat,train\na/2.jpg,dog,train\nb/1.jpg,dgo,val\n"
    with pytest.raises(DatasetError, match=r"val has 1 class .*: 'dgo' \(such as 'b/1.jpg'\); did you mean 'dog'"):
        open_dataset(str(write(home, "file_name,label,split\n" + rows)))


def test_a_list_is_labelled_in_the_order_of_the_run(home: Path) -> None:
    dataset = open_for_evaluation(str(write(home, CSV)), ("dog", "fox", "cat"))
    assert dataset.splits["test"].labels.tolist() == [2, 2, 0, 0]
    with pytest.raises(DatasetError, match="does not know: 'dog'"):
        open_for_evaluation(str(home / "list.csv"), ("cat", "fox"))
