"""What the doctor says: a finding for each kind of trouble, where it is, what is done about it, and by whom."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from striate.data.record import Record
from striate.data.screen import Screened

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SHOWN = 20  # examples that a finding carries, of however many there are

Group = tuple[str, ...]  # keys of images that belong together, or a single one


@dataclass(frozen=True)
class Finding:
    """One kind of trouble."""

    kind: str  # its name, the same for ever: "leak", "cut-short" ...
    severity: Severity  # error: the result would be wrong or images are lost; warning: may be; note: good to know
    count: int
    examples: tuple[Group, ...]  # the first of them
    message: str  # what was found
    action: str  # what Striate does about it
    remedy: str  # what the user can do about it; empty where nothing need be done


@dataclass(frozen=True)
class Diagnosis:
    """All that was found in a data set."""

    name: str
    classes: tuple[str, ...]
    images: dict[str, int]  # role -> images that can be read
    per_class: dict[str, tuple[int, ...]]  # role -> of each class
    facts: dict[str, dict[str, int]]  # "format", "mode", "size" ... -> how many images of each
    findings: tuple[Finding, ...]  # errors first
    notes: tuple[str, ...]  # how the data set was opened, and what was not looked at
    preprocess: str  # what the network will see, in a sentence; empty where that was not asked
    sha256: str  # of all images, keys and labels

    def worst(self) -> Severity | None:
        """The gravest severity of all findings; None where there are none."""
        return self.findings[0].severity if self.findings else None

    def of(self, kind: str) -> Finding | None:
        """The finding of that kind."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Seen(NamedTuple):
    """An image, whether it can be read or not."""

    role: str
    key: str
    label: int
    record: Record


def all_seen(screened: Screened) -> Iterator[Seen]:
    for role, records in screened.records.items():
        split = screened.original.splits[role]
        for key, label, record in zip(split.keys, split.labels.tolist(), records, strict=True):
            yield Seen(role, key, label, record)


def found(
    kind: str,
    severity: Severity,
    groups: Iterable[Group] | Iterable[str],
    message: str,
    action: str,
    remedy: str = "",
    *,
    count: int | None = None,
) -> Iterator[Finding]:
    """The finding, where there is anything to find. `{n}` in the message becomes the number of groups."""
    listed: Sequence[Group] = [(group,) if isinstance(group, str) else group for group in groups]
    if listed:
        n = len(listed) if count is None else count
        said = message.format(n=f"{n:,}")
        yield Finding(kind, severity, n, tuple(listed[:SHOWN]), said if n > 1 else _of_one(said), action, remedy)


_ONE = {
    "images": "image", "files": "file", "folders": "folder", "classes": "class", "pairs": "pair", "links": "link",
    "pictures": "picture", "sets": "set", "names": "name", "things": "thing", "entries": "entry", "pipes": "pipe",
    "are": "is", "have": "has", "hold": "holds", "lie": "lies", "lead": "leads", "ask": "asks", "differ": "differs",
    "were": "was",
}  # fmt: skip


def _of_one(message: str) -> str:
    """The message with its first noun and its first verb in the singular."""
    words, left = message.split(" "), {"noun", "verb"}
    for i, word in enumerate(words):
        kind = "noun" if word.endswith("s") else "verb"
        if word in _ONE and kind in left and message.startswith("1 "):
            words[i] = _ONE[word]
            left.remove(kind)
    return " ".join(words)
