"""A list of images with their labels: CSV with a header, or one JSON object a line.

    file_name,label,split              {"file_name": "a/1.jpg", "label": "cat", "split": "train"}
    a/1.jpg,cat,train

`split` may be left out; other columns are allowed and not used. Paths are relative to the manifest's folder. They may
lead anywhere (`..`, absolute, through links), for the list is the user's own word; what is there must be a plain file.
"""

import csv
import io
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from striate.data.dataset import ROLES
from striate.data.folder import KINDS, SPLIT_NAMES
from striate.data.listing import Listing, in_order
from striate.data.split import UNDIVIDED
from striate.data.wording import plural, several
from striate.errors import DatasetError, suggest

COLUMNS = ("file_name", "label", "split")
SHOWN = 10  # problems that an error names, of however many there are
Row = tuple[int, Mapping[str, str]]  # line number, fields by column


def manifests_in(root: Path) -> dict[str, Path]:
    """Lists with labels called metadata.csv or .jsonl: the folder's own (UNDIVIDED), or one in each split's folder.

    Raises: DatasetError where a folder holds both.
    """
    if (whole := _metadata(root)) and _has_labels(whole):
        return {UNDIVIDED: whole}
    folders = sorted(path for path in root.iterdir() if path.name.lower() in SPLIT_NAMES and path.is_dir())
    parts = {SPLIT_NAMES[path.name.lower()]: _metadata(path) for path in folders}
    return {role: path for role, path in parts.items() if path and _has_labels(path)}


def list_manifest(path: Path) -> Listing:
    """The images of one list, their roles as its own column says.

    Raises: DatasetError with up to ten lines and what is wrong in them.
    """
    return list_manifests(path.parent, {UNDIVIDED: path}, path.name)


def list_manifests(root: Path, parts: Mapping[str, Path], name: str) -> Listing:
    """The images of the lists of several roles, below one root; `name` is the data set's.

    Raises: as `list_manifest`.
    """
    files: dict[str, dict[str, list[str]]] = {}
    problems: list[str] = []
    unused: set[str] = set()
    source = root if len(parts) > 1 else next(iter(parts.values()))
    first: dict[str, tuple[str, str]] = {}  # file -> where it was first named, and its label
    for role, path in parts.items():
        prefix = "" if path.parent == root else f"{path.parent.name}/"
        where = "line" if len(parts) == 1 else f"{prefix}{path.name} line"
        undivided = 0
        for line, fields in READERS[path.suffix.lower()](path, _text(path)):
            unused |= set(fields) - set(COLUMNS)
            try:
                image, label, own_role = _image(path.parent, fields, role)
                earlier, its_label = first.setdefault(os.path.normpath(prefix + image), (f"{where} {line}", label))
                if earlier != f"{where} {line}":
                    other = "" if its_label == label else f" as {its_label!r}"
                    raise ValueError(f"{image!r} was already named in {earlier}{other}")
            except ValueError as error:
                problems.append(f"{where} {line}: {error}")
                continue
            undivided += own_role == UNDIVIDED
            files.setdefault(own_role, {}).setdefault(label, []).append(prefix + image)
        _check_columns(path, unused)
        if undivided and len(files) > 1:
            problems.append(f"{plural(undivided, 'row')} without a split, while others have one")
    if problems:
        more = f"; and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
        shown = "; ".join(problems[:SHOWN])
        raise DatasetError(f"{source}: {plural(len(problems), 'problem')}: {shown}{more}")
    if not files:
        raise DatasetError(f"{source}: it names no image; expected rows of {several(COLUMNS)} (split may be left out)")
    return Listing(
        root=root,
        name=name,
        files={
            role: {label: tuple(files[role][label]) for label in in_order(files[role])}
            for role in (*ROLES, UNDIVIDED)
            if role in files
        },
        notes=(f"Columns of the manifest that are not used: {several(sorted(unused))}.",) if unused else (),
    )


def _image(folder: Path, fields: Mapping[str, str], role: str) -> tuple[str, str, str]:
    """File name, label and role of a row.  Raises: ValueError saying what is wrong with it."""
    name, label, split = (fields.get(column, "") for column in COLUMNS)
    if not name:
        raise ValueError("no file_name")
    if not label.strip():
        raise ValueError(f"no label for {name!r}")
    if split.strip() and role == UNDIVIDED:
        if split.strip().lower() not in SPLIT_NAMES:
            raise ValueError(f"split {split!r}; expected train, val or test")
        role = SPLIT_NAMES[split.strip().lower()]
    try:
        label.encode()
        mode = (folder / name).stat().st_mode
    except FileNotFoundError as error:
        raise ValueError(f"{name!r} is not there") from error
    except OSError as error:
        raise ValueError(f"{name!r}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{name!r} or its label is not text that a file system takes ({error})") from error
    if not stat.S_ISREG(mode):
        raise ValueError(f"{name!r} is {KINDS.get(stat.S_IFMT(mode), 'a folder')}, not a file")
    return name, label.strip(), role


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: can't be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected UTF-8 text; byte {error.start:,} is not ({error.reason})") from error


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not header:
                header = [cell.strip() for cell in cells]
                _check_header(path, header)
            elif cells:
                if len(cells) != len(header):
                    raise DatasetError(
                        f"{path}: line {line}: {plural(len(cells), 'field')}, but the header has {len(header)}; a name "
                        'with a comma needs quotes: "a, b.jpg"'
                    )
                yield line, dict(zip(header, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}: line {max(reader.line_num, line)}: not CSV ({error})") from error


def _check_header(path: Path, header: Sequence[str]) -> None:
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DatasetError(f"{path}: line 1: the column {several(twice)} is there twice")
    if absent := [name for name in COLUMNS[:2] if name not in header]:
        sign = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), "")
        hint = f"; it seems to be separated by {sign!r}, expected commas" if sign else ""
        near = "".join(suggest(name, absent) for name in header if not sign)
        raise DatasetError(
            f"{path}: line 1: no column {several(absent)}; the header is {several(header, 10)}{hint}{near}"
        )


def _check_columns(path: Path, unused: set[str]) -> None:
    """A column that is nearly called like one that counts is a mistake, not a column of no interest."""
    for name in sorted(unused):
        if near := get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.8):
            raise DatasetError(f"{path}: a column is called {name!r}; did you mean {near[0]!r}?")


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}: line {line}: not JSON ({error}); expected one object a line") from error
        if not isinstance(value, dict):
            raise DatasetError(f"{path}: line {line}: {content[:40]!r}; expected an object with file_name and label")
        for name in COLUMNS:
            if isinstance(value.get(name), bool) or not isinstance(value.get(name), str | int | None):
                raise DatasetError(f"{path}: line {line}: {name} is {value[name]!r:.40}; expected text")
        yield line, {name: "" if cell is None else str(cell) for name, cell in value.items()}


READERS: Mapping[str, Callable[[Path, str], Iterator[Row]]] = {".csv": _csv_rows, ".jsonl": _json_rows}


def _metadata(folder: Path) -> Path | None:
    found = [path for ending in READERS if (path := folder / f"metadata{ending}").is_file()]
    if len(found) > 1:
        raise DatasetError(f"{folder}: both {found[0].name} and {found[1].name}; remove one, or name the one to use")
    return found[0] if found else None


def _has_labels(path: Path) -> bool:
    """Whether a list is one of labels; some only describe the images."""
    first = next(iter(_text(path).split("\n", 1)))
    if path.suffix == ".csv":
        return "label" in (cell.strip(' "\r') for cell in first.split(","))
    return '"label"' in first
