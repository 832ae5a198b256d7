"""Fetch the original files of a data set, or published weights, when somebody asked for it.

    catalogue.toml -> name.part (grows, and is gone on with after a break) -> length and SHA-256 -> rename to name

A mirror is believed in nothing: not its length, its type, its redirects or its bytes. Whatever is under its final name
has been compared with the hash in the catalogue; a reader never sees half a file. Of several processes one fetches,
the others wait and find it there. Where a publisher states no length, the mirror's is taken. Where it states no hash,
the first file that comes is believed: its SHA-256 is written beside it, in name.sha256 as `sha256sum` has it, and from
then on any other file is refused.
"""

import hashlib
import http.client
import os
import re
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from http.client import HTTPMessage, HTTPResponse
from importlib.resources import files
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from striate import durable
from striate.data.wording import several
from striate.errors import Busy, DatasetError, EnvironmentFault, Offline, UnknownName, suggest

CHUNK = 1 << 18
TRIES = 3  # of each mirror, as long as each brings something
LARGEST = 1 << 32  # bytes, of a file whose length the publisher does not state
SLOWEST = 1024  # bytes a second, over a time-out: what is slower counts as standing still
Progress = Callable[[str, int, int], None]  # file, bytes that are there, bytes in all


@dataclass(frozen=True)
class Original:
    """A file as it was published."""

    name: str
    size: int | None  # bytes
    sha256: str  # or its first digits, as they stand in the names of some files
    mirrors: tuple[str, ...]  # complete addresses
    md5: str = ""  # where only this is published
    noted: Path | None = None  # the file that `sha256` was written down in when this one first came

    def __str__(self) -> str:
        known = [f"SHA-256 {self.sha256[:16]}..."] if self.sha256 else [f"MD5 {self.md5}"] if self.md5 else []
        return ", ".join(known + ([f"{self.size:,} bytes"] if self.size is not None else []))

    @property
    def compared(self) -> str:
        """What the bytes of a file are compared with, in words."""
        if self.noted:
            return f"other bytes than those that came first, whose SHA-256 is in {self.noted}; remove it to accept them"
        return f"other bytes than the original's ({'SHA-256' if self.sha256 else 'MD5'})"

    def is_at(self, path: Path) -> bool:
        """Whether the file at `path` is this one, as far as its publisher says how to tell."""
        return (
            (self.size is None or path.stat().st_size == self.size)
            and (not self.sha256 or _digest(path, "sha256").startswith(self.sha256))
            and (not self.md5 or _digest(path, "md5") == self.md5)
        )


@dataclass(frozen=True)
class Entry:
    """A data set that can be downloaded."""

    files: tuple[Original, ...]
    terms: str  # whose it is, and on which terms

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(one.size or 0 for one in self.files)


@cache
def catalogue() -> dict[str, Entry]:
    """What is in catalogue.toml, by name."""
    table = tomllib.loads((files("striate.data") / "catalogue.toml").read_text(encoding="utf-8"))
    return {
        name: Entry(
            tuple(
                Original(file, facts["bytes"], facts["sha256"], tuple(mirror + file for mirror in entry["mirrors"]))
                for file, facts in entry["files"].items()
            ),
            entry["terms"],
        )
        for name, entry in table.items()
    }


def fetch_dataset(
    name: str, folder: Path, *, timeout_s: float = 30, progress: Progress | None = None
) -> tuple[Path, ...]:
    """All files of a data set, in the folder; those that are there and right are not fetched again.

    Raises: as `fetch`; UnknownName for a data set that is not in the catalogue.
    """
    if name not in catalogue():
        raise UnknownName(
            f"no data set called {name!r} can be downloaded{suggest(name, catalogue(), several(catalogue()))}"
        )
    return tuple(fetch(one, folder, timeout_s=timeout_s, progress=progress) for one in catalogue()[name].files)


def fetch(
    wanted: Original, folder: Path, *, timeout_s: float = 30, patience_s: float = 3600, progress: Progress | None = None
) -> Path:
    """The file, complete and compared with its hash; where none is published, with that of the file that came first.

    `timeout_s` bounds each silence of a mirror, `patience_s` the wait for another process that fetches into the folder.

    Raises: Offline naming the file, what each mirror did, and where to put the file by hand; DatasetError where another
    file of that name lies there, which is left alone; EnvironmentFault for the disk; Busy when the patience is over.
    """
    final = folder / wanted.name
    durable.make_folder(folder)
    with _turn(folder, patience_s):
        wanted = _as_noted(wanted, final)
        if final.exists():
            if wanted.is_at(final):
                _note(wanted, final)
                return final
            if wanted.noted:
                raise DatasetError(f"{final}: {wanted.compared}, or move the file away to download it again")
            raise DatasetError(
                f"{final}: another file than the original ({wanted}); it was left alone: move it away to download the "
                "original"
            )
        part = folder / f"{wanted.name}.part"
        if part.is_symlink():
            raise EnvironmentFault(f"{part}: a link, through which nothing is written; remove it")
        try:
            _bring(wanted, part, timeout_s, progress or (lambda file, done, total: None))
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(final)
        except OSError as error:
            raise EnvironmentFault(
                f"{part}: could not be written ({error.strerror or error}); what is there is kept"
            ) from error
        _note(wanted, final)
    return final


def _as_noted(wanted: Original, final: Path) -> Original:
    """The same file with the hash that was written down when it first came, where its publisher states none."""
    note = final.with_name(f"{final.name}.sha256")
    if wanted.sha256 or wanted.md5 or not note.exists():
        return wanted
    try:
        digits = re.match(r"[0-9a-f]{64}\b", note.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        raise EnvironmentFault(f"{note}: could not be read ({error.strerror or error})") from error
    if digits is None:
        raise DatasetError(f"{note}: does not begin with a SHA-256, 64 digits; remove it to have it written anew")
    return replace(wanted, sha256=digits[0], noted=note)


def _note(wanted: Original, final: Path) -> None:
    """Write down the hash of a file whose publisher states none."""
    if not wanted.sha256 and not wanted.md5:
        durable.write_text(final.with_name(f"{final.name}.sha256"), f"{_digest(final, 'sha256')}  {final.name}\n")


class _Failed(Exception):
    """What a mirror did wrong; the next one is asked."""

    def __init__(self, what: str, *, stale: bool = False) -> None:
        super().__init__(what)
        self.stale = stale  # what is there is of no use to go on from


def _bring(wanted: Original, part: Path, timeout_s: float, progress: Progress) -> None:
    """Fill `part` until it is the wanted file."""
    failures: dict[str, str] = {}
    for mirror in wanted.mirrors:
        for _ in range(TRIES):
            before = _size(part)
            try:
                if wanted.size is None or before < wanted.size:
                    _append(wanted, mirror, part, before, timeout_s, progress)
                if not wanted.is_at(part):
                    raise _Failed(wanted.compared, stale=True)
                return
            except _Failed as failure:
                failures[mirror] = str(failure)
                if failure.stale:
                    part.unlink(missing_ok=True)
                if _size(part) == before or (failure.stale and not before):
                    break  # nothing gained, nothing dropped: asking again would give the same
    tried = "; ".join(f"{mirror}: {failure}" for mirror, failure in failures.items())
    size = "" if wanted.size is None else f" ({wanted.size / 1e6:,.1f} MB)"
    raise Offline(
        f"{wanted.name}{size} could not be downloaded. Tried {tried}. "
        f"Fetch it by other means and put it at {part.with_suffix('')}"
    )


def _append(wanted: Original, mirror: str, part: Path, start: int, timeout_s: float, progress: Progress) -> None:
    """Ask a mirror for what is missing and write it behind what is there."""
    with _ask(mirror, start, timeout_s) as response:
        if response.status == 200:
            start = 0  # it sends the whole
        total = _check(response, wanted.size, start)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for piece in _pieces(response, total - start, timeout_s):
                file.write(piece)
                start += len(piece)
                progress(wanted.name, start, total)
    if start < total:
        raise _Failed(f"stopped after {start:,} of {total:,} bytes")


def _ask(mirror: str, start: int, timeout_s: float) -> HTTPResponse:
    headers = {"Accept-Encoding": "identity", "User-Agent": "striate"} | ({"Range": f"bytes={start}-"} if start else {})
    opener = urllib.request.OpenerDirector()  # HTTP only: no file:, ftp: or data: addresses, however they come
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    try:
        response = opener.open(urllib.request.Request(mirror, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        raise _Failed(f"HTTP {error.code} {error.reason}", stale=error.code == 416) from error
    except urllib.error.URLError as error:
        raise _Failed(str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failed(f"{type(error).__name__}: {error}") from error
    assert isinstance(response, HTTPResponse)
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed to other hosts, for mirrors do that; never to another scheme than HTTP, nor from HTTPS down to HTTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (scheme == "http" and req.type == "https"):
            fp.close()
            raise _Failed(f"redirects to {newurl[:100]!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(response: HTTPResponse, size: int | None, start: int) -> int:
    """Refuse an answer that can't be the file by what it says about itself; else the length of the whole."""
    kind, encoding = response.headers.get_content_type(), response.headers.get("Content-Encoding", "identity")
    if kind == "text/html":
        raise _Failed("answers with a web page, not with the file")
    if encoding != "identity":
        raise _Failed(f"sends the file encoded as {encoding!r}, which was not asked for")
    length = response.headers.get("Content-Length")
    span = response.headers.get("Content-Range", "")
    total = _announced(length, span if response.status == 206 else "") if size is None else size
    if length is not None and length != str(total - start):
        raise _Failed(f"announces {length[:20]} bytes; expected {total - start:,}")
    if response.status == 206 and span != f"bytes {start}-{total - 1}/{total}":
        raise _Failed(f"sends the part {span[:80]!r}; asked for bytes {start}-{total - 1} of {total}")
    if response.status not in (200, 206):
        raise _Failed(f"HTTP {response.status}")
    return total


def _announced(length: str | None, span: str) -> int:
    """Bytes of the whole file, as the mirror has it."""
    said = span.rpartition("/")[2] if span else length or ""
    if not re.fullmatch(r"[0-9]{1,10}", said) or not 0 < int(said) <= LARGEST:
        raise _Failed(f"does not say how long the file is ({said[:20]!r})")
    return int(said)


def _pieces(response: HTTPResponse, missing: int, timeout_s: float) -> Iterator[bytes]:
    """The body as it comes, no byte more than is missing, ended by whoever drips."""
    since, got = time.monotonic(), 0
    while missing:
        try:
            piece = response.read1(min(CHUNK, missing))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Failed(f"{type(error).__name__}: {error}") from error
        if not piece:
            return
        yield piece
        missing -= len(piece)
        got += len(piece)
        if (elapsed := time.monotonic() - since) > timeout_s:
            if missing and got < SLOWEST * elapsed:
                raise _Failed(f"sends {got / elapsed:,.0f} bytes a second")
            since, got = time.monotonic(), 0


@contextmanager
def _turn(folder: Path, patience_s: float) -> Iterator[None]:
    """Hold the folder, waiting for whoever holds it."""
    until = time.monotonic() + patience_s
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(durable.lock(folder))
                break
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
