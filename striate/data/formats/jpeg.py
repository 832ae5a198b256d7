"""The skeleton of a JPEG file.  Source: ITU-T T.81, annexes B and G."""

import itertools
import re
import struct
from dataclasses import replace

from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage

_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_DRAWS = {0xC4, 0xDB, 0xDD, 0xE0, 0xEE}  # Huffman and quantisation tables, restarts, JFIF, Adobe
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALL_BITS = 16
_OTHER = {0xC3: "lossless", 0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded", 0xCB: "lossless"}


def walk(data: bytes, limits: Limits) -> Skeleton:
    """Segment by segment to the end mark; a scan's data are searched for the next mark, not decoded."""
    view, parts, length = memoryview(data), [memoryview(data)[:2]], 2  # length: of all parts
    found: Skeleton | None = None
    missing: dict[int, list[int]] = {}
    ends: list[int] = []
    exif, profile, adobe, sequential = b"", False, False, True
    at, marker = 2, 0
    for count in itertools.count():
        limits.check_parts(count, "JPEG segments")
        match = _MARKER.search(data, at)
        if match is None:
            raise ImageError("cut short: the JPEG has no end mark")
        at, marker = match.end(), data[match.end() - 1]
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if at + max(2, size) > len(data):
            raise ImageError("cut short: the JPEG ends inside a segment")
        if size < 2 or marker == 0xD8:
            raise ImageError("damaged: the JPEG has a segment of impossible length or kind")
        body, start, at = data[at + 2 : at + size], at - 2, at + size
        if marker in _FRAMES:
            if found is not None:
                raise ImageError("damaged: the JPEG has two frame headers")
            found = _frame(marker, body, limits)
            missing = {component: [_ALL_BITS] * 64 for component in body[6 : 6 + 3 * body[5] : 3]}
            sequential = marker != 0xC2
        elif marker == 0xDA:
            if found is None:
                raise ImageError("damaged: the JPEG has a scan before its frame header")
            if len(ends) == limits.max_scans:
                raise ImageTooLarge(f"a JPEG of over {limits.max_scans} scans")
            _scan(body, missing, sequential)
            end = _SCAN_END.search(data, at)
            if end is None:
                raise ImageError("cut short: the JPEG ends inside a scan")
            at = end.start()
        elif marker == 0xE1 and body[:6] == b"Exif\0\0":
            exif = exif or body
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":
            profile = True
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = True
        if marker in _DRAWS or marker in _FRAMES or marker == 0xDA:
            parts.append(view[start:at])
            length += at - start
        if marker == 0xDA:
            ends.append(length)
    if found is None or not ends:
        raise ImageError("damaged: the JPEG has no picture in it")
    if any(map(any, missing.values())):
        raise ImageError("cut short: scans of the JPEG are missing")
    drawing = b"".join([*parts, b"\xff\xd9"])
    return replace(found, drawing=drawing, exif=exif, profile=profile, adobe=adobe, doubts=tuple(ends))


def _scan(body: bytes, missing: dict[int, list[int]], sequential: bool) -> None:
    """Note which coefficients of which components a scan brings, and how many of their low bits it leaves out."""
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count:
        raise ImageError("damaged: the JPEG's scan header is too short")
    first, last, approximation = (0, 63, 0) if sequential else body[1 + 2 * count : 4 + 2 * count]
    for component in body[1 : 1 + 2 * count : 2]:
        if component in missing and last < 64:
            missing[component][first : last + 1] = [approximation & 15] * (last + 1 - first)


def _frame(marker: int, body: bytes, limits: Limits) -> Skeleton:
    if marker not in (0xC0, 0xC1, 0xC2):
        raise UnsupportedImage(f"{_OTHER.get(marker, 'hierarchical')} JPEG; baseline and progressive JPEG are read")
    if len(body) < 6:
        raise ImageError("damaged: the JPEG's frame header is too short")
    bits, height, width, channels = struct.unpack_from(">BHHB", body)
    if bits != 8:
        raise UnsupportedImage(f"JPEG of {bits} bits a sample; 8 bits are read")
    if channels not in (1, 3, 4):
        raise UnsupportedImage(f"JPEG of {channels} channels; 1, 3 and 4 are read")
    limits.check_sides(width, height)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    return Skeleton(format="JPEG", mode=mode, bits=8, width=width, height=height, drawing=b"")
