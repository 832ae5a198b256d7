"""Files that matter: written to a temporary name, synced, renamed. A reader sees the old file or the new one.

A crash can leave a temporary file behind; its name starts with `.tmp-`, and `sweep` removes it.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from striate.errors import Busy, EnvironmentFault

PREFIX, LOCK = ".tmp-", ".lock"
STRAY = re.compile(re.escape(PREFIX) + r".+-[0-9a-f]{8}")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`, all or nothing.

    Raises: EnvironmentFault, naming the path and the cause, with the old file untouched.
    """
    temporary = path.with_name(f"{PREFIX}{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise EnvironmentFault(
            f"{path}: could not write {len(content):,} bytes ({error.strerror or error}); "
            "the previous file, if any, is as it was"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when all of it is written; if that fails, `path` is as it was.

    Raises: EnvironmentFault, naming the path and the cause.
    """
    temporary = path.with_name(f"{PREFIX}{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise EnvironmentFault(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by `content`, UTF-8, all or nothing."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value`, indented, keys in the order given, all or nothing. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sweep(folder: Path) -> None:
    """Remove the temporary files that a crash left in a folder. Only for whoever holds its lock."""
    for stray in folder.glob(f"{PREFIX}*"):
        if STRAY.fullmatch(stray.name):  # and no file of somebody else
            with suppress(OSError):
                stray.unlink()


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and see to it that they outlive a loss of power.

    Raises: EnvironmentFault where the disk or the permissions do not allow it.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _sync_folder(folder.parent)
    except OSError as error:
        raise EnvironmentFault(f"{path}: could not make this folder ({error.strerror or error})") from error


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder for writing. The kernel frees it when the process ends, however it ends.

    Raises: Busy, naming the process that holds it; EnvironmentFault where nobody could hold it.
    """
    handle = _lock(folder / LOCK)
    try:
        with suppress(OSError):  # on a full disk the holder stays unnamed
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(handle)


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Make a folder where there is none and `lock` it. If nothing was written into it, it is gone again afterwards.

    Raises: as `make_folder` and `lock`.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    with lock(folder):
        try:
            yield
        finally:
            with suppress(OSError):  # somebody else has put something there, or has removed it
                if missing and [path.name for path in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
                    for path in missing:
                        path.rmdir()


def _lock(path: Path) -> int:
    """An open, locked file; the one that is there now, for `claim` may have removed the one that was opened."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise EnvironmentFault(f"{path}: could not be opened ({error.strerror or error})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BlockingIOError:
            owner = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise Busy(
                f"{path.parent}: another process ({owner}) is writing here; wait for it or choose another folder"
            ) from None
        except OSError as error:
            os.close(handle)
            raise EnvironmentFault(f"{path}: could not be locked ({error.strerror or error})") from error
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
