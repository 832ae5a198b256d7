"""The bones of an image file: its size, and the file again without all that draws no pixel.

The decoder then never sees a text, a profile, a thumbnail, EXIF, a second frame or what follows the end, whatever they
hold; nor a file that is cut short, has a wrong checksum, or asks for more than the limits allow. Each format has its
own module, with one function that walks a file of that format.
"""

import struct
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """What the file says of itself, and the part of it that draws the pixels."""

    format: str  # JPEG, PNG, GIF, BMP, WEBP
    mode: str  # of the stored pixels: 1, L, LA, P, RGB, RGBA, CMYK
    bits: int  # a sample (or a palette index)
    width: int
    height: int
    drawing: bytes  # the file without all that draws no pixel
    animated: bool = False
    profile: bool = False  # it has an ICC profile
    exif: bytes = b""
    adobe: bool = False  # JPEG: has Adobe's mark, by which its CMYK is stored inverted
    palette: bytes = b""  # red, green, blue of each index (PNG, GIF)
    key: bytes = b""  # PNG: the tRNS chunk; GIF: the index that is transparent
    origin: tuple[int, int] = (0, 0)  # GIF: x, y of the frame on the canvas
    frame: tuple[int, int] = (0, 0)  # width, height of what `drawing` draws
    doubts: tuple[int, ...] = ()  # where `disturbed` changes the drawing

    def disturbed(self) -> bytes:
        """The drawing with other filling: pixels that come out differently were never in the file.

        A decoder fills what is missing: a GIF's with the transparent index, a JPEG's with gray. With another index, or
        with more (meaningless) bits at the end of each scan, the filling changes and nothing else does.
        """
        if self.format == "GIF":
            (at,) = self.doubts
            return self.drawing[:at] + b"\xff" + self.drawing[at + 1 :]
        starts = (0, *self.doubts)
        ends = (*self.doubts, len(self.drawing))
        return (b"\x55\xa9\x36" * 16).join(self.drawing[a:b] for a, b in zip(starts, ends, strict=True))


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that EXIF data states for the main picture; 1 where it states none or is broken."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    if at + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
        if tag == 0x0112 and kind in (3, 4):
            (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", tiff, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1
