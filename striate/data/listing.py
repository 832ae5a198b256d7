"""Files with their labels, as a folder or a manifest names them, and the data set that is made of them.

Classes are the names that train has (all names, where nobody divided the images), in the order of `in_order`.
Everything else is aligned to them by name: an unknown name is an error that says it, a missing one is a note, none is
renumbered.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from striate.data.dataset import Dataset, FileImages, Images, Split
from striate.data.decode import Limits
from striate.data.shards.images import ShardImages
from striate.data.split import UNDIVIDED, Rule, complete, lacking
from striate.data.wording import plural, several
from striate.errors import DatasetError, suggest

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Ignored:
    """Something in a folder that is no part of the data set."""

    path: str  # below the root
    reason: str


@dataclass(frozen=True)
class Listing:
    """What is there, as names tell; no image was opened."""

    root: Path
    name: str
    files: Mapping[str, Mapping[str, tuple[str, ...]]]  # role (or UNDIVIDED) -> class -> paths below the root
    empty: tuple[str, ...] = ()  # class folders without an image
    ignored: tuple[Ignored, ...] = ()
    nested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # class -> names of the folders inside it
    notes: tuple[str, ...] = ()
    within: Callable[[Sequence[str], Color, Limits], Images] | None = None  # where the paths are not files of the root

    def images(self, paths: Sequence[str], background: Color, limits: Limits) -> Images:
        """The images of these paths."""
        if self.within is not None:
            return self.within(paths, background, limits)
        return FileImages(tuple(self.root / path for path in paths), background, limits)

    @property
    def classes(self) -> tuple[str, ...]:
        """Of train, or of all images where nobody divided them; where there is neither, of what there is."""
        of_training = self.files.get("train") or self.files.get(UNDIVIDED)
        return tuple(in_order(of_training or {name for found in self.files.values() for name in found}))

    def unknown(self, role: str) -> tuple[str, ...]:
        """Classes of a split that train does not have."""
        same = same_names(self.files[role], self.classes)
        return tuple(name for name in self.files[role] if name not in same)

    def absent(self, role: str) -> tuple[str, ...]:
        """Classes of train that a split does not have."""
        there = set(same_names(self.files[role], self.classes).values())
        return tuple(name for name in self.classes if name not in there)

    def alike(self) -> tuple[tuple[str, ...], ...]:
        """Class names that differ only by case or by the form of their accented letters."""
        forms: dict[str, list[str]] = {}
        for name in self.classes:
            forms.setdefault(composed(name).casefold(), []).append(name)
        return tuple(tuple(names) for names in forms.values() if len(names) > 1)


def for_training(listing: Listing, rule: Rule, background: Color, limits: Limits) -> Dataset:
    """The data set, its missing splits set apart by `rule`.

    Raises: DatasetError for nothing to train on, fewer than two classes, and a class of val or test that train lacks.
    """
    classes = listing.classes
    if not {"train", UNDIVIDED} & set(listing.files):
        raise DatasetError(f"{listing.root} has images for {several(listing.files)} but none for 'train'")
    if len(classes) < 2:
        inside = listing.nested.get(classes[0], ())
        hint = f"; did you mean {listing.root / classes[0]}, which holds {several(inside)}?" if inside else ""
        raise DatasetError(f"{listing.root}: one class, {several(classes)}; a classifier needs at least two{hint}")
    splits = {role: _split(listing, role, classes, "train does not have", background, limits) for role in listing.files}
    made, said = complete(str(listing.root), splits, classes, rule)
    return Dataset(listing.name, classes, made, 3, (*_notes(listing), *lacking(splits, classes), *said))


def for_evaluation(listing: Listing, role: str, classes: Sequence[str], background: Color, limits: Limits) -> Dataset:
    """One split, labelled in the order of `classes`.

    It is the split of that role; for `test`, `val` where there is no test; and all images where nobody divided them.

    Raises: DatasetError for a class that is not among `classes`, and where there is no such split.
    """
    notes = list(_notes(listing))
    taken = role
    if UNDIVIDED in listing.files:
        taken = UNDIVIDED
        notes.append(f"Nobody divided these images: all are taken as {role}, also those that were trained on, if any.")
    elif role == "test" and role not in listing.files and "val" in listing.files:
        taken = role = "val"
        notes.append("There is no test split: val is taken, which may also have chosen the weights, so it flatters.")
    if taken not in listing.files:
        raise DatasetError(f"{listing.root} has no images for {role!r}; it has some for {several(listing.files)}")
    splits = {role: _split(listing, taken, classes, "the network does not know", background, limits)}
    return Dataset(listing.name, tuple(classes), splits, 3, (*notes, *lacking(splits, classes)))


def in_order(names: Iterable[str]) -> list[str]:
    """Names by the code points of their composed form (NFC): the same order on every machine."""
    return sorted(names, key=lambda name: (composed(name), name))


def composed(name: str) -> str:
    """The name with each accented letter as one sign, in whichever of the two forms a file system gave it."""
    return unicodedata.normalize("NFC", name)


def printable(path: str) -> str:
    r"""A path as text: bytes that are not UTF-8 are written as \xff."""
    return os.fsencode(path).decode(errors="backslashreplace")


def same_names(found: Iterable[str], classes: Sequence[str]) -> dict[str, str]:
    """Which class each name is: the same name or, failing that, the only one of the same composed form."""
    known = set(classes)
    forms: dict[str, list[str]] = {}
    for name in classes:
        forms.setdefault(composed(name), []).append(name)
    same = {}
    for name in found:
        if name in known:
            same[name] = name
        elif len(near := forms.get(composed(name), [])) == 1:
            same[name] = near[0]
    return same


def _split(
    listing: Listing, role: str, classes: Sequence[str], stranger: str, background: Color, limits: Limits
) -> Split:
    files, number = listing.files[role], {name: i for i, name in enumerate(classes)}
    same = same_names(files, classes)
    if unknown := [name for name in files if name not in same]:
        where = listing.root if role == UNDIVIDED else f"{listing.root}: {role}"
        raise DatasetError(
            f"{where} has {plural(len(unknown), 'class')} that {stranger}: {several(unknown)} (such as "
            f"{files[unknown[0]][0]!r}){suggest(unknown[0], classes)}; expected some of {several(classes, 10)}"
        )
    paths = [path for names in files.values() for path in names]
    labels = np.repeat([number[same[name]] for name in files], [len(names) for names in files.values()])
    images = listing.images(paths, background, limits)
    split = Split(images, labels.astype(np.int64), tuple(printable(path) for path in paths))
    return split if not (isinstance(images, ShardImages) and images.blocks()) else split.take(images.stored_order())


def _notes(listing: Listing) -> Iterator[str]:
    yield from listing.notes
    if listing.empty:
        yield f"{plural(len(listing.empty), 'class folder')} without an image left out: {several(listing.empty)}."
    if listing.ignored:
        reasons: dict[str, list[str]] = {}
        for one in listing.ignored:
            reasons.setdefault(one.reason, []).append(one.path)
        said = "; ".join(f"{reason}: {several(paths, 3)}" for reason, paths in reasons.items())
        yield f"Passed over {plural(len(listing.ignored), 'item')}: {said}."
    for names in listing.alike():
        yield f"The classes {several(names)} differ only by case or by the form of a letter; they are kept apart."
