"""A folder of images, one folder a class, in train / val / test or not divided at all.

    root/{train, val | valid | validation, test}/<class>/**/image.jpg        or        root/<class>/**/image.jpg

Looking never opens a file: names and kinds come from the folder, what is in a file is judged when it is decoded. A
FIFO, a socket or a device is therefore never waited for, and a link is followed only while it stays inside the root.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from striate.data.dataset import ROLES
from striate.data.listing import Ignored, Listing, in_order, printable
from striate.data.split import UNDIVIDED
from striate.data.wording import plural, several
from striate.errors import DatasetError

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LEFT_BY_SYSTEMS = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx", "$recycle.bin", "system volume information",
     "lost+found", "__pycache__", "#recycle", "icon\r")
)  # fmt: skip
# What somebody meant as an image, read or not: a TIFF file is then refused by name rather than passed over in silence.
IMAGE_EXTENSIONS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "jif", "png", "apng", "gif", "bmp", "dib", "webp", "mpo", "tif", "tiff", "heic",
     "heif", "avif", "jxl", "jp2", "j2k", "jpx", "jpf", "svg", "ico", "cur", "icns", "ppm", "pgm", "pbm", "pnm", "pam",
     "tga", "psd", "eps", "exr", "hdr", "pcx", "sgi", "ras", "xbm", "xpm", "dds", "dng", "cr2", "cr3", "nef", "arw",
     "orf", "raf", "rw2", "fits", "fit", "dcm")
)  # fmt: skip
KINDS = {
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
BESIDE_CLASSES = "beside the class folders, in none of them"
BESIDE_SPLITS = "beside the split folders"


def list_folder(root: Path) -> Listing:
    """Look through a folder; nothing in it is opened.

    Raises: DatasetError where there is no such folder, where it holds two folders for one role or no class folder,
    where a class is divided inside its own folder, or where a class name is not text.
    """
    if not root.is_dir():
        kind = "it is a file" if root.exists() else "there is nothing of that name"
        raise DatasetError(f"{root}: expected a folder of images, one folder a class; {kind}")
    look = _Look(root)
    folders, loose = look.into("")
    roles, notes = _roles(root, folders)
    for path in loose:
        look.ignore(path, BESIDE_SPLITS if roles else BESIDE_CLASSES)
    if roles:
        for path in set(folders) - set(roles.values()):
            look.ignore(path, BESIDE_SPLITS)
        found = {role: look.classes_in(folder) for role, folder in roles.items()}
        bare = [roles[role] for role in found if not found[role]]
        notes += tuple(f"{folder!r} holds no image in a class folder and is left out." for folder in bare)
    else:
        found = {UNDIVIDED: look.classes_of(folders)}
    files = {role: classes for role, classes in found.items() if classes}
    if not files:
        raise DatasetError(_nothing(root, look, loose))
    for name, inside in look.nested.items():
        if not roles and (divided := [folder for folder in inside if folder.lower() in SPLIT_NAMES]):
            raise DatasetError(
                f"{root}: {name!r} was taken as a class, but holds {several(divided)}; expected {divided[0]}/{name}, "
                f"or did you mean the data set {root / name}?"
            )
    return Listing(
        root=root,
        name=folder_name(root),
        files=files,
        empty=tuple(sorted(look.empty)),
        ignored=tuple(sorted(look.ignored, key=lambda one: one.path)),
        nested=look.nested,
        notes=notes,
    )


def folder_name(root: Path) -> str:
    """What a data set in this folder is called: "pets" for pets/, and for . inside it."""
    return printable(Path(os.path.realpath(root)).name) or str(root)


def image_files(root: Path) -> list[Path]:
    """The images anywhere in a folder, sorted, without what `list_folder` passes over; classes play no part."""
    look = _Look(root)
    look.seen.clear()
    return [root / path for path in sorted(look.images("", ""))]


def is_image_name(name: str) -> bool:
    """Whether a file is taken as an image: a known image extension, or none.

    >>> is_image_name("cat.JPG"), is_image_name("cat.7"), is_image_name("cat"), is_image_name("cat.txt")
    (True, True, True, False)
    """
    _, dot, extension = name.rpartition(".")
    return not dot or extension.isdecimal() or extension.lower() in IMAGE_EXTENSIONS


class _Look:
    """One walk through a folder, and what it leaves out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self.seen = {_identity(root)}
        self.ignored: list[Ignored] = []
        self.empty: list[str] = []
        self.nested: dict[str, tuple[str, ...]] = {}

    def ignore(self, path: str, reason: str) -> None:
        self.ignored.append(Ignored(printable(path), reason))

    def into(self, below: str) -> tuple[list[str], list[str]]:
        """Folders and files directly in a folder, as sorted paths below the root; the rest is ignored with a reason."""
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.root / below) as entries:
                for entry in entries:
                    path = f"{below}/{entry.name}" if below else entry.name
                    if entry.name.lower() in LEFT_BY_SYSTEMS:
                        self.ignore(path, "left by an operating system or a tool")
                    elif entry.name.startswith("."):
                        self.ignore(path, "hidden")
                    elif entry.is_symlink():
                        self._link(path, entry, folders, files)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        files.append(path)
                    else:
                        self.ignore(path, _kind(entry.stat(follow_symlinks=False).st_mode))
        except OSError as error:
            self.ignore(below or ".", f"the folder can't be read ({error.strerror or error})")
        return sorted(folders), sorted(files)

    def _link(self, path: str, entry: os.DirEntry[str], folders: list[str], files: list[str]) -> None:
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            self.ignore(path, f"a link that leads nowhere ({error.strerror or error})")
            return
        if os.path.commonpath((self.real_root, os.path.realpath(entry.path))) != self.real_root:
            self.ignore(
                path, "a link that leads out of the data set's folder: copy the image, or list it in a manifest"
            )
        elif stat.S_ISDIR(mode):
            folders.append(path)
        elif stat.S_ISREG(mode):
            files.append(path)
        else:
            self.ignore(path, f"a link to {_kind(mode)}")

    def classes_in(self, folder: str) -> dict[str, tuple[str, ...]]:
        """Image files by class, for the class folders in a split's folder."""
        folders, loose = self.into(folder)
        for path in loose:
            self.ignore(path, BESIDE_CLASSES)
        return self.classes_of(folders)

    def classes_of(self, folders: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Image files by class, for these class folders."""
        found: dict[str, tuple[str, ...]] = {}
        for path in folders:
            name = path.rpartition("/")[2]
            if files := tuple(sorted(self.images(path, name))):
                found[name] = files
            else:
                self.empty.append(printable(path))
            if files and printable(name) != name:
                raise DatasetError(
                    f"{self.root}: the class folder {printable(path)!r} has a name that is not UTF-8 text; rename it, "
                    "for it would be the name of the class"
                )
        return {name: found[name] for name in in_order(found)}

    def images(self, folder: str, label: str) -> Iterator[str]:
        """Image files in a folder and the folders inside it, each real folder once."""
        waiting = [folder]
        while waiting:
            below = waiting.pop()
            try:
                here = _identity(self.root / below)
            except OSError as error:
                self.ignore(below, f"the folder can't be read ({error.strerror or error})")
                continue
            if here in self.seen:
                self.ignore(below, "a folder that was already read: a link leads to it, or to one that holds it")
                continue
            self.seen.add(here)
            folders, files = self.into(below)
            if below == folder and folders:
                self.nested[label] = tuple(printable(path.rpartition("/")[2]) for path in folders)
            waiting += reversed(folders)
            for path in files:
                if is_image_name(path.rpartition("/")[2]):
                    yield path
                else:
                    self.ignore(path, "not an image file extension")


def _roles(root: Path, folders: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which folder is which role, where folders are called like splits and hold folders themselves; and notes."""
    named = [path for path in folders if path.lower() in SPLIT_NAMES]
    ahead = _Look(root)  # what this one leaves out is said by the walk itself
    if not any(ahead.into(path)[0] for path in named):
        if named and len(named) == len(folders):
            raise DatasetError(
                f"{root}: no class folders in {several(named)}; expected {named[0]}/<class>/<image>, or a manifest "
                "with the columns file_name and label"
            )
        note = (
            f"{several(named)} was taken as a class, not as a split: no folders are in it and other classes beside it."
        )
        return {}, (note,) if named else ()
    roles: dict[str, str] = {}
    for path in named:
        role = SPLIT_NAMES[path.lower()]
        if role in roles:
            raise DatasetError(f"{root}: {roles[role]!r} and {path!r} are both the {role} split; merge or rename one")
        roles[role] = path
    return {role: roles[role] for role in ROLES if role in roles}, ()


def _nothing(root: Path, look: _Look, loose: Sequence[str]) -> str:
    expected = "expected <class>/<image>, or train/<class>/<image> and so on"
    if images := [path for path in loose if is_image_name(path)]:
        return (
            f"{root}: {plural(len(images), 'file')} ({several(images, 3)}) and no class folder with images; {expected}"
            ", or a manifest with the columns file_name and label"
        )
    seen = [f"{one.path} ({one.reason})" for one in look.ignored] + [f"{path} (empty)" for path in look.empty]
    return f"{root}: no class folder with images; {expected}; it holds {several(seen) if seen else 'nothing'}"


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "not a file")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
