"""Shards that lie elsewhere: fetched one after the other through the webdataset library, a bounded number of them kept.

    https://host/train-{0000..0031}.tar     gs://bucket/train-{0000..0031}.tar     (what webdataset's gopen opens)

A set that is too large for one disk is never here as a whole. So an epoch draws from a few shards at a time (TOGETHER),
in an order that depends on seed and epoch alone, and each shard is fetched once an epoch. What was fetched lies in a
folder of the cache and goes when room is needed, the longest unused first; several processes share it.

`pipe:` addresses would be run by a shell, and a recipe may come from anybody: they are refused.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from striate import durable
from striate.data.decode import printable
from striate.data.shards.index import INDEX, LARGEST, Entry, Index, parse_index
from striate.data.shards.listing import Opened, reader
from striate.data.shards.members import members_in, opened
from striate.data.wording import several
from striate.errors import DatasetError, EnvironmentFault, MissingExtra, Offline, UsageError

SCHEMES = ("https", "http", "gs", "sftp", "ftps", "scp", "hf", "ais")
ROOM = "STRIATE_SHARDS_GB"
TOGETHER = 4  # shards that an epoch draws from at a time
CHUNK = 1 << 20  # bytes


def check_addresses(addresses: Sequence[str]) -> None:
    """Raises: UsageError for an address of a kind that is not fetched."""
    if strange := [name for name in addresses if urlsplit(name).scheme.lower() not in SCHEMES]:
        raise UsageError(
            f"{several(strange, 1)}: expected a file, or an address that begins with one of {', '.join(SCHEMES)}; "
            "pipe: and the like would run commands and are refused"
        )


def open_remote(addresses: Sequence[str]) -> Iterator[Opened]:
    """The headers of shards that lie elsewhere; each is fetched once for it, unless it is kept.

    Raises: MissingExtra without webdataset; Offline where one can't be fetched; DatasetError for one that is damaged.
    """
    store = Store.here()
    indices: dict[str, Index] = {}
    for address in addresses:
        folder, _, name = address.rpartition("/")
        if folder not in indices:
            indices[folder] = index_at(folder)
        index = indices[folder]
        stated = (index.shards or {}).get(name)
        if index.shards is not None and stated is None:
            raise DatasetError(f"{address} is not listed in {folder}/{INDEX}; of another set?")
        with RemoteShard(store, address, -1, stated).open() as handle:
            members = list(members_in(handle, address))
            shard = RemoteShard(store, address, os.fstat(handle).st_size, stated)
        yield Opened(shard, address, name.removesuffix(".tar"), members, reader(shard), index)


def index_at(folder: str) -> Index:
    """shards.json beside shards that lie elsewhere; an empty index where there is none to be had."""
    try:
        with _library()(f"{folder}/{INDEX}") as stream:
            text = stream.read(LARGEST).decode("utf-8")
        return parse_index(text, f"{folder}/{INDEX}") if text.startswith("{") else Index()
    except (OSError, ValueError):  # what is missing and what can't be reached look the same from here
        return Index()


@dataclass(frozen=True)
class RemoteShard:
    """A shard that is fetched when it is needed and not kept."""

    store: "Store"
    name: str  # its address
    size: int  # bytes; -1 while that is not known
    stated: Entry | None
    together: int = TOGETHER

    @contextmanager
    def open(self) -> Iterator[int]:
        """Raises: Offline where it can't be fetched any more, DatasetError where it has changed."""
        with ExitStack() as stack:
            handle = self._handle(stack)
            size = os.fstat(handle).st_size
            if self.size not in (-1, size):
                raise DatasetError(f"{self.name} has changed: {size:,} bytes, {self.size:,} when it was first read")
            yield handle

    def _handle(self, stack: ExitStack) -> int:
        for _ in range(100):
            try:
                path = self.store.fetched(self.name, self.stated)
                handle = stack.enter_context(opened(path, self.name))
                os.utime(path)  # the longest unused goes first
                return handle
            except FileNotFoundError:  # another process needed the room
                continue
            except OSError as error:
                raise DatasetError(f"{self.name}: {error.strerror or error}") from error
        raise DatasetError(f"{self.name}: fetched again and again, and gone each time; {ROOM} gives more room")


@dataclass(frozen=True)
class Store:
    """A folder of fetched shards that never holds much more than `room` bytes."""

    folder: Path
    room: int

    @classmethod
    def here(cls) -> "Store":
        """In the user's cache; $STRIATE_SHARDS_GB gigabytes, by default half of what is free, or in use by it now.

        Raises: UsageError for a room that is no number.
        """
        folder = platformdirs.user_cache_path("striate") / "shards"
        durable.make_folder(folder)
        stated = os.environ.get(ROOM, "")
        try:
            room = int(float(stated) * 1e9) if stated else 0
        except ValueError as error:
            raise UsageError(f"{ROOM}={stated!r}: expected a number of gigabytes") from error
        if not room:
            room = (shutil.disk_usage(folder).free + sum(size for _, size, _ in _kept(folder))) // 2
        return cls(folder, room)

    def fetched(self, address: str, stated: Entry | None) -> Path:
        """Where a shard lies, fetched if it is not there. Of several who need it one fetches, the others wait.

        Raises: Offline where that fails; DatasetError where it is not as its index says.
        """
        name = hashlib.sha256(address.encode()).hexdigest()[:32]
        path = self.folder / f"{name}.tar"
        if _is_there(path, stated):
            return path
        with _waiting(self.folder / f"{name}.lock"):
            if not _is_there(path, stated):
                self._fetch(address, path, stated)
        return path

    def _fetch(self, address: str, path: Path, stated: Entry | None) -> None:
        self._make_room(stated.bytes if stated else 0)
        found, size, library = hashlib.sha256(), 0, _library()
        with durable.replacing(path) as file:
            try:
                with library(address) as stream:
                    while chunk := stream.read(CHUNK):
                        file.write(chunk)
                        found.update(chunk)
                        size += len(chunk)
            except (OSError, ValueError, ImportError) as error:
                raise Offline(f"{address} could not be fetched ({printable(_reason(error))})") from error
            if stated and (size, found.hexdigest()) != (stated.bytes, stated.sha256):
                raise DatasetError(
                    f"{address}: {size:,} bytes came that are not those of {INDEX} ({stated.bytes:,}, another SHA-256)"
                )
        self._make_room(0, sparing=path)

    def _make_room(self, wanted: int, sparing: Path | None = None) -> None:
        kept = sorted(_kept(self.folder))
        used = sum(size for _, size, _ in kept) + wanted
        for _, size, path in kept:
            if used <= self.room:
                return
            if path != sparing:
                with suppress(OSError):
                    path.unlink()
                used -= size


def _is_there(path: Path, stated: Entry | None) -> bool:
    """Whether the shard is kept, and as long as its index says now."""
    try:
        return stated is None or path.stat().st_size == stated.bytes if path.is_file() else False
    except OSError:
        return False


def _kept(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, bytes and path of each shard that is kept."""
    found = []
    for path in folder.glob("*.tar"):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return found


@contextmanager
def _waiting(path: Path) -> Iterator[None]:
    """Hold a lock file, however long somebody else does."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EnvironmentFault(f"{path}: could not be opened ({error.strerror or error})") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _library() -> Any:
    """What opens an address.  Raises: MissingExtra."""
    try:
        from webdataset import gopen
    except ImportError as error:
        raise MissingExtra(
            "shards that lie elsewhere are fetched through the webdataset library, which is not installed: "
            "pip install 'striate[shards]'"
        ) from error
    return gopen


def _reason(error: Exception) -> str:
    """What went wrong; of a program that the library ran, its name and exit code."""
    if isinstance(error, FileNotFoundError):
        return f"the program {error.filename} is not installed"
    ended = re.match(r"\W*'?([\w.-]+).*: exit (\d+)", str(error), re.DOTALL)
    return f"{ended[1]} ended with exit code {ended[2]}" if ended else str(error)
