"""What is wrong with, or odd about, images one by one."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from striate.data.checks.finding import Finding, Seen, found
from striate.data.decode import Facts
from striate.data.formats.sniff import NO_PICTURES
from striate.data.preprocess import Preprocess

TINY = 16  # pixels, of the short side
THIN = 4.0  # long side over short side
UNLIKE = 8.0  # short side of the largest image over that of the smallest
BLOWN_UP = 2.0  # times that the network's preprocessing enlarges an image
ONE_COLOUR = 2  # difference between the highest and the lowest sample, of 0..255
LEFT_OUT = "It is left out (quarantined) by name, in training as in evaluation."
EXTENSIONS = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "jif": "JPEG", "mpo": "JPEG", "png": "PNG",
    "apng": "PNG", "gif": "GIF", "bmp": "BMP", "dib": "BMP", "webp": "WEBP",
}  # fmt: skip


def unreadable(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Images that training leaves out."""
    bad = [one for one in seen if one.record.reason is not None]

    def those(kind: str, pick: Callable[[Seen], bool], message: str, remedy: str) -> Iterator[Finding]:
        named = [(f"{one.key}: {one.record.reason}",) for one in bad if pick(one)]
        yield from found(kind, "error", named, message, LEFT_OUT, remedy)

    def no_picture(one: Seen) -> bool:
        return (one.record.reason or "").split(";")[0] in NO_PICTURES

    yield from those("empty-file", lambda s: s.record.fault == "empty", "{n} files are empty.",
                     "Fetch them again, or remove them.")  # fmt: skip
    yield from those("cut-short", lambda s: s.record.fault == "cut short", "{n} images are cut short.",
                     "Copy or download them again.")  # fmt: skip
    yield from those("damaged", lambda s: s.record.fault == "damaged", "{n} images are damaged.",
                     "Copy or download them again.")  # fmt: skip
    yield from those("not-an-image", lambda s: s.record.fault == "unsupported" and no_picture(s),
                     "{n} files are called like images and are none.",
                     "Remove them; a web page called .jpg is the trace of a failed download.")  # fmt: skip
    yield from those("unsupported-format", lambda s: s.record.fault == "unsupported" and not no_picture(s),
                     "{n} images are of a format that is not read.", "Convert them to PNG or JPEG.")  # fmt: skip
    yield from those("over-limits", lambda s: s.record.fault == "too large",
                     "{n} images ask for more than the limits allow (decompression bombs do).",
                     "Make them smaller; to the network they are small in any case.")  # fmt: skip
    yield from those("unreadable", lambda s: s.record.fault == "unreadable", "{n} files can't be read.",
                     "Mend the permissions or the disk.")  # fmt: skip


def odd_names(seen: Sequence[Seen]) -> Iterator[Finding]:
    """Names that are trouble for tools other than this one."""
    odd = [one.key for one in seen if _is_odd(PurePosixPath(one.key).name)]
    yield from found(
        "odd-name", "note", odd,
        "{n} file names hold control characters or bytes that are no text, or begin or end oddly.",
        "They are read as they are, and shown with escapes.", "Rename them before other tools meet them.",
    )  # fmt: skip


def _is_odd(name: str) -> bool:
    return not name.isprintable() or name.startswith("-") or name != name.strip() or "\\x" in name or len(name) > 200


def formats(seen: Sequence[Seen]) -> Iterator[Finding]:
    """How the files store their pixels."""
    files = [(one, facts) for one in seen if (facts := one.record.facts) is not None]

    def those(pick: Callable[[Facts], bool]) -> list[str]:
        return [one.key for one, facts in files if pick(facts)]

    yield from found(
        "wrong-extension", "note", [one.key for one, facts in files if _stated(one.key) not in (facts.format, None)],
        "{n} files are of another format than their names say.", "They are read for what they are.",
        "Rename them before other tools meet them.",
    )  # fmt: skip
    yield from found(
        "animated", "warning", those(lambda f: f.animated), "{n} files hold several pictures.",
        "The first picture is used.", "Save the picture that shows the class by itself.",
    )  # fmt: skip
    yield from found(
        "rotated", "note", those(lambda f: f.orientation != 1), "{n} images are stored turned or mirrored (EXIF).",
        "They are turned upright wherever they are decoded.",
    )  # fmt: skip
    yield from found(
        "transparent", "note", those(lambda f: f.transparent), "{n} images have transparent parts.",
        "They are put on a white background.",
    )  # fmt: skip
    yield from found(
        "cmyk", "note", those(lambda f: f.mode == "CMYK"), "{n} images are stored as ink (CMYK), for print.",
        "They are turned into red, green and blue.", "Convert them with their profile if colours matter much.",
    )  # fmt: skip
    yield from found(
        "16-bit", "note", those(lambda f: f.bits == 16), "{n} images have 16 bits a sample.",
        "They are scaled to 8 bits by 1/257, nothing is clipped.",
    )  # fmt: skip
    yield from found(
        "palette", "note", those(lambda f: f.mode == "P"), "{n} images have a palette of at most 256 colours.",
        "Each pixel gets its colour from the palette.",
    )  # fmt: skip
    yield from found(
        "colour-profile", "note", those(lambda f: f.profile), "{n} images have a colour profile (ICC).",
        "It is not applied: values are taken as sRGB.", "Convert images of another space than sRGB first.",
    )  # fmt: skip
    gray, colour = [[one.key for one, _ in files if one.record.channels == c] for c in (1, 3)]
    what = ("colour", "gray")
    few, many = (gray, colour) if len(gray) <= len(colour) else (colour, gray)
    yield from found(
        "mixed-colour", "note", few if gray and colour else [],
        f"{{n}} {what[few is gray]} images are among {len(many):,} {what[few is colour]} ones.",
        "Gray becomes three equal channels, or all becomes gray where the network takes one channel.",
        "See that gray does not go with one class: the network would learn that.",
    )  # fmt: skip


def _stated(key: str) -> str | None:
    """The format that a name's extension stands for; another one than any, where it stands for one that is not read."""
    extension = PurePosixPath(key).suffix.lower()[1:]
    if not extension or extension.isdecimal() or len(extension) > 4:
        return None
    return EXTENSIONS.get(extension, extension)


def shapes(seen: Sequence[Seen], preprocess: Preprocess | None) -> Iterator[Finding]:
    """Sizes, aspects, and images with nothing in them."""
    good = [one for one in seen if one.record.reason is None]
    files = [one for one in good if one.record.facts is not None]
    yield from found(
        "one-colour", "warning", [one.key for one in good if one.record.highest - one.record.lowest <= ONE_COLOUR],
        "{n} images are of one colour throughout.", "They are used like all others.",
        "Remove them: there is nothing to learn.",
    )  # fmt: skip
    yield from found(
        "tiny", "warning", [_sized(one) for one in files if min(one.record.size) < TINY],
        f"{{n}} images have a side below {TINY} pixels.", "They are enlarged to what the network sees.",
        "Remove thumbnails and icons that got among the images.",
    )  # fmt: skip
    yield from found(
        "thin", "warning", [_sized(one) for one in files if max(one.record.size) > THIN * min(one.record.size)],
        f"{{n}} images are over {THIN:g} times as long as they are wide.", _what_thin_becomes(preprocess),
        "Cut them to the part that shows the class.",
    )  # fmt: skip
    if preprocess is not None:
        small = [one for one in files if _scale(one, preprocess) > BLOWN_UP and min(one.record.size) >= TINY]
        h, w = preprocess.size
        yield from found(
            "small-for-network", "note", [_sized(one) for one in small],
            f"{{n}} images are enlarged over {BLOWN_UP:g} times to the {w} x {h} pixels that the network sees.",
            "They are enlarged; that adds no detail.", "Use larger originals, or a smaller --size.",
        )  # fmt: skip
    by_side = sorted(files, key=lambda one: min(one.record.size))
    if by_side and min(by_side[-1].record.size) > UNLIKE * min(by_side[0].record.size):
        ends = (_sized(by_side[0]), _sized(by_side[-1]))
        yield from found(
            "unlike-sizes", "note", [ends],
            f"The short side of the largest image is over {UNLIKE:g} times that of the smallest.",
            "All are scaled to one size, so detail and scale of what is shown differ.",
            "See that size does not go with one class.", count=len(by_side),
        )  # fmt: skip


def _sized(one: Seen) -> str:
    h, w = one.record.size
    return f"{one.key} ({w} x {h})"


def _scale(one: Seen, preprocess: Preprocess) -> float:
    (h, w), (height, width) = preprocess.size, one.record.size
    if preprocess.resize == "pad":
        return 1.0
    if preprocess.resize == "letterbox":
        return min(h / height, w / width)
    return max(h / height, w / width)


def _what_thin_becomes(preprocess: Preprocess | None) -> str:
    what = {
        "crop": "The middle is kept and the ends are cut off.",
        "letterbox": "They are made to fit, with broad empty margins.",
        "stretch": "They are squeezed into the network's shape.",
        "pad": "They are made to fit, with broad empty margins.",
    }
    return "They are used like all others." if preprocess is None else what[preprocess.resize]


def summary(seen: Sequence[Seen]) -> dict[str, dict[str, int]]:
    """How many images there are of each format, mode, depth, and of the smallest, middle and largest sizes."""
    facts = [one.record.facts for one in seen if one.record.facts is not None]
    good = [one.record for one in seen if one.record.reason is None]
    sides = sorted(min(record.size) for record in good) or [0]
    return {
        "formats": dict(sorted(Counter(fact.format for fact in facts).items())),
        "modes": dict(sorted(Counter(f"{f.mode}, {f.bits} bit" for f in facts).items())),
        "channels": {str(c): n for c, n in sorted(Counter(record.channels for record in good).items())},
        "short_side_px": {"smallest": sides[0], "median": sides[len(sides) // 2], "largest": sides[-1]},
    }
