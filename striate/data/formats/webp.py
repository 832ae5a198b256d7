"""The skeleton of a WebP file.  Source: RFC 9649."""

from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import ImageError


def walk(data: bytes, limits: Limits) -> Skeleton:
    """Chunk by chunk to the end that the first bytes state."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ImageError(f"cut short: the WebP says {end:,} bytes and has {len(data):,}")
    at, sides, mode, exif, animated, profile = 12, None, "RGB", b"", False, False
    count = 0
    while at + 8 <= end:
        limits.check_parts(count, "WebP chunks")
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + (size if kind == b"EXIF" else 10)]
        if at + 8 + size > end:
            raise ImageError("cut short: the WebP ends inside a chunk")
        if count == 0:
            sides, mode = _sides(kind, body)
            limits.check_sides(*sides)
            animated = kind == b"VP8X" and bool(body[0] & 0x02)
            profile = kind == b"VP8X" and bool(body[0] & 0x20)
        elif kind == b"EXIF":
            exif = body
        count += 1
        at += 8 + size + size % 2
    if sides is None:
        raise ImageError("damaged: the WebP has no picture in it")
    return Skeleton(
        format="WEBP", mode=mode, bits=8, width=sides[0], height=sides[1], drawing=data[:end],
        animated=animated, profile=profile, exif=exif,
    )  # fmt: skip


def _sides(kind: bytes, body: bytes) -> tuple[tuple[int, int], str]:
    """Width and height, and whether there may be alpha, from the first chunk."""
    little = int.from_bytes
    if kind == b"VP8X" and len(body) >= 10:
        sides = little(body[4:7], "little") + 1, little(body[7:10], "little") + 1
        return sides, "RGBA" if body[0] & 0x10 else "RGB"
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        word = little(body[1:5], "little")
        return ((word & 0x3FFF) + 1, (word >> 14 & 0x3FFF) + 1), "RGBA" if word >> 28 & 1 else "RGB"
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        return (little(body[6:8], "little") & 0x3FFF, little(body[8:10], "little") & 0x3FFF), "RGB"
    raise ImageError(f"damaged: the WebP begins with a chunk that is none of its kinds ({kind!r})")
