"""From the members of a shard to images with labels.

    000123.jpg  000123.cls  000123.json      a sample of webdataset: what is alike up to the first dot of the name
    cats/tom.jpg                             a class folder that was packed as it is, where no member is a label

The label is, in this order, what a .json member says (class_name, label, class or cls), a .cls member (a number, or a
name), a .txt member of one short line; failing these, the folder. Where two of them speak they have to agree. Nothing
else is opened: members that Python would have to execute to read (.pyd, .pickle, .pth) are passed over like any that is
no image.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from striate.data.folder import IMAGE_EXTENSIONS, LEFT_BY_SYSTEMS, is_image_name
from striate.data.shards.members import Member

LABELS = ("json", "cls", "txt")
FIELDS = ("class_name", "label", "class", "cls")  # of a .json member
LARGEST = {"json": 1 << 20, "cls": 1 << 10, "txt": 1 << 10}  # bytes
LONGEST = 255  # letters of a class name: what is longer is a caption
Read = Callable[[Member], bytes]


class Sample(NamedTuple):
    """An image, its label, and the name by which it is drawn and set apart."""

    key: str
    label: str
    image: Member


@dataclass
class Found:
    """What a shard holds, and what was wrong with it or passed over."""

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)  # member, why
    numbered: bool = False  # labels are numbers that nothing gives a name


def plain(members: Iterable[Member], found: Found) -> list[Member]:
    """The members that may be of use: plain files that no system or tool has left."""
    kept = []
    for member in members:
        parts = member.name.lower().split("/")
        if member.why_not:
            if member.why_not != "a folder":
                found.ignored.append((member.name, member.why_not))
        elif any(part in LEFT_BY_SYSTEMS for part in parts):
            found.ignored.append((member.name, "left by an operating system or a tool"))
        elif any(part.startswith(".") for part in parts):
            found.ignored.append((member.name, "hidden"))
        else:
            kept.append(member)
    return kept


def extension(name: str) -> str:
    """What stands behind the last dot, in lower case."""
    last = name.rpartition("/")[2]
    return last.rpartition(".")[2].lower() if "." in last else ""


def has_labels(members: Iterable[Member]) -> bool:
    """Whether some member is a label, so that the shard is one of webdataset's."""
    return any(extension(member.name) in LABELS for member in members)


def packed_folder(members: Sequence[Member], found: Found) -> None:
    """Images whose label is the folder that they lie in."""
    seen = set()
    for member in members:
        folder, slash, name = member.name.partition("/")
        if not is_image_name(member.name.rpartition("/")[2]):
            found.ignored.append((member.name, "not an image file extension"))
        elif not slash or not name:
            found.problems.append(f"{member.name!r} has no label: no .cls, .json or .txt member, and no class folder")
        elif not folder.isprintable():
            found.problems.append(f"{member.name!r} lies in a folder whose name is no text, so it names no class")
        elif member.name in seen:
            found.problems.append(f"{member.name!r} is there twice")
        else:
            found.samples.append(Sample(member.name, folder, member))
        seen.add(member.name)


def labelled_samples(members: Sequence[Member], read: Read, classes: Sequence[str], found: Found) -> None:
    """Samples of webdataset; `classes` are the names behind the numbers, if that is known."""
    samples: dict[str, dict[str, Member]] = {}
    for member in members:
        folder, slash, name = member.name.rpartition("/")
        begin, _, rest = name.partition(".")
        parts = samples.setdefault(f"{folder}{slash}{begin}", {})
        if parts.setdefault(rest.lower(), member) is not member:
            found.problems.append(f"{member.name!r} is there twice")
    for key, parts in samples.items():
        images = [ending for ending in parts if ending.rpartition(".")[2] in IMAGE_EXTENSIONS]
        if not images:
            found.ignored.append((next(iter(parts.values())).name, "a sample without an image"))
            continue
        if len(images) > 1:
            found.problems.append(f"{key!r} has {len(images)} images ({', '.join(images)}); expected one")
            continue
        try:
            label, given, numbered = _label(key, parts, read, classes)
        except ValueError as error:
            found.problems.append(str(error))
            continue
        found.numbered |= numbered
        image = parts[images[0]]
        found.samples.append(Sample(given or image.name, label, image))


def _label(key: str, parts: Mapping[str, Member], read: Read, classes: Sequence[str]) -> tuple[str, str, bool]:
    """Label, file name if one is given, and whether the label is a bare number.

    Raises: ValueError saying what is wrong.
    """
    said: dict[str, str] = {}  # by the member that says it
    given, numbered = "", False
    for ending in LABELS:
        member = next((m for e, m in parts.items() if e.rpartition(".")[2] == ending), None)
        if member is None or (ending == "txt" and said):
            continue
        if member.size > LARGEST[ending]:
            raise ValueError(f"{member.name!r} has {member.size:,} bytes; a label has at most {LARGEST[ending]:,}")
        try:
            text = read(member).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ValueError(f"{member.name!r} is not UTF-8 text, so it gives no label") from None
        value: object = text
        if ending == "json":
            value, given = _of_json(member.name, text)
            if value is None:
                continue
        name, bare = _named(member.name, value, classes, ending == "json")
        numbered |= bare
        said[member.name] = name
    folder = key.partition("/")[0] if "/" in key else ""
    if not said and folder.isprintable() and folder:
        return folder, given, False
    if not said:
        raise ValueError(f"{key!r} has an image, and no label beside it (.cls, .json or .txt)")
    if len(set(said.values())) > 1:
        raise ValueError(f"{key!r}: " + ", but ".join(f"{member!r} says {name!r}" for member, name in said.items()))
    return next(iter(said.values())), given, numbered


def _of_json(member: str, text: str) -> tuple[object, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{member!r} is not JSON ({error})") from None
    if not isinstance(value, dict):
        return None, ""
    given = value.get("file_name")
    label = next((value[field] for field in FIELDS if isinstance(value.get(field), str | int)), None)
    return label, given if isinstance(given, str) else ""


def _named(member: str, value: object, classes: Sequence[str], json_: bool) -> tuple[str, bool]:
    """The class of a label, and whether it is a number without a name. JSON tells a name of digits from a number."""
    text = str(value).strip()
    if not text or isinstance(value, bool):
        raise ValueError(f"{member!r} gives no label")
    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"{member!r} says {text[:30]!r}...; a class name is one line of at most {LONGEST} letters")
    if not (text.isascii() and text.isdecimal()) or (isinstance(value, str) and json_ and text in classes):
        return text, False
    number = int(text)
    if not classes:
        return str(number), True
    if number >= len(classes):
        raise ValueError(f"{member!r} says class {number}; there are names for 0 to {len(classes) - 1}")
    return classes[number], False
