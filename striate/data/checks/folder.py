"""What is in the folder besides images: what was passed over, and what may have been meant otherwise."""

from collections.abc import Iterator

from striate.data.checks.finding import Finding, Severity, found
from striate.data.folder import BESIDE_CLASSES, BESIDE_SPLITS, KINDS
from striate.data.listing import Listing
from striate.data.wording import several

_PASSED = "Passed over."
# How the reason of `folder.Ignored` begins -> kind, severity, message, remedy
_SPECIAL = (*KINDS.values(), "not a file", *(f"a link to {kind}" for kind in (*KINDS.values(), "something")))
_REASONS: tuple[tuple[tuple[str, ...], str, Severity, str, str], ...] = (
    (_SPECIAL, "special-file", "warning",
     "{n} entries are pipes, sockets or devices.", "Remove them: other tools wait for them for ever."),
    (("a link that leads nowhere",), "dead-link", "warning",
     "{n} links lead nowhere.", "Remove or mend them."),
    (("a link that leads out",), "link-out", "warning",
     "{n} links lead out of the data set's folder.", "Copy the images into it, or list them in a manifest."),
    (("a folder that was already read",), "folder-loop", "warning",
     "{n} folders are reached twice, through links.", "Remove the links."),
    (("the folder can't be read",), "folder-unreadable", "error",
     "{n} folders can't be read.", "Mend their permissions."),
    ((BESIDE_CLASSES,), "stray-file", "warning",
     "{n} files lie beside the class folders, in none of them.", "Move images into the folder of their class."),
    ((BESIDE_SPLITS,), "stray", "warning",
     "{n} entries lie beside train, val and test, in none of them.", "Move what belongs to the data set into a split."),
    (("hidden",), "hidden", "note",
     "{n} entries are hidden by a name that begins with a dot.", "Rename what was meant to be used."),
    (("left by an operating system",), "left-behind", "note",
     "{n} files were left by an operating system or a tool.", ""),
    (("not an image file extension",), "other-file", "note",
     "{n} files are not called like images.", "Give images that lack it an extension such as .jpg or .png."),
)  # fmt: skip


def passed_over(listing: Listing) -> Iterator[Finding]:
    """What is no part of the data set, by the reason for it."""
    rest = list(listing.ignored)
    for beginnings, kind, severity, message, remedy in _REASONS:
        hit = [one for one in rest if one.reason.startswith(beginnings)]
        rest = [one for one in rest if one not in hit]
        yield from found(kind, severity, [one.path for one in hit], message, _PASSED, remedy)
    others = [f"{one.path}: {one.reason}" for one in rest]
    yield from found("passed-over", "note", others, "{n} other things are no part of the data set.", _PASSED)


def structure(listing: Listing) -> Iterator[Finding]:
    """Class folders that are empty, hold folders, or are not the same in all splits."""
    yield from found(
        "empty-class", "warning", listing.empty, "{n} class folders hold no image.",
        "They are no classes of the data set.", "Fill or remove them.",
    )  # fmt: skip
    yield from found(
        "nested", "note", [f"{name}: {several(inside, 3)}" for name, inside in sorted(listing.nested.items())],
        "{n} class folders hold folders.", "Images in them count as images of the class.",
        "If those folders are the classes, name the folder above them as the data set.",
    )  # fmt: skip
    yield from found(
        "single-class", "error", listing.classes if len(listing.classes) == 1 else (), "There is only one class.",
        "Training refuses to start: a classifier needs at least two.", "Add a folder with images of something else.",
    )  # fmt: skip
    unknown = [f"{role}: {name}" for role in listing.files if role != "train" for name in listing.unknown(role)]
    yield from found(
        "unknown-class", "error", unknown, "{n} class folders of val or test are not in train.",
        "Training refuses to start: the network could never name them.",
        "Rename them like their classes in train, or remove them.",
    )  # fmt: skip
