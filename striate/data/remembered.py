"""What an earlier look found, for files that have not changed since: same path, size and time of last change.

    line 1          {"striate": "records", "version": 1, "settings": ..., "sha256": of all that follows}
    line 2 and on   [path, bytes, time in ns, fields of the record ...]

A file of another version or with other settings, or one that is damaged, is as good as none.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import PIL

from striate import durable
from striate.data.decode import Facts, Limits
from striate.data.record import Record

VERSION = 1
_SETTLED_NS = 2_000_000_000  # a file changed within the last two seconds may change again within one tick of the clock
_Look = Callable[[Path], Record]
_Entry = tuple[int, int, Record]  # bytes, time of last change in ns, what was found


class Memory:
    """Records by path. Safe to use from several threads: each touches the entries of its own files only."""

    def __init__(self, path: Path, settings: str = "", entries: dict[str, _Entry] | None = None) -> None:
        self.path = path
        self.settings = settings
        self.entries = entries or {}
        self.changed = False

    @classmethod
    def open(cls, path: Path) -> "Memory":
        """What is remembered in the file; nothing, where it is not there or can't be trusted."""
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            stated = json.loads(head)
            if stated["version"] != VERSION or stated["sha256"] != hashlib.sha256(body).hexdigest():
                return cls(path)
            return cls(path, stated["settings"], dict(map(_from_line, body.splitlines())))
        except (OSError, ValueError, LookupError, TypeError):
            return cls(path)

    def remembering(self, look: _Look, settings: tuple[tuple[int, int, int], Limits]) -> _Look:
        """The same look, which asks the memory first. Settings that change what is found empty the memory."""
        text = json.dumps([settings[0], asdict(settings[1]), PIL.__version__])
        if text != self.settings:
            self.settings, self.entries, self.changed = text, {}, True

        def remembered(path: Path) -> Record:
            try:
                status = path.stat()
            except (OSError, ValueError):
                return look(path)
            key, state = str(path.absolute()), (status.st_size, status.st_mtime_ns)
            if (entry := self.entries.get(key)) and entry[:2] == state:
                return entry[2]
            record = look(path)
            settled = status.st_mtime_ns < time.time_ns() - _SETTLED_NS
            if settled and record.digest:  # what could not even be read may be readable next time
                self.entries[key] = (*state, record)
                self.changed = True
            return record

        return remembered

    def save(self) -> None:
        """Raises: EnvironmentFault where the file can't be written."""
        if not self.changed:
            return
        body = b"".join(_to_line(path, *entry) for path, entry in sorted(self.entries.items()))
        head = {"striate": "records", "version": VERSION, "settings": self.settings,
                "sha256": hashlib.sha256(body).hexdigest()}  # fmt: skip
        durable.make_folder(self.path.parent)
        durable.write_bytes(self.path, json.dumps(head).encode() + b"\n" + body)


def _to_line(path: str, size: int, time_ns: int, r: Record) -> bytes:
    facts = None if r.facts is None else asdict(r.facts)
    thumb, colour = (base64.b64encode(values).decode() for values in (r.thumb, r.colour))
    fields = [r.digest.hex(), r.reason, r.fault, r.size, r.channels, r.lowest, r.highest, facts, thumb, colour]
    return json.dumps([path, size, time_ns, *fields]).encode() + b"\n"


def _from_line(line: bytes) -> tuple[str, _Entry]:
    values: list[Any] = json.loads(line)
    path, size, time_ns, digest, reason, fault, sides, channels, lowest, highest, facts, thumb, colour = values
    record = Record(
        digest=bytes.fromhex(digest), reason=reason, fault=fault, size=tuple(sides), channels=channels, lowest=lowest,
        highest=highest, facts=None if facts is None else Facts(**facts), thumb=base64.b64decode(thumb),
        colour=base64.b64decode(colour),
    )  # fmt: skip
    return path, (size, time_ns, record)
