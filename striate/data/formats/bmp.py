"""The skeleton of a BMP file.  Source: BITMAPCOREHEADER to BITMAPV5HEADER, as Microsoft documents them."""

import struct

from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage

HEADERS = (12, 40, 52, 56, 64, 108, 124)


def walk(data: bytes, limits: Limits) -> Skeleton:
    """The header alone says how many bytes the rows take, unless they are run-length coded."""
    stated, offset, header = struct.unpack_from("<I4xII", data, 2)
    if 14 + header > len(data):
        raise ImageError("cut short: the BMP ends inside its header")
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packing = 0
    else:
        width, height, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
        height = abs(height)
    limits.check_sides(width, height)
    if packing in (4, 5):
        raise UnsupportedImage("BMP that wraps a JPEG or a PNG")
    if packing in (1, 2):
        if width * height > (most := limits.max_run_length_pixels):
            raise ImageTooLarge(f"run-length coded BMP of {width:,} x {height:,} pixels; up to {most:,} are read")
        if stated > len(data):
            raise ImageError(f"cut short: the BMP says {stated:,} bytes and has {len(data):,}")
    elif offset + height * ((width * bits + 31) // 32 * 4) > len(data):
        raise ImageError(f"cut short: the BMP has {len(data):,} bytes and its rows need more")
    mode = "RGB" if bits > 8 else "P"
    return Skeleton(format="BMP", mode=mode, bits=bits if bits <= 8 else 8, width=width, height=height, drawing=data)
