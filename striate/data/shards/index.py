"""shards.json beside the shards: which there are, what each holds, and the names of the classes.

    {"striate": "shards", "version": 1, "complete": true, "classes": ["cat", "dog"],
     "shards": [{"name": "train-00000.tar", "bytes": ..., "images": ..., "sha256": "..."}]}

It is written first with `complete` false and last with true, so what a stopped writer left is not taken for all.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from striate.data.shards.members import opened
from striate.data.wording import plural, several
from striate.errors import DatasetError

INDEX = "shards.json"
NAMES = ("classes.txt", "classnames.txt", "classes.json")
LARGEST = 64 << 20  # bytes of an index or of a list of names


@dataclass(frozen=True)
class Entry:
    """What the index says of one shard."""

    name: str
    bytes: int
    images: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What shards.json says."""

    classes: tuple[str, ...] = ()
    shards: Mapping[str, Entry] | None = None  # by name; None where there is no index

    def to_json(self, *, complete: bool) -> dict[str, Any]:
        """As it is written."""
        entries = [asdict(entry) for entry in (self.shards or {}).values()]
        return {"striate": "shards", "version": 1, "complete": complete, "classes": list(self.classes),
                "shards": entries}  # fmt: skip


def read_index(folder: Path) -> Index:
    """The index beside some shards, or the names of the classes where only those are there.

    Raises: DatasetError for one that can't be used, or of shards that were not all written.
    """
    path = folder / INDEX
    if path.is_file():
        return parse_index(_text(path), str(path))
    for name in NAMES:
        if (path := folder / name).is_file():
            return Index(_names(_text(path), str(path)))
    return Index()


def parse_index(text: str, called: str) -> Index:
    """The index that is written in `text`.  Raises: DatasetError, naming it as `called`."""
    try:
        value = json.loads(text)
        if value["striate"] != "shards" or value["version"] != 1:
            raise ValueError("it is not an index of version 1")
        complete = value["complete"] is True
        entries = [Entry(str(e["name"]), int(e["bytes"]), int(e["images"]), str(e["sha256"])) for e in value["shards"]]
        classes = tuple(map(str, value["classes"]))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DatasetError(f"{called}: not an index of shards ({type(error).__name__}: {error})") from error
    if not complete:
        raise DatasetError(f"{called}: the shards beside it were not all written; remove them and write them again")
    return Index(classes, {entry.name: entry for entry in entries})


def check_present(index: Index, folder: str, present: Iterable[str], whole: bool) -> None:
    """Compare the names of shards with the index; with `whole`, none may be missing.

    Raises: DatasetError naming what is missing or not listed.
    """
    if index.shards is None:
        return
    there = list(present)
    if strange := [name for name in there if name not in index.shards]:
        raise DatasetError(
            f"{folder}: {plural(len(strange), 'shard')} not listed in {INDEX}: {several(strange)}; of another set?"
        )
    if whole and (missing := sorted(index.shards.keys() - set(there))):
        raise DatasetError(f"{folder}: {plural(len(missing), 'shard')} missing, listed in {INDEX}: {several(missing)}")


def check_entry(index: Index, called: str, name: str, size: int, images: int | None = None) -> None:
    """Compare one shard with the index.  Raises: DatasetError where bytes or images are not as many as were written."""
    if index.shards is None:
        return
    stated = index.shards[name]
    if size != stated.bytes:
        raise DatasetError(f"{called}: {size:,} bytes, but {INDEX} says {stated.bytes:,}; cut short, or changed")
    if images is not None and images != stated.images:
        raise DatasetError(f"{called}: {plural(images, 'image')}, but {INDEX} says {stated.images:,}; changed")


def verify(folder: Path) -> Index:
    """Read every shard of an index whole and compare its SHA-256.

    Raises: DatasetError where there is no index, and naming each shard that is missing or not as it was written.
    """
    index = read_index(folder)
    if index.shards is None:
        raise DatasetError(f"{folder}: there is no {INDEX}, so there is nothing to compare the shards with")
    check_present(index, str(folder), (name for name in index.shards if (folder / name).is_file()), whole=True)
    wrong = [entry.name for entry in index.shards.values() if _sha256(folder / entry.name) != entry.sha256]
    if wrong:
        raise DatasetError(
            f"{folder}: {plural(len(wrong), 'shard')} not as written (SHA-256 differs): {several(wrong)}"
        )
    return index


def _sha256(path: Path) -> str:
    try:
        with opened(path, str(path)) as handle, open(handle, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror or error})") from error


def _text(path: Path) -> str:
    try:
        with opened(path, str(path)) as handle, open(handle, "rb", closefd=False) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise DatasetError(f"{path}: over {LARGEST:,} bytes; that is no list of names")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected UTF-8 text; byte {error.start:,} is not ({error.reason})") from error


def _names(text: str, called: str) -> tuple[str, ...]:
    """One name a line; or JSON: a list, or an object from name to number or from number to name."""
    if not called.endswith(".json"):
        names: object = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        try:
            names = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{called}: not JSON ({error})") from error
    if isinstance(names, dict):
        by_number = names if all(str(key).isdecimal() for key in names) else {v: k for k, v in names.items()
                                                                             if isinstance(v, int)}  # fmt: skip
        found = {int(number): name for number, name in by_number.items()}
        names = [found.get(i) for i in range(len(found))] if len(found) == len(names) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() and name for name in names):
        raise DatasetError(f"{called}: expected the names of the classes, from number 0 on")
    if len(set(names)) != len(names):
        raise DatasetError(f"{called}: {several(sorted({n for n in names if names.count(n) > 1}))} is there twice")
    return tuple(names)
