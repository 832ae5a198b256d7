"""The skeleton of a PNG file.  Source: W3C Portable Network Graphics, third edition."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage

_KINDS = {0: ("L", 1, (1, 2, 4, 8, 16)), 2: ("RGB", 3, (8, 16)), 3: ("P", 1, (1, 2, 4, 8)),
              4: ("LA", 2, (8, 16)), 6: ("RGBA", 4, (8, 16))}  # fmt: skip
_DRAWS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def walk(data: bytes, limits: Limits) -> Skeleton:
    """Chunk by chunk to the end chunk; checksums are checked, and the rows are unpacked once to count them."""
    found: Skeleton | None = None
    view = memoryview(data)
    drawing = [view[:8]]
    packed: list[memoryview] = []
    raw_size, unpacked, palette, key, exif, animated, profile = 0, 0, b"", b"", b"", False, False
    for count, (kind, start, end) in enumerate(_chunks(data)):
        body = view[start + 8 : end - 4]
        limits.check_parts(count, "PNG chunks")
        checked = kind in _DRAWS or kind == b"tRNS"
        if checked and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageError(f"damaged: the checksum of the PNG's {kind.decode()} chunk is wrong")
        if (kind == b"IHDR") != (count == 0):
            raise ImageError("damaged: the PNG does not begin with one header")
        if kind == b"IHDR":
            found, raw_size = _header(body, limits)
            deep = found.mode == "LA" and found.bits == 16
            drawing.append(_as_bytes(data[start:end]) if deep else view[start:end])
        elif kind in _DRAWS:
            drawing.append(view[start:end])
        elif kind[0] & 0x20 == 0:
            raise UnsupportedImage(f"PNG with a chunk of unknown kind that it can't be drawn without ({kind!r})")
        if kind == b"PLTE":
            palette = bytes(body)
        elif kind == b"tRNS":
            key = bytes(body)
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"eXIf":
            exif = bytes(body)
        elif kind == b"acTL" and not packed:
            animated = int.from_bytes(body[:4], "big") > 1
        elif kind in (b"iCCP", b"zTXt", b"iTXt"):
            profile |= kind == b"iCCP"
            unpacked += _unpacked_size(kind, bytes(body), limits.max_unpacked - unpacked)
            if unpacked > limits.max_unpacked:
                raise ImageTooLarge(f"texts and profiles that unpack to over {limits.max_unpacked:,} bytes")
    if found is None or not packed:
        raise ImageError("damaged: the PNG has no picture in it")
    if found.mode == "P" and not palette:
        raise ImageError("damaged: the PNG has no palette")
    _check_data(packed, raw_size)
    return replace(
        found, drawing=b"".join(drawing), palette=palette, key=key, exif=exif, animated=animated, profile=profile
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk up to IEND."""
    at, kind = 8, b""
    while kind != b"IEND":
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + size
        if end > len(data):
            raise ImageError("cut short: the PNG ends inside a chunk")
        yield kind, at, end
        at = end


def _header(body: bytes | memoryview, limits: Limits) -> tuple[Skeleton, int]:
    """What the header says, and how many bytes the unpacked rows take."""
    try:
        width, height, bits, kind, packing, filtering, interlaced = struct.unpack(">IIBBBBB", body)
    except struct.error:
        raise ImageError("damaged: the PNG's header has the wrong length") from None
    mode, channels, depths = _KINDS.get(kind, ("", 0, ()))
    if bits not in depths or packing or filtering or interlaced > 1:
        raise ImageError(f"damaged: the PNG's header asks for what does not exist (kind {kind} of {bits} bits)")
    limits.check_sides(width, height)
    raw_size = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            raw_size += rows * (1 + (columns * channels * bits + 7) // 8)
    if mode == "L" and bits == 1:
        mode = "1"
    return Skeleton(format="PNG", mode=mode, bits=bits, width=width, height=height, drawing=b""), raw_size


def _as_bytes(header: bytes) -> memoryview:
    """The header of a 16-bit gray and alpha PNG turned into that of an 8-bit RGBA one.

    Both have four bytes a pixel, so the rows unpack alike: R and G are the high and low byte of gray, B and A of alpha.
    Pillow itself would drop the low bytes.
    """
    changed = header[4:16] + b"\x08\x06" + header[18:-4]
    return memoryview(header[:4] + changed + zlib.crc32(changed).to_bytes(4, "big"))


def _unpacked_size(kind: bytes, body: bytes, at_most: int) -> int:
    """Bytes that a text or profile unpacks to, counted up to one more than `at_most`."""
    _, _, packed = body.partition(b"\0")  # after the name; one byte, the method, before what is packed
    if kind == b"iTXt":
        if packed[:1] != b"\1":
            return 0
        packed = packed[1:2] + packed[2:].split(b"\0", 2)[-1]  # without the language and the name in it
    try:
        return len(zlib.decompressobj().decompress(packed[1:], at_most + 1))
    except zlib.error:
        return 0  # nothing reads it


def _check_data(packed: list[memoryview], raw_size: int) -> None:
    """Unpack the rows once, keeping none: Pillow draws black what is not there."""
    unpacker, count = zlib.decompressobj(), 0
    try:
        for part in packed:
            rest: bytes | memoryview = part
            while rest and count <= raw_size:
                count += len(unpacker.decompress(rest, 1 << 18))
                rest = unpacker.unconsumed_tail
        if not unpacker.unconsumed_tail:
            count += len(unpacker.flush())
    except zlib.error as error:
        raise ImageError(f"damaged: the PNG's pixels do not unpack ({error})") from error
    if count < raw_size:
        raise ImageError(f"cut short: the PNG holds {count:,} of {raw_size:,} bytes of pixels")
