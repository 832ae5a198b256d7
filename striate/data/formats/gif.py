"""The skeleton of a GIF file: its first frame alone.  Source: CompuServe GIF89a."""

import struct
from dataclasses import replace

from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import ImageError, ImageTooLarge


def walk(data: bytes, limits: Limits) -> Skeleton:
    """First frame, then block by block to the end mark."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _palette_size(flags)
    palette, key, found, blocks, frames = data[13:at], b"", None, 0, 0
    while (mark := data[at : at + 1]) != b";":
        if mark == b"!":
            if data[at + 1 : at + 2] == b"\xf9" and found is None and len(data) > at + 6:
                key = data[at + 6 : at + 7] if data[at + 3] & 1 else b""
            at, more = _blocks(data, at + 2, limits, blocks)
        elif mark == b",":
            if at + 10 > len(data):
                raise ImageError("cut short: the GIF ends inside a frame's header")
            frames += 1
            start, (x, y, w, h, local) = at, struct.unpack_from("<HHHHB", data, at + 1)
            pixels = at + 10 + _palette_size(local)
            at, more = _blocks(data, pixels + 1, limits, blocks)
            if found is None:
                canvas = max(width, x + w), max(height, y + h)
                limits.check_sides(w, h)
                limits.check_sides(*canvas)
                found = Skeleton(
                    format="GIF", mode="P", bits=8, width=canvas[0], height=canvas[1], origin=(x, y), frame=(w, h),
                    palette=data[start + 10 : pixels] or palette, key=key, drawing=_frame(data, start, pixels, at),
                    doubts=(_FILL,),
                )  # fmt: skip
        elif mark == b"\0":
            at, more = at + 1, 0  # some programs pad between blocks
        elif not mark:
            raise ImageError("cut short: the GIF has no end mark")
        else:
            raise ImageError(f"damaged: the GIF has a block of unknown kind ({mark!r})")
        blocks += more + 1
    if found is None:
        raise ImageError("damaged: the GIF has no picture in it")
    return replace(found, animated=frames > 1)


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, at: int, limits: Limits, before: int) -> tuple[int, int]:
    """Past a row of blocks: where the next part starts, and how many blocks there were."""
    count, most = 0, limits.max_parts * 32 - before
    while at < len(data) and (size := data[at]):
        at += 1 + size
        count += 1
        if count > most:
            raise ImageTooLarge(f"over {limits.max_parts * 32:,} GIF blocks")
    if at >= len(data):
        raise ImageError("cut short: the GIF ends inside a block")
    return at + 1, count


_FILL = 19  # where the transparent index stands in what `_frame` writes


def _frame(data: bytes, start: int, pixels: int, end: int) -> bytes:
    """A GIF of this frame alone, on a canvas of its own size, filled with index 0 where it draws nothing.

    Its palette is black but for the last entry, so that Pillow keeps the indices; `Skeleton.palette` has the colours.
    """
    flags = data[start + 9]
    return b"".join([
        b"GIF89a", data[start + 5 : start + 9], b"\0\0\0",
        b"!\xf9\x04\x01\0\0\0\0",
        b",\0\0\0\0", data[start + 5 : start + 9], bytes([flags & 0x40 | 0x87]), bytes(765) + b"\xff\0\0",
        data[pixels:end], b";",
    ])  # fmt: skip
