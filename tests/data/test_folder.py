"""Folders are read by name alone: whatever lies in them, the listing says what it is, opens nothing and never waits."""

import os
import socket
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.folder import image_files, list_folder
from striate.data.listing import Listing
from striate.data.sources import open_dataset, open_for_evaluation
from striate.data.split import UNDIVIDED
from striate.errors import DatasetError

opened: list[str] | None = None


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if opened is not None and event == "open":
        opened.append(str(arguments[0]))


sys.addaudithook(watch)


@contextmanager
def files_opened() -> Iterator[list[str]]:
    """The paths that are opened meanwhile, by whatever means of Python."""
    global opened
    opened = []
    try:
        yield opened
    finally:
        opened = None


def plant(root: Path, *paths: str) -> Path:
    """Empty files; a path that ends in / is a folder."""
    for path in paths:
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.write_bytes(b"")
    return root


def reason(listing: Listing, path: str) -> str:
    found = [one.reason for one in listing.ignored if one.path == path]
    assert len(found) == 1, (path, listing.ignored)
    return found[0]


TWO = ("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg")


def test_the_probe_sees_a_file_that_is_opened(tmp_path: Path) -> None:
    with files_opened() as seen:
        (tmp_path / "x").write_bytes(b"")
    assert seen == [str(tmp_path / "x")]


@pytest.mark.parametrize(
    ("spelling", "role"),
    [("val", "val"), ("valid", "val"), ("validation", "val"), ("VAL", "val"), ("Validation", "val"), ("TEST", "test")],
)
def test_splits_are_known_by_their_names_in_any_case(tmp_path: Path, spelling: str, role: str) -> None:
    plant(tmp_path, *(f"Train/{path}" for path in TWO), f"{spelling}/cats/9.jpg")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cats", "dogs")
    assert listing.files == {
        "train": {"cats": ("Train/cats/1.jpg", "Train/cats/2.jpg"), "dogs": ("Train/dogs/1.jpg",)},
        role: {"cats": (f"{spelling}/cats/9.jpg",)},
    }
    assert listing.absent(role) == ("dogs",)
    assert listing.unknown(role) == ()


def test_a_folder_without_splits_is_not_divided(tmp_path: Path) -> None:
    listing = list_folder(plant(tmp_path, *TWO))
    assert listing.files == {UNDIVIDED: {"cats": ("cats/1.jpg", "cats/2.jpg"), "dogs": ("dogs/1.jpg",)}}
    assert listing.ignored == listing.empty == ()


def test_images_in_folders_inside_a_class_belong_to_the_class(tmp_path: Path) -> None:
    listing = list_folder(plant(tmp_path, *TWO, "cats/old/a.jpg", "cats/old/very/b.jpg", "cats/new/"))
    assert listing.files[UNDIVIDED]["cats"] == ("cats/1.jpg", "cats/2.jpg", "cats/old/a.jpg", "cats/old/very/b.jpg")
    assert listing.nested == {"cats": ("new", "old")}


@pytest.mark.parametrize(
    "junk",
    [".git/cats/x.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", "cats/.DS_Store", "cats/._1.jpg", "cats/.hidden.jpg",
     "Thumbs.db", "cats/Thumbs.db", "@eaDir/cats.jpg", "cats/@eaDir/1.jpg/SYNOPHOTO.jpg", "__MACOSX/cats/._1.jpg",
     "cats/.ipynb_checkpoints/1-checkpoint.jpg", "desktop.ini", "lost+found/x.jpg", "cats/__pycache__/x.jpg"],
)  # fmt: skip
@pytest.mark.parametrize("divided", [False, True])
def test_what_is_hidden_or_left_by_systems_is_no_class_and_no_image(tmp_path: Path, junk: str, divided: bool) -> None:
    prefix = "train/" if divided else ""
    clean = list_folder(plant(tmp_path, *(prefix + path for path in TWO)))
    listing = list_folder(plant(tmp_path, prefix + junk))
    assert listing.files == clean.files
    assert len(listing.ignored) == 1
    assert (prefix + junk).startswith(listing.ignored[0].path)
    assert listing.ignored[0].reason in ("hidden", "left by an operating system or a tool")


def test_empty_class_folders_are_named_and_are_no_classes(tmp_path: Path) -> None:
    plant(
        tmp_path,
        *(f"train/{path}" for path in TWO),
        "train/birds/",
        "train/bats/.hidden.jpg",
        "val/cats/",
        "val/dogs/1.jpg",
    )
    listing = list_folder(tmp_path)
    assert listing.empty == ("train/bats", "train/birds", "val/cats")
    assert listing.classes == ("cats", "dogs")
    notes = open_dataset(str(tmp_path)).notes
    assert "3 class folders without an image left out: 'train/bats', 'train/birds', 'val/cats'." in notes
    assert "val has no image of 1 class: 'cats'." in notes


def test_stray_files_are_told_apart_by_where_they_lie(tmp_path: Path) -> None:
    plant(
        tmp_path,
        *(f"train/{path}" for path in TWO),
        "readme.txt",
        "train/stray.jpg",
        "train/cats/notes.txt",
        "pool/x/1.jpg",
    )
    listing = list_folder(tmp_path)
    assert reason(listing, "readme.txt") == "beside the split folders"
    assert reason(listing, "pool") == "beside the split folders"
    assert reason(listing, "train/stray.jpg") == "beside the class folders, in none of them"
    assert reason(listing, "train/cats/notes.txt") == "not an image file extension"


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPEG", "a.png", "a.webp", "a.tiff", "a.heic", "a", "cat.7", "a.b.Png", "..jpg"]
)
def test_names_that_may_be_images_are_kept(tmp_path: Path, name: str) -> None:
    listing = list_folder(plant(tmp_path, *TWO, f"cats/x{name}"))
    assert f"cats/x{name}" in listing.files[UNDIVIDED]["cats"]


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.part", "a.xml", "a.mp4", "a.zip", "a.py", "a.jpg~", "a."])
def test_names_of_other_files_are_not(tmp_path: Path, name: str) -> None:
    listing = list_folder(plant(tmp_path, *TWO, f"cats/{name}"))
    assert reason(listing, f"cats/{name}") == "not an image file extension"


# ---- links and things that are not files


def test_nothing_is_opened_and_nothing_that_waits_is_waited_for(tmp_path: Path) -> None:
    plant(tmp_path, *TWO)
    os.mkfifo(tmp_path / "cats" / "pipe.jpg")
    (tmp_path / "dogs" / "link to pipe.jpg").symlink_to(tmp_path / "cats" / "pipe.jpg")
    (tmp_path / "cats" / "null.jpg").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket may not be long
        try:
            server.bind("cats/socket.jpg")
        finally:
            os.chdir(here)
    with files_opened() as seen:
        listing = list_folder(tmp_path)
        dataset = open_dataset(str(tmp_path))
    assert [path for path in seen if str(tmp_path) in path] == []
    assert reason(listing, "cats/pipe.jpg") == "a FIFO (named pipe)"
    assert reason(listing, "dogs/link to pipe.jpg") == "a link to a FIFO (named pipe)"
    assert reason(listing, "cats/socket.jpg") == "a socket"
    assert "leads out" in reason(listing, "cats/null.jpg")
    assert sum(map(len, dataset.splits.values())) == 3


def test_links_are_followed_inside_the_root_only_and_never_in_circles(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", plant(tmp_path / "outside", "x.jpg")
    plant(root, *TWO)
    (root / "cats" / "loop").symlink_to(root / "cats")
    (root / "cats" / "up").symlink_to(root)
    (root / "cats" / "self.jpg").symlink_to(root / "cats" / "self.jpg")
    (root / "cats" / "dangling.jpg").symlink_to(root / "nowhere.jpg")
    (root / "cats" / "out.jpg").symlink_to(outside / "x.jpg")
    (root / "cats" / "out").symlink_to(outside)
    (root / "birds").symlink_to(outside)
    (root / "dogs" / "in.jpg").symlink_to(root / "cats" / "1.jpg")
    (root / "dogs" / "relative.jpg").symlink_to("../cats/2.jpg")
    listing = list_folder(root)
    assert listing.files[UNDIVIDED] == {
        "cats": ("cats/1.jpg", "cats/2.jpg"),
        "dogs": ("dogs/1.jpg", "dogs/in.jpg", "dogs/relative.jpg"),
    }
    for path in ("cats/loop", "cats/up"):
        assert "already read" in reason(listing, path)
    for path in ("cats/self.jpg", "cats/dangling.jpg"):
        assert "leads nowhere" in reason(listing, path)
    for path in ("cats/out.jpg", "cats/out", "birds"):
        assert "leads out of the data set's folder" in reason(listing, path)


def test_a_folder_that_links_to_another_is_read_once(tmp_path: Path) -> None:
    """Two folders that hold links to each other have endless paths, but each real folder counts once."""
    plant(tmp_path, "a/1.jpg", "b/1.jpg", "a/x/2.jpg", "a/y/3.jpg")
    for here, there in (("x", "y"), ("y", "x")):
        (tmp_path / "a" / here / "other").symlink_to(tmp_path / "a" / there)
    listing = list_folder(tmp_path)
    real = [(tmp_path / path).resolve() for path in listing.files[UNDIVIDED]["a"]]
    assert sorted(path.name for path in real) == ["1.jpg", "2.jpg", "3.jpg"]


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    plant(tmp_path / "real", *TWO)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list_folder(tmp_path / "link").classes == ("cats", "dogs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path, *TWO, "secret/1.jpg")
    (tmp_path / "secret").chmod(0)
    try:
        assert "can't be read (Permission denied)" in reason(list_folder(tmp_path), "secret")
    finally:
        (tmp_path / "secret").chmod(0o700)


def test_a_sparse_file_of_a_terabyte_costs_nothing_to_list(tmp_path: Path) -> None:
    plant(tmp_path, *TWO)
    with (tmp_path / "cats" / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert "cats/huge.jpg" in list_folder(tmp_path).files[UNDIVIDED]["cats"]


# ---- names

STRANGE = ["new\nline", "tab\t", "🦊", "-rf", "x" * 255, "it's \"quoted\"", "a b", "<script>", "%s{0}", "日本語", "~",
           "con", "\x7f\x01", "back\\slash", "*?[x]", "é", "$HOME", "a..%2f"]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_are_classes_and_files_like_others(tmp_path: Path, name: str) -> None:
    root = plant(tmp_path / "data set", f"{name}/{name[:250]}.jpg", "plain/1.jpg")
    dataset = open_dataset(f"{root}/")
    assert set(dataset.classes) == {name, "plain"}
    key = f"{name}/{name[:250]}.jpg"
    assert key in dataset.splits["train"].keys
    images = dataset.splits["train"].images
    assert {path.is_file() for path in images.paths} == {True}  # type: ignore[attr-defined]


def test_a_file_name_that_is_not_utf_8_has_a_key_that_can_be_written(tmp_path: Path) -> None:
    plant(tmp_path, *TWO)
    raw = os.fsencode(tmp_path) + b"/cats/caf\xe9.jpg"
    with open(raw, "wb"):  # noqa: PTH123 (a path of bytes)
        pass
    dataset = open_dataset(str(tmp_path), val_share=0, test_share=0)
    at = dataset.splits["train"].keys.index("cats/caf\\xe9.jpg")
    assert os.fsencode(dataset.splits["train"].images.paths[at]) == raw  # type: ignore[attr-defined]
    "\n".join((*dataset.splits["train"].keys, *dataset.notes)).encode()


def test_a_class_name_that_is_not_utf_8_is_refused_by_a_name_that_can_be_written(tmp_path: Path) -> None:
    plant(tmp_path, *TWO)
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102 (a path of bytes)
    with open(folder + b"/1.jpg", "wb"):  # noqa: PTH123
        pass
    with pytest.raises(DatasetError, match="not UTF-8") as caught:
        list_folder(tmp_path)
    str(caught.value).encode()


def test_a_path_of_almost_4000_characters_works(tmp_path: Path) -> None:
    deep = tmp_path
    while len(str(deep)) < 3_700:
        deep = deep / ("d" * 200)
    assert len(list_folder(plant(deep, *TWO)).classes) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.sets(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20), min_size=2, max_size=8
    )
)
def test_class_order_is_that_of_composed_code_points(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    root = tmp_path_factory.mktemp("folder")
    plain = {f"x{name}" for name in names}  # hidden names and names of splits have their own tests
    for name in plain:
        plant(root, f"{name}/1.jpg")
    if len(plain) > 1:
        expected = sorted(plain, key=lambda name: (unicodedata.normalize("NFC", name), name))
        assert open_dataset(str(root)).classes == tuple(expected)


def test_names_that_differ_by_case_or_form_are_kept_apart_and_noted(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    plant(tmp_path, f"{composed}/1.jpg", f"{decomposed}/1.jpg", "Dog/1.jpg", "dog/1.jpg", "x/1.jpg")
    listing = list_folder(tmp_path)
    assert set(map(frozenset, listing.alike())) == {frozenset({composed, decomposed}), frozenset({"Dog", "dog"})}
    assert len(open_dataset(str(tmp_path)).classes) == 5
    assert sum("kept apart" in note for note in open_dataset(str(tmp_path)).notes) == 2


def test_the_other_form_of_an_accent_is_the_same_class_where_only_one_is_meant(tmp_path: Path) -> None:
    """A data set that was copied from a file system that decomposes letters."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    plant(tmp_path, f"train/{composed}/1.jpg", "train/x/1.jpg", f"val/{decomposed}/2.jpg", "val/x/2.jpg")
    dataset = open_dataset(str(tmp_path))
    assert dataset.classes == (composed, "x")
    assert dataset.counts("val").tolist() == [1, 1]


@pytest.mark.slow
def test_ten_thousand_classes_are_listed_in_seconds(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{i}/1.jpg" for i in range(10_000)))
    dataset = open_dataset(str(tmp_path))
    assert len(dataset.classes) == 10_000
    assert dataset.classes[:3] == ("0", "1", "10")


# ---- what can't be used


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ((), "no class folder with images; .* it holds nothing"),
        (("cats/", "dogs/"), r"'cats \(empty\)', 'dogs \(empty\)'"),
        (("1.jpg", "2.jpg"), "2 files .* and no class folder with images; .* or a manifest"),
        ((".git/x/1.jpg",), r"it holds '.git \(hidden\)'"),
        (("train/1.jpg", "val/1.jpg"), "no class folders in 'train', 'val'; expected train/<class>/<image>"),
        ((*TWO, "train/x/1.jpg", "val/x/1.jpg", "validation/x/1.jpg"), "'val' and 'validation' are both the val split"),
        (("train/x/1.jpg", "Train/y/1.jpg"), "'Train' and 'train' are both the train split"),
        (
            ("cats/train/1.jpg", "cats/test/2.jpg", "dogs/train/1.jpg"),
            "'cats' was taken as a class, but holds 'test', 'train'",
        ),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused_with_what_it_holds(
    tmp_path: Path, paths: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        list_folder(plant(tmp_path, *paths))


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing of that name"):
        list_folder(tmp_path / "x")
    with pytest.raises(DatasetError, match="it is a file"):
        list_folder(plant(tmp_path, "x") / "x")


def test_one_class_is_refused_with_what_was_perhaps_meant(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"one class, 'animals'.* did you mean .*animals, which holds 'cats', 'dogs'"
    ):
        open_dataset(str(plant(tmp_path, *(f"animals/{path}" for path in TWO))))


def test_vehicles_may_be_called_train(tmp_path: Path) -> None:
    listing = list_folder(plant(tmp_path, "train/1.jpg", "bus/1.jpg", "plane/1.jpg"))
    assert listing.classes == ("bus", "plane", "train")
    assert "'train' was taken as a class, not as a split" in listing.notes[0]


def test_a_class_that_train_lacks_is_named_not_renumbered(tmp_path: Path) -> None:
    plant(
        tmp_path,
        *(f"train/{path}" for path in TWO),
        "val/cats/1.jpg",
        "test/birds/1.jpg",
        "test/dogz/1.jpg",
        "test/cats/3.jpg",
    )
    assert list_folder(tmp_path).unknown("test") == ("birds", "dogz")
    with pytest.raises(DatasetError, match="test has 2 classes that train does not have: 'birds', 'dogz'"):
        open_dataset(str(tmp_path))


def test_a_folder_without_train_can_not_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images for 'test' but none for 'train'"):
        open_dataset(str(plant(tmp_path, *(f"test/{path}" for path in TWO))))


def test_a_test_folder_without_labels_is_left_out_and_said_so(tmp_path: Path) -> None:
    plant(tmp_path, *(f"train/{path}" for path in TWO), *(f"test/{i}.jpg" for i in range(5)))
    dataset = open_dataset(str(tmp_path))
    assert set(dataset.splits) == {"train", "val"}
    assert "'test' holds no image in a class folder and is left out." in dataset.notes


# ---- data sets


def test_labels_follow_names_in_every_split(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/c/2.jpg", "val/b/2.jpg", "test/c/3.jpg")
    dataset = open_dataset(str(tmp_path))
    for split in dataset.splits.values():
        for key, label in zip(split.keys, split.labels.tolist(), strict=True):
            assert key.split("/")[1] == dataset.classes[label]
    assert dataset.channels == 3


def test_keys_are_paths_below_the_root_and_lead_to_the_files(tmp_path: Path) -> None:
    dataset = open_dataset(str(plant(tmp_path, *(f"train/{path}" for path in TWO), *(f"val/{path}" for path in TWO))))
    for role, split in dataset.splits.items():
        paths = split.images.paths  # type: ignore[attr-defined]
        assert [path.relative_to(tmp_path).as_posix() for path in paths] == list(split.keys)
        assert all(key.startswith(f"{role}/") for key in split.keys)


def test_a_folder_that_moves_keeps_its_split(tmp_path: Path) -> None:
    names = [f"{c}/{i}.jpg" for c in ("a", "b") for i in range(50)]
    one = open_dataset(str(plant(tmp_path / "one", *names)))
    two = open_dataset(str(plant(tmp_path / "else" / "where", *names)) + "/")
    assert {r: s.keys for r, s in one.splits.items()} == {r: s.keys for r, s in two.splits.items()}
    assert one.name == "one"
    assert two.name == "where"


def test_relatives_stay_together_when_asked(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{c}/patient{p}_{i}.jpg" for c in ("ill", "well") for p in range(20) for i in range(5)))
    dataset = open_dataset(str(tmp_path), group_by=r"(patient\d+)_", val_share=0.2, test_share=0.2)
    homes: dict[str, set[str]] = {}
    for role, split in dataset.splits.items():
        for key in split.keys:
            homes.setdefault(key.split("/")[1].split("_")[0], set()).add(role)
    assert len(homes) == 20
    assert all(len(roles) == 1 for roles in homes.values())
    plant(tmp_path, "ill/astray.jpg")
    with pytest.raises(DatasetError, match=r"finds nothing in 1 image: 'ill/astray\.jpg'"):
        open_dataset(str(tmp_path), group_by=r"(patient\d+)_")


# ---- for evaluation


def test_a_folder_is_labelled_in_the_order_of_the_run(tmp_path: Path) -> None:
    classes = ("dogs", "birds", "cats")
    dataset = open_for_evaluation(str(plant(tmp_path, *TWO)), classes)
    assert dataset.classes == classes
    assert dataset.splits["test"].labels.tolist() == [2, 2, 0]
    assert any("all are taken as test" in note for note in dataset.notes)
    assert "test has no image of 1 class: 'birds'." in dataset.notes


def test_one_class_is_enough_to_evaluate(tmp_path: Path) -> None:
    dataset = open_for_evaluation(str(plant(tmp_path, "cats/1.jpg")), ("cats", "dogs"))
    assert dataset.counts("test").tolist() == [1, 0]


def test_a_class_that_the_network_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1 class that the network does not know: 'dogs' .*did you mean 'dog'"):
        open_for_evaluation(str(plant(tmp_path, *TWO)), ("cats", "dog"))


def test_the_asked_split_is_taken_and_val_stands_in_for_test(tmp_path: Path) -> None:
    plant(tmp_path, *(f"train/{path}" for path in TWO), "val/cats/1.jpg")
    dataset = open_for_evaluation(str(tmp_path), ("cats", "dogs"))
    assert list(dataset.splits) == ["val"]
    assert any("it flatters" in note for note in dataset.notes)
    assert list(open_for_evaluation(str(tmp_path), ("cats", "dogs"), role="train").splits) == ["train"]
    plant(tmp_path, "test/dogs/7.jpg")
    assert open_for_evaluation(str(tmp_path), ("cats", "dogs")).splits["test"].keys == ("test/dogs/7.jpg",)


def test_a_role_that_is_not_there_is_an_error_that_names_what_is(tmp_path: Path) -> None:
    plant(tmp_path, *(f"train/{path}" for path in TWO))
    with pytest.raises(DatasetError, match="no images for 'test'; it has some for 'train'"):
        open_for_evaluation(str(tmp_path), ("cats", "dogs"))


def test_a_folder_with_test_alone_can_be_evaluated(tmp_path: Path) -> None:
    dataset = open_for_evaluation(str(plant(tmp_path, *(f"test/{path}" for path in TWO))), ("cats", "dogs"))
    np.testing.assert_array_equal(dataset.counts("test"), [2, 1])


def test_images_for_prediction_are_found_wherever_they_lie(tmp_path: Path) -> None:
    plant(tmp_path, "b.jpg", "a/2.png", "a/x/1.jpg", "notes.txt", ".git/x.jpg", "Thumbs.db", "train/c.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)]
    assert found == ["a/2.png", "a/x/1.jpg", "b.jpg", "train/c.jpg"]
    assert image_files(tmp_path / "a" / "x") == [tmp_path / "a" / "x" / "1.jpg"]
