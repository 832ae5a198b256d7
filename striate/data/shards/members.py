"""What is in a tar file, told by its headers alone; nothing is ever unpacked.

A member of an uncompressed tar file is a stretch of it: offset and size suffice to read it, in any order. The headers
come from whoever made the file, so each is believed only as far as the file itself goes, and the end has to be marked
as an end: `tarfile` takes the first header that it can't read for the end, and what follows would be lost in silence.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from striate.data.decode import printable
from striate.errors import DatasetError

BLOCK = tarfile.BLOCKSIZE  # bytes
LONGEST_HEADER = 1 << 20  # bytes; names and notes of a member, which stand in front of it
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_DAMAGE = (tarfile.TarError, ValueError, LookupError, ArithmeticError, RecursionError, EOFError)


class Member(NamedTuple):
    """A plain file in a tar file; `why_not` says why something else is passed over."""

    name: str  # as text; bytes that are not UTF-8 are surrogates
    offset: int  # of its first byte in the tar file
    size: int  # in bytes
    why_not: str = ""


def members_of(path: Path, called: str = "") -> Iterator[Member]:
    """The members of a tar file in their order; `called` is what errors call it.

    Raises: DatasetError for what is no tar file, is compressed, damaged or cut short.
    """
    called = called or printable(str(path))
    try:
        with opened(path, called) as handle:
            yield from members_in(handle, called)
    except OSError as error:
        raise DatasetError(f"{called}: can't be read ({error.strerror or error})") from error


class opened:
    """A descriptor of a plain file; a pipe or a device of that name is never waited for."""

    def __init__(self, path: Path, called: str) -> None:
        self.path, self.called = path, called

    def __enter__(self) -> int:
        """Raises: DatasetError, OSError."""
        self.handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(self.handle).st_mode):
            os.close(self.handle)
            raise DatasetError(f"{self.called}: expected a tar file; it is not a plain file")
        return self.handle

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


class _Headers:
    """The file as `tarfile` sees it: contents are skipped, so a long read is a header that lies."""

    def __init__(self, handle: int) -> None:
        self.handle, self.at = handle, 0

    def tell(self) -> int:
        return self.at

    def seek(self, to: int) -> int:
        self.at = to
        return to

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header says that {size:,} bytes of names follow")
        found = os.pread(self.handle, size, self.at)
        self.at += len(found)
        return found


def members_in(handle: int, called: str) -> Iterator[Member]:
    """As `members_of`, of a file that is open."""
    length = os.fstat(handle).st_size
    first = os.pread(handle, 6, 0)
    if tool := next((tool for sign, tool in COMPRESSED.items() if first.startswith(sign)), None):
        raise DatasetError(
            f"{called}: compressed, so that no image in it can be read by itself; unpack it with {tool} (images are "
            "compressed already: it grows by little)"
        )
    try:
        tar = tarfile.TarFile(fileobj=_Headers(handle), mode="r", errors="surrogateescape")  # type: ignore[arg-type]
        begin = -1
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
            if info.size < 0 or info.offset_data <= begin or info.offset_data + info.size > length:
                raise tarfile.ReadError("unexpected end of data")
            begin = info.offset_data
            yield Member(info.name.removeprefix("./"), info.offset_data, info.size, _why_not(info))
        end = tar.offset
    except _DAMAGE as error:
        reason = "cut short" if "end of data" in str(error) or "truncated" in str(error) else "damaged"
        raise DatasetError(f"{called}: {reason}, or no tar file ({printable(str(error))})") from error
    _check_end(handle, end, length, called)


def _why_not(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "a folder"
    if info.issym() or info.islnk():
        return "a link, which is never followed"
    if not info.isreg() or info.sparse is not None:
        return "not a plain file"
    return ""


def _check_end(handle: int, end: int, length: int, called: str) -> None:
    """The archive has to end with zeros, and nothing else may follow."""
    mark = os.pread(handle, BLOCK, end)
    if len(mark) < BLOCK:
        raise DatasetError(
            f"{called}: cut short: it ends at byte {length:,} without the mark that ends a tar file; copy it again"
        )
    if any(mark):
        raise DatasetError(f"{called}: damaged: at byte {end:,} there is no header; expected a member's, or the end")
    for at in range(end, length, 1 << 20):
        if any(os.pread(handle, 1 << 20, at)):
            raise DatasetError(
                f"{called}: after its end at byte {end:,} something follows that would not be read; were several tar "
                "files joined? Keep them apart"
            )
