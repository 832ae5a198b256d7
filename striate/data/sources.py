"""From what was typed (a name, a folder, a manifest) to a data set.

    digits                                   inside the package
    mnist, fashion_mnist, cifar10, cifar100  the original files, in a folder of that name or directly in the data folder
    path/to/folder                           one folder a class, divided or not; or a metadata.csv | .jsonl with labels
    path/to/list.csv, list.jsonl             file_name, label and, if divided, split
    path/to/train-{0000..0031}.tar           tar shards; or a folder of them (see shards/patterns.py)

The data folder is the one that is given or else the first of $STRIATE_DATA and the cache that has the files. Nothing is
downloaded unless that was asked for.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs

from striate.data import cifar, digits, idx
from striate.data.dataset import Dataset, Split
from striate.data.decode import Limits
from striate.data.download import Progress, catalogue, fetch_dataset
from striate.data.folder import folder_name, list_folder
from striate.data.listing import Color, Listing, for_evaluation, for_training
from striate.data.manifest import READERS, list_manifest, list_manifests, manifests_in
from striate.data.shards.listing import list_folder_of_shards, list_shards
from striate.data.shards.patterns import is_pattern, shards_in, short_name, whole
from striate.data.split import Rule, complete, lacking
from striate.data.wording import plural, several
from striate.errors import DatasetError, UnknownName, suggest

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
ENVIRONMENT = "STRIATE_DATA"
TORCHVISION = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Known:
    """A data set that has a name."""

    name: str
    size: int  # bytes to download; 0 for what is inside the package
    terms: str
    folder: Path | None  # where its files are, if they are

    def __str__(self) -> str:
        """One line."""
        where = f"in {self.folder}" if self.folder else f"not here, {self.size / 1e6:,.0f} MB to download"
        return f"{self.name:<14} {where if self.size else 'inside the package'}  ({self.terms})"


def open_dataset(
    source: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    val_share: float = 0.1,
    test_share: float | None = None,
    group_by: str | None = None,
    seed: int = 0,
    background: Color = WHITE,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The data set, ready for training: with the splits it has and those that were set apart from them (see split.py).

    >>> digits = open_dataset("digits")
    >>> {role: len(split) for role, split in digits.splits.items()}
    {'train': 1288, 'val': 149, 'test': 360}

    Raises: UnknownName, saying what there is and where it looked; DatasetError where the data can't be used as they
    are; Offline where a download was asked for and failed; UsageError for shares or a `group_by` that can't be.
    """
    rule = Rule(val=val_share, test=test_share, group_by=group_by, seed=seed)
    if source not in NAMES:
        return for_training(look(source, download=download), rule, background, limits or Limits())
    published = _named(source, data_dir, download, progress)
    splits, said = complete(source, published.splits, published.classes, rule)
    return replace(published, splits=splits, notes=(*published.notes, *said))


def open_for_evaluation(
    source: str,
    classes: Sequence[str],
    *,
    role: str = "test",
    data_dir: Path | None = None,
    download: bool = False,
    background: Color = WHITE,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """One split of a data set, labelled in the order of `classes` (a run's), which stay as they are.

    An undivided folder or manifest is taken as a whole. To evaluate on the images that a training set apart from such a
    folder, open it as the training did (`open_dataset` with the same arguments) and take its split.

    Raises: as `open_dataset`; DatasetError for a class that is not among `classes`, and where there is no such split.
    """
    if source not in NAMES:
        return for_evaluation(look(source, download=download), role, classes, background, limits or Limits())
    published = _named(source, data_dir, download, progress)
    return aligned(replace(published, splits={role: published.split(role)}), classes)


def look(source: str, *, download: bool = False) -> Listing:
    """What a folder, a manifest or tar shards name; no image is opened.

    Raises: UnknownName, DatasetError; Offline for shards that lie elsewhere, unless `download` lets them be fetched.
    """
    path = Path(source)
    if source and path.is_dir():
        if parts := manifests_in(path):
            return list_manifests(path, parts, folder_name(path))
        if shards := shards_in(path):
            return list_folder_of_shards(path, shards)
        return list_folder(path)
    if is_pattern(source):
        return list_shards(source, download=download)
    endings = " or ".join((*READERS, ".tar"))
    if path.is_file():
        if path.suffix.lower() in READERS:
            return list_manifest(path)
        raise DatasetError(f"{path}: one file; expected a folder of images, or a list of them ending in {endings}")
    if source and path.exists():
        raise DatasetError(f"{path}: neither a folder nor a plain file")
    beside = _names_in(path.parent)
    if os.sep in source or path.suffix.lower() in READERS:
        raise DatasetError(
            f"{source}: there is nothing of that name, seen from {Path.cwd()}{suggest(path.name, beside)}"
        )
    near = suggest(source, (*NAMES, *beside), f"the names are {', '.join(NAMES)}")
    raise UnknownName(f"no data set is called {source!r}, and no folder or list in {Path.cwd()}{near}")


def located(source: str) -> str:
    """The same data, as they are found from another working directory: a name, an address, or a whole path."""
    if source in NAMES:
        return source
    if Path(source).exists():
        return str(Path(source).resolve())
    return whole(source) if is_pattern(source) else source


def called(source: str) -> str:
    """What the data are called: a name as it is, and no folder of the user's machine."""
    return short_name(source) if source not in NAMES and is_pattern(source) else Path(source).name


def aligned(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The same images, labelled in the order of `classes`: by name, never by position.

    Raises: DatasetError naming the classes of the data set that are not among `classes`.
    """
    number = {name: i for i, name in enumerate(classes)}
    if unknown := [name for name in dataset.classes if name not in number]:
        raise DatasetError(
            f"{dataset.name} has {plural(len(unknown), 'class')} that the network does not know: {several(unknown)}"
            f"{suggest(unknown[0], classes)}; expected some of {several(classes, 10)}"
        )
    move = np.array([number[name] for name in dataset.classes], dtype=np.int64)
    splits = {role: Split(split.images, move[split.labels], split.keys) for role, split in dataset.splits.items()}
    notes = (*dataset.notes, *lacking(splits, classes))
    return replace(dataset, classes=tuple(classes), splits=splits, notes=notes)


def places(data_dir: Path | None = None) -> tuple[Path, ...]:
    """The data folders in which a named data set is looked for; the first is the one it is downloaded into."""
    if data_dir is not None:
        return (data_dir,)
    stated = os.environ.get(ENVIRONMENT)
    cache = platformdirs.user_cache_path("striate") / "data"
    return (Path(stated).expanduser(), cache) if stated else (cache,)


def find(name: str, data_dir: Path | None = None) -> Path | None:
    """The folder in which the files of a named data set lie, if they are all there."""
    is_here = idx.is_here if name in idx.ORIGINALS else cifar.is_here
    for place in places(data_dir):
        for folder in (place / name, place, place / TORCHVISION.get(name, name)):
            if is_here(name, folder):
                return folder
    return None


def place_again(name: str, data_dir: Path | None, before: object) -> Path | None:
    """Where to open a data set that was opened `before` in a data folder: as asked, as usual, or there again."""
    if data_dir is None and name in catalogue() and isinstance(before, str) and find(name) is None:
        return Path(before) if find(name, Path(before)) else None
    return data_dir


def place_found(name: str, data_dir: Path | None = None) -> str | None:
    """The data folder in which a named data set is found, for `place_again`."""
    here = (place for place in places(data_dir) if name in catalogue() and find(name, place))
    return next((str(place.resolve()) for place in here), None)


def fetch_named(name: str, data_dir: Path | None = None, *, progress: Progress | None = None) -> Path:
    """The folder of a named data set, downloaded if it is not there.  Raises: UnknownName; as `fetch_dataset`."""
    if name not in catalogue():
        inside = "it is inside the package, ready to use" if name == "digits" else "it is not one of those with a name"
        raise UnknownName(
            f"{name!r} can't be fetched: {inside}; {several(catalogue())} can{suggest(name, catalogue())}"
        )
    folder = find(name, data_dir)
    if folder is None:
        folder = places(data_dir)[0] / name
        fetch_dataset(name, folder, progress=progress)
    return folder


def known(data_dir: Path | None = None) -> tuple[Known, ...]:
    """The data sets that have a name."""
    entries = catalogue()
    return (
        Known("digits", 0, digits.TERMS, None),
        *(Known(name, entries[name].size, entries[name].terms, find(name, data_dir)) for name in NAMES[1:]),
    )


def _named(name: str, data_dir: Path | None, download: bool, progress: Progress | None) -> Dataset:
    """A data set with the splits with which it was published."""
    shadow = f"There is also a folder called {name!r} here; to open that one, write ./{name}."
    notes = (shadow,) if Path(name).is_dir() else ()
    if name == "digits":
        return Dataset(name, digits.CLASSES, digits.load(), 1, notes)
    folder = fetch_named(name, data_dir, progress=progress) if download else find(name, data_dir)
    if folder is None:
        entry = catalogue()[name]
        looked = " and ".join(f"{place / name} ({place})" for place in places(data_dir))
        raise DatasetError(
            f"{name}: {several(one.name for one in entry.files)} not found in {looked}; ask for the download "
            f"({entry.size / 1e6:,.0f} MB), or say where they are: a data folder, or {ENVIRONMENT}"
        )
    classes, splits, said = (idx if name in idx.ORIGINALS else cifar).load(name, folder)
    channels = 1 if name in idx.ORIGINALS else 3
    return Dataset(name, classes, splits, channels, (*notes, f"Read from {folder}.", *said))


def _names_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
