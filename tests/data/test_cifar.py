"""CIFAR batches are read without running them, in every form they go round in, and nothing else gets in."""

import gzip
import io
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.data import cifar
from striate.data.unpickled import unpickled
from striate.errors import DatasetError

NAMES = {"cifar10": [f"class{i}" for i in range(10)], "cifar100": [f"fine{i}" for i in range(100)]}
COARSE = [f"coarse{i}" for i in range(20)]


# ---- what Python 2 wrote in 2009, instruction by instruction


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw


def listing(items: Sequence[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def array(data: np.ndarray) -> bytes:
    shape = b"".join(b"M" + struct.pack("<H", n) for n in data.shape)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + string("b") + b"\x87Rq\x09"
        b"(K\x01" + shape + b"\x86cnumpy\ndtype\nq\x0a" + string("u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + string("|") +
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + string(data.tobytes()) + b"tb"
    )  # fmt: skip


def dictionary(items: dict[str, bytes]) -> bytes:
    return b"\x80\x02}q\x01(" + b"".join(string(key) + value for key, value in items.items()) + b"u."


def batch(pixels: np.ndarray, labels: Sequence[int], key: str = "labels") -> bytes:
    numbers = listing([b"K" + bytes([label]) for label in labels])
    files = listing([string(f"{i}.png") + b"r" + struct.pack("<I", 300 + i) for i in range(len(labels))])
    title = string("a batch") + b"q\x05"
    return dictionary({"batch_label": title, key: numbers, "data": array(pixels), "filenames": files})


def meta(name: str) -> bytes:
    if name == "cifar10":
        return dictionary({"num_cases_per_batch": b"M\x10\x27", "label_names": listing([*map(string, NAMES[name])])})
    return dictionary({
        "fine_label_names": listing([*map(string, NAMES[name])]), "coarse_label_names": listing([*map(string, COARSE)])
    })  # fmt: skip


def drawn(name: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, len(NAMES[name]), n)


def content(
    name: str, form: cifar.Form, n: int = 12
) -> tuple[dict[str, bytes], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Every file of a small data set in one of its forms, and the pixels and labels of its splits."""
    files: dict[str, bytes] = {}
    truth = {}
    for role, names in (("train", form.train), ("test", form.test)):
        parts = [drawn(name, n, seed) for seed, _ in enumerate(names, start=len(files))]
        for file, (pixels, labels) in zip(names, parts, strict=True):
            if form.binary:
                marks = [bytes([0, label] if name == "cifar100" else [label]) for label in labels.tolist()]
                files[file] = b"".join(mark + row.tobytes() for mark, row in zip(marks, pixels, strict=True))
            else:
                files[file] = batch(pixels, labels.tolist(), "labels" if name == "cifar10" else "fine_labels")
        truth[role] = (np.concatenate([p for p, _ in parts]), np.concatenate([y for _, y in parts]))
    if form.binary:
        for file, names in zip(form.names, (NAMES[name], COARSE), strict=False):
            files[file] = "\n".join([*names, ""]).encode()
    else:
        files[form.names[0]] = meta(name)
    return files, truth


def add(tar: tarfile.TarFile, name: str, raw: bytes = b"", **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(raw))


def archive(path: Path, form: cifar.Form, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        add(tar, form.folder, type=tarfile.DIRTYPE)
        add(tar, f"{form.folder}/readme.html", b"<html>")
        for name, raw in files.items():
            add(tar, f"{form.folder}/{name}", raw)


FORMS = [(name, form) for name, forms in cifar.FORMS.items() for form in forms]


@pytest.mark.parametrize(("name", "form"), FORMS, ids=lambda one: one if isinstance(one, str) else one.folder)
@pytest.mark.parametrize("place", ["here", "folder", "archive"])
def test_every_form_gives_the_pixels_labels_and_names_that_went_in(
    tmp_path: Path, name: str, form: cifar.Form, place: str
) -> None:
    files, truth = content(name, form)
    folder = tmp_path / form.folder if place == "folder" else tmp_path
    folder.mkdir(exist_ok=True)
    if place == "archive":
        archive(tmp_path / form.archive, form, files)
    else:
        for file, raw in files.items():
            (folder / file).write_bytes(raw)
    assert cifar.is_here(name, tmp_path)
    classes, splits, notes = cifar.load(name, tmp_path)
    assert classes == tuple(NAMES[name])
    for role, (flat, labels) in truth.items():
        split = splits[role]
        assert split.labels.tolist() == labels.tolist()
        assert split.keys[:2] == (f"{role}/00000", f"{role}/00001")
        for i in (0, 5, len(labels) - 1):
            for channel, row, column in ((0, 0, 1), (1, 3, 30), (2, 31, 31)):
                assert split.images.read(i)[row, column, channel] == flat[i, channel * 1024 + row * 32 + column]
    assert any("the original has 50,000" in note for note in notes)
    assert any("100 fine ones; the 20 coarse" in note for note in notes) == (name == "cifar100")


def test_a_set_that_lacks_one_file_is_not_here(tmp_path: Path) -> None:
    form = cifar.FORMS["cifar10"][0]
    for file in form.files:
        (tmp_path / file).write_bytes(b"")
    assert cifar.is_here("cifar10", tmp_path)
    (tmp_path / form.test[0]).unlink()
    assert not cifar.is_here("cifar10", tmp_path)
    with pytest.raises(DatasetError, match=r"expected cifar-10-python\.tar\.gz or cifar-10-binary\.tar\.gz"):
        cifar.load("cifar10", tmp_path)


# ---- the pickles


class Restricted(pickle._Unpickler):
    """The standard library's own reader, held to NumPy's constructors: the oracle.

    Written in Python, for the one in C makes room for as many values as the largest number of its memo says.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")


def by_the_library(raw: bytes) -> Any:
    value = Restricted(io.BytesIO(raw), encoding="bytes").load()
    return {key.decode(errors="backslashreplace"): one for key, one in value.items()}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, np.ndarray):
        return isinstance(ours, np.ndarray) and ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return type(ours) is type(theirs) and ours == theirs


def small_batch() -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 5), dtype=np.uint8)
    return batch(pixels, [1, 2, 250])


def test_a_batch_means_what_it_means_to_the_library() -> None:
    raw = small_batch()
    ours, theirs = unpickled(raw, "f"), by_the_library(raw)
    assert list(ours) == list(theirs)
    assert all(same(ours[key], theirs[key]) for key in theirs)


def test_every_instruction_that_is_understood_means_what_it_means_to_the_library() -> None:
    raw = b"".join([
        b"\x80\x02}q\x00",
        string("one"), b"](K\xffM\xff\xffJ\xfe\xff\xff\xffNe", b"s",
        b"(", string("two"), b"](K\x01K\x02eK\x03a", b"q\x01",
        string("three"), string("x" * 300) + b"r\x00\x01\x00\x00",
        string("four"), b"h\x01", string("five"), b"j\x00\x01\x00\x00", string("six"), b"N", b"u.",
    ])  # fmt: skip
    assert unpickled(raw, "f") == by_the_library(raw)


UNDERSTOOD = set("KUqrTMJhjN(]}t\x85\x86\x87aesucRb\x80.\x89")


@pytest.mark.parametrize("name", [op.name for op in pickletools.opcodes if op.code not in UNDERSTOOD])
def test_every_other_instruction_is_refused(name: str) -> None:
    code = next(op.code for op in pickletools.opcodes if op.name == name).encode("latin-1")
    with pytest.raises(DatasetError, match=r"at byte \d+: the instruction .* which no such file needs"):
        unpickled(b"\x80\x02}" + string("data") + code + b"\x01" * 20, "f")


class Gadget:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_something_does_not_run_it(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "fired"
    for gadget in (Gadget(os.mkdir, str(canary)), Gadget(eval, f"__import__('os').mkdir({str(canary)!r})")):
        for raw in (pickle.dumps(gadget, protocol), pickle.dumps({"data": gadget}, protocol)):
            with pytest.raises(DatasetError, match="batch_1"):
                unpickled(raw, "batch_1")
            assert not canary.exists()
    by_hand = b"\x80\x02}" + string("data") + b"cposix\nmkdir\n" + string(str(canary)) + b"\x85Rs."
    with pytest.raises(DatasetError, match=r"names 'posix\.mkdir', which is not called"):
        unpickled(by_hand, "batch_1")
    assert not canary.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02" + b"cnumpy\nndarray\nK\x01\x85R.",  # NumPy's name, called as nobody called it in 2009
        b"\x80\x02}" + string("a") + b"cnumpy\ndtype\n" + string("O8") + b"K\x00K\x01\x87Rs.",  # an array of objects
        b"\x80\x02}" + b"cnumpy\ndtype\nK\x01bs.",
        b"\x80\x02}K\x01" + b"\x85" * 300_000 + b"K\x01s.",  # a key so deep that hashing it would overrun the stack
        b"\x80\x02}K\x01K\x02s.",  # a key that is no name
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02]K\x01a.",  # a list
        b"\x80\x02}" + string("a") + b"K\x01\x85s.",  # a tuple as a value
        b"\x80\x02}" + string("a") + b"]]as.",  # a list in a list
        b"\x80\x02}" + string("a") + b"]q\x00h\x00as.",  # a list in itself
        b"\x80\x02}" + string("a") + array(np.zeros(3, np.uint8))[:-200] + b"s.",
        b"\x80\x02}.K\x01",  # something after the end
        b"\x80\x02}",
        b"\x80\x03}.",
        b"\x80\x02.",
        b"\x80\x02t.",
        b"\x80\x02\x87.",
        b"\x80\x02h\x07.",
        b"\x80\x02T\xff\xff\xff\xff.",
        b"\x80\x02T\xff\xff\xff\x7f.",
        b"\x80\x02cnumpy",
        b"",
    ],
)
def test_what_is_no_batch_is_refused(raw: bytes) -> None:
    with pytest.raises(DatasetError, match=r"^f: at byte"):
        unpickled(raw, "f")


def test_random_damage_gives_an_error_or_what_the_library_would_read() -> None:
    """20,000 damaged batches; never another kind of error, never another value."""
    raw, rng = small_batch(), random.Random(4)
    read = 0
    for _ in range(20_000):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            match rng.randint(0, 2):
                case 0:
                    damaged[rng.randrange(len(damaged))] = rng.randrange(256)
                case 1:
                    at = rng.randrange(len(damaged))
                    del damaged[at : at + rng.randint(1, 4)]
                case 2:
                    damaged.insert(rng.randrange(len(damaged)), rng.choice(b"KUq(].RbcN\x85tesu"))
        try:
            ours = unpickled(bytes(damaged), "f")
        except DatasetError:
            continue
        read += 1
        theirs = by_the_library(bytes(damaged))
        assert list(ours) == list(theirs)
        assert all(same(ours[key], theirs[key]) for key in theirs)
    assert 200 < read < 18_000


@pytest.mark.parametrize("n", [0, 10, 200, -1])
def test_a_batch_that_was_cut_is_refused_by_name(tmp_path: Path, n: int) -> None:
    form = cifar.FORMS["cifar10"][0]
    files, _ = content("cifar10", form, n=2)
    for file, raw in files.items():
        (tmp_path / file).write_bytes(raw[:n] if file == "data_batch_3" else raw)
    with pytest.raises(DatasetError, match="data_batch_3"):
        cifar.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("file", "raw", "said"),
    [
        ("data_batch_1", dictionary({"data": array(np.zeros((2, 3072), np.uint8))}), "list of numbers called 'labels'"),
        ("data_batch_1", dictionary({"labels": b"]"}), "expected an array 'data' of .* found none"),
        ("test_batch", batch(np.zeros((2, 3000), np.uint8), [0, 1]), r"found an array \(2, 3000\)"),
        ("test_batch", batch(np.zeros((2, 3072), np.uint8), [0, 1, 2]), "3 labels for 2 images"),
        ("test_batch", batch(np.zeros((2, 3072), np.uint8), [0, 10]), "labels from 0 to 10; expected 0 to 9"),
        ("batches.meta", dictionary({"label_names": listing([b"K\x01"])}), "list of names called 'label_names'"),
        ("batches.meta", dictionary({"label_names": listing([string("one")])}), "1 class name; expected 10"),
    ],
)
def test_values_that_are_not_a_cifar_batch_are_refused(tmp_path: Path, file: str, raw: bytes, said: str) -> None:
    files, _ = content("cifar10", cifar.FORMS["cifar10"][0], n=2)
    for name, whole in (files | {file: raw}).items():
        (tmp_path / name).write_bytes(whole)
    with pytest.raises(DatasetError, match=said) as caught:
        cifar.load("cifar10", tmp_path)
    assert file in str(caught.value)


def test_binary_records_must_be_whole(tmp_path: Path) -> None:
    files, _ = content("cifar100", cifar.FORMS["cifar100"][1], n=2)
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw + b"!" * (name == "train.bin"))
    with pytest.raises(DatasetError, match=r"train\.bin: 6,149 bytes are no whole number of records of 3,074"):
        cifar.load("cifar100", tmp_path)


# ---- the archives


def loaded_from(tmp_path: Path, members: Sequence[tuple[str, bytes, dict[str, Any]]]) -> dict[str, Any]:
    """Load an archive of these members; nothing may appear beside it."""
    form = cifar.FORMS["cifar10"][0]
    with tarfile.open(tmp_path / form.archive, "w:gz") as tar:
        for name, raw, fields in members:
            add(tar, name, raw, **fields)
    before = sorted(tmp_path.rglob("*"))
    try:
        return dict(cifar.load("cifar10", tmp_path)[1])
    finally:
        assert sorted(tmp_path.rglob("*")) == before


def original_members(n: int = 2) -> list[tuple[str, bytes, dict[str, Any]]]:
    form = cifar.FORMS["cifar10"][0]
    return [(f"{form.folder}/{file}", raw, {}) for file, raw in content("cifar10", form, n)[0].items()]


def test_members_that_lead_elsewhere_are_never_written_or_read(tmp_path: Path) -> None:
    strange = [
        ("../escaped", b"x", {}), ("/tmp/escaped", b"x", {}), ("C:\\escaped", b"x", {}),
        ("cifar-10-batches-py/../../escaped", b"x", {}), ("link", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}),
        ("link/escaped", b"x", {}), ("hard", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
        ("fifo", b"", {"type": tarfile.FIFOTYPE}), ("device", b"", {"type": tarfile.CHRTYPE}),
    ]  # fmt: skip
    assert len(loaded_from(tmp_path, [*strange, *original_members()])["train"]) == 10
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_wanted_member_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    first, *rest = original_members()
    with pytest.raises(DatasetError, match="data_batch_1 is there twice, or is no plain file"):
        loaded_from(tmp_path, [(first[0], b"", {"type": kind, "linkname": "/etc/passwd"}), *rest])


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    members = original_members()
    with pytest.raises(DatasetError, match="data_batch_2 is there twice"):
        loaded_from(tmp_path, [members[1], *members])


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1 member 'cifar-10-batches-py/test_batch'"):
        loaded_from(tmp_path, [one for one in original_members() if "test_batch" not in one[0]])


def test_an_archive_of_very_many_or_very_large_members_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1,001 members"):
        loaded_from(tmp_path, [(f"{i}", b"", {}) for i in range(2_000)])
    form = cifar.FORMS["cifar10"][0]
    with gzip.open(tmp_path / form.archive, "wb", 1) as file:  # says 100 GB, and would be read to look for the rest
        member = tarfile.TarInfo("zeros")
        member.size = 100 << 30
        file.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(DatasetError, match="107,374,182,400 bytes"):
        cifar.load("cifar10", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9, 0.999])
def test_an_archive_that_was_cut_is_refused_by_name(tmp_path: Path, share: float) -> None:
    form = cifar.FORMS["cifar10"][0]
    archive(tmp_path / form.archive, form, content("cifar10", form, n=3)[0])
    raw = (tmp_path / form.archive).read_bytes()
    (tmp_path / form.archive).write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DatasetError, match=r"cifar-10-python\.tar\.gz: a damaged or cut archive"):
        cifar.load("cifar10", tmp_path)


def test_damage_to_the_pixels_in_an_archive_is_noticed(tmp_path: Path) -> None:
    """A tar file has no checksum of its content; the one of gzip stands behind everything and must be reached."""
    form = cifar.FORMS["cifar10"][0]
    archive(tmp_path / form.archive, form, content("cifar10", form, n=3)[0])
    raw = bytearray((tmp_path / form.archive).read_bytes())
    raw[-6] ^= 1  # in the checksum itself, so that the content is as good as damaged
    (tmp_path / form.archive).write_bytes(raw)
    with pytest.raises(DatasetError, match=r"damaged or cut archive .*CRC"):
        cifar.load("cifar10", tmp_path)


@pytest.mark.slow
def test_the_real_cifar_10_is_read_as_it_was_published(shared: Path, tmp_path: Path) -> None:
    """186 MB are rebuilt, byte for byte the originals; the strips they come from are the oracle."""
    source = shared / "data" / "cifar10"
    subprocess.run([sys.executable, source / "unpack.py", tmp_path], check=True, capture_output=True)
    classes, splits, notes = cifar.load("cifar10", tmp_path)
    assert classes == tuple(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"])
    assert notes == ()
    for role in ("train", "test"):
        labels = np.frombuffer((source / f"{role}_labels.u8").read_bytes(), np.uint8)
        assert splits[role].labels.tolist() == labels.tolist()
        for number in (0, len(labels) // 500 - 1):
            strip = np.asarray(Image.open(source / f"{role}_{number:03}.webp").convert("RGB")).reshape(-1, 32, 32, 3)
            for i in (0, 123, 499):
                np.testing.assert_array_equal(splits[role].images.read(number * 500 + i), strip[i])
