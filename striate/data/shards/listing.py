"""From tar shards to the images, labels and roles that they hold: the same `Listing` that a folder gives.

Where `striate data shards` wrote them, each image has the name that it had in the folder, so it is set apart, drawn and
augmented as there. Elsewhere it is called by its shard and its member.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.dataset import ROLES
from striate.data.decode import Limits, printable
from striate.data.folder import SPLIT_NAMES, folder_name, is_image_name
from striate.data.listing import Color, Ignored, Listing, in_order
from striate.data.shards.images import LocalShard, Shard, ShardImages
from striate.data.shards.index import Index, check_entry, check_present, read_index
from striate.data.shards.members import Member, members_of
from striate.data.shards.patterns import expanded, is_address, role_of, short_name
from striate.data.shards.samples import Found, Read, has_labels, labelled_samples, packed_folder, plain
from striate.data.split import UNDIVIDED
from striate.data.wording import plural, several
from striate.errors import DatasetError, Offline, suggest

SHOWN = 10  # problems that an error names, of however many there are


@dataclass(frozen=True)
class Opened:
    """A shard and what its headers say."""

    shard: Shard
    place: str  # path or address
    stem: str  # by which its images are called where they have no names of their own
    members: Sequence[Member]
    read: Read
    index: Index


def list_shards(source: str, *, download: bool = False) -> Listing:
    """The images of the tar files that a pattern names; their headers and labels are read, no image.

    With `download`, the pattern may name addresses (see remote.py).

    Raises: DatasetError for shards that are missing, damaged, cut short or not as their index says, and for images
    without a label or with the same name.
    """
    names = expanded(source)
    if any(map(is_address, names)):
        from striate.data.shards.remote import check_addresses, open_remote

        if not all(map(is_address, names)):
            raise DatasetError(f"{source}: some shards are on this machine and some are not; expected all or none")
        check_addresses(names)
        if not download:
            raise Offline(f"{source} lies elsewhere; it is fetched where that is asked for: --download")
        return listing_of(source, short_name(source), open_remote(names))
    return listing_of(source, short_name(source), _local([Path(name) for name in names], whole=False))


def list_folder_of_shards(root: Path, paths: Sequence[Path]) -> Listing:
    """The images of all tar files of a folder.  Raises: as `list_shards`."""
    return listing_of(str(root), folder_name(root), _local(paths, whole=True))


def images_in(paths: Sequence[Path]) -> ShardImages:
    """The images of some tar files in the order of their members, whatever their labels.  Raises: DatasetError."""
    shards: list[Shard] = []
    names: list[str] = []
    where: list[tuple[int, int, int]] = []
    for path in paths:
        one = open_local(path, Index())
        for member in plain(one.members, Found()):
            if is_image_name(member.name):
                where.append((len(shards), member.offset, member.size))
                names.append(member.name)
        shards.append(one.shard)
    return ShardImages(tuple(shards), tuple(names), np.array(where, np.int64).reshape(-1, 3))


def listing_of(source: str, name: str, shards: Iterable[Opened]) -> Listing:
    """One listing of what all shards hold.  Raises: as `list_shards`."""
    taken = _Taken(source)
    for shard in shards:
        taken.add(shard)
    return taken.listing(name)


class _Taken:
    """What was found so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.shards: list[Shard] = []
        self.of: dict[str, tuple[int, Member]] = {}  # key -> shard and member
        self.files: dict[str, dict[str, list[str]]] = {}
        self.problems: list[str] = []
        self.ignored: list[Ignored] = []
        self.numbered = False

    def add(self, opened: Opened) -> None:
        found = Found()
        members = plain(opened.members, found)
        labelled = has_labels(members)
        if labelled:
            labelled_samples(members, opened.read, opened.index.classes, found)
        else:
            packed_folder(members, found)
        called = opened.shard.name
        stated = (opened.index.shards or {}).get(Path(opened.place).name)
        if stated and stated.images != len(found.samples) and not found.problems:
            check_entry(opened.index, called, stated.name, stated.bytes, len(found.samples))
        self.problems += [f"{called}: {problem}" for problem in found.problems]
        self.ignored += [Ignored(f"{called}: {printable(name)}", why) for name, why in found.ignored]
        self.numbered |= found.numbered
        role = role_of(opened.place)
        number = len(self.shards)
        self.shards.append(opened.shard)
        ours = opened.index.shards is not None or not labelled
        for sample in found.samples:
            key = sample.key if ours else f"{opened.stem}/{sample.key}"
            label, own_role = sample.label, role
            if not labelled and label.lower() in SPLIT_NAMES and role == UNDIVIDED and key.count("/") > 1:
                own_role, label = SPLIT_NAMES[label.lower()], key.split("/")[1]
            before = self.of.setdefault(key, (number, sample.image))
            if before != (number, sample.image):
                self.problems.append(f"{called}: {printable(key)!r} is also in {self.shards[before[0]].name}")
                continue
            self.files.setdefault(own_role, {}).setdefault(label, []).append(key)

    def listing(self, name: str) -> Listing:
        if not self.problems and not self.of:
            raise DatasetError(f"{self.source}: no image in {plural(len(self.shards), 'shard')}")
        if UNDIVIDED in self.files and len(self.files) > 1:
            plain_ones = sum(map(len, self.files[UNDIVIDED].values()))
            self.problems.append(
                f"{plural(plain_ones, 'image')} in shards whose names say no role (train, val, test), while others do"
            )
        if self.problems:
            more = f"; and {len(self.problems) - SHOWN:,} more" if len(self.problems) > SHOWN else ""
            shown = "; ".join(printable(problem) for problem in self.problems[:SHOWN])
            raise DatasetError(f"{self.source}: {plural(len(self.problems), 'problem')}: {shown}{more}")
        files = {
            role: {label: tuple(sorted(self.files[role][label])) for label in in_order(self.files[role])}
            for role in (*ROLES, UNDIVIDED)
            if role in self.files
        }
        images = sum(len(keys) for labels in files.values() for keys in labels.values())
        notes = [f"Read from {plural(len(self.shards), 'shard')} with {plural(images, 'image')}."]
        if self.numbered:
            notes.append("The labels are numbers: classes.txt beside the shards, one name a line, would name them.")
        return Listing(
            root=Path(self.source), name=name, files=files, ignored=tuple(self.ignored), notes=tuple(notes),
            within=images_within(tuple(self.shards), self.of),
        )  # fmt: skip


def images_within(
    shards: tuple[Shard, ...], of: dict[str, tuple[int, Member]]
) -> Callable[[Sequence[str], Color, Limits], ShardImages]:
    """The function that makes images of the keys of a listing."""

    def made(keys: Sequence[str], background: Color, limits: Limits) -> ShardImages:
        where = [(of[key][0], of[key][1].offset, of[key][1].size) for key in keys]
        names = tuple(of[key][1].name for key in keys)
        return ShardImages(shards, names, np.array(where, np.int64).reshape(-1, 3), background, limits)

    return made


def _local(paths: Sequence[Path], whole: bool) -> Iterable[Opened]:
    for folder in sorted({path.parent for path in paths}):
        names = [path.name for path in paths if path.parent == folder]
        if missing := [name for name in names if not (folder / name).is_file()]:
            beside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            near = suggest(missing[0], beside)
            raise DatasetError(f"{plural(len(missing), 'shard')} not there in {folder}: {several(missing)}{near}")
        index = read_index(folder)
        check_present(index, str(folder), names, whole)
        for name in names:
            yield open_local(folder / name, index)


def open_local(path: Path, index: Index) -> Opened:
    """Read the headers of one shard.  Raises: DatasetError."""
    called = printable(str(path))
    try:
        status = path.stat()
    except OSError as error:
        raise DatasetError(f"{called}: can't be read ({error.strerror or error})") from error
    check_entry(index, called, path.name, status.st_size)
    shard = LocalShard(path, status.st_size, status.st_mtime_ns, called)
    return Opened(shard, str(path), path.stem, list(members_of(path, called)), reader(shard), index)


def reader(shard: Shard) -> Read:
    """The function that reads a member of a shard."""

    def read(member: Member) -> bytes:
        with shard.open() as handle:
            return os.pread(handle, member.size, member.offset)

    return read
