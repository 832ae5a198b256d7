"""Image files written by hand, byte for byte, so that what a decoder should find in them is known without one."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
PNG_KINDS = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}


def drawn(seed: int, height: int = 48, width: int = 64, channels: int = 3) -> NDArray[np.uint8]:
    """A picture of its own for each seed: colour washes, and shapes at random places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.zeros((height, width, channels))
    for c in range(channels):
        a, b, phase = rng.uniform(-4, 4, 3)
        picture[:, :, c] = 128 + 60 * np.sin(a * 3 * x + b * 3 * y + phase)
    for _ in range(8):
        cy, cx, r = rng.uniform(0, y.max()), rng.uniform(0, x.max()), rng.uniform(0.05, 0.25)
        colour = rng.uniform(0, 255, channels)
        if rng.random() < 0.5:
            inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        else:
            inside = (abs(y - cy) < r) & (abs(x - cx) < r * rng.uniform(0.3, 1.5))
        picture[inside] = 0.25 * picture[inside] + 0.75 * colour
    return picture.clip(0, 255).round().astype(np.uint8)


def encoded(pixels: Array, format: str, **options: Any) -> bytes:
    """The pixels as Pillow writes them."""
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.squeeze(pixels))
    picture.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    samples: Array, mode: str, bits: int = 8, *, before: bytes = b"", after: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG of samples (H, W, channels), filtered by nothing; `before` and `after` are chunks around the pixels."""
    height, width = samples.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, PNG_KINDS[mode], 0, 0, int(interlaced))
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b""
    for top, left, down, right in passes if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        raw += b"".join(b"\0" + _packed(row, bits) for row in part if row.size)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            before,
            chunk(b"IDAT", zlib.compress(raw)),
            after,
            chunk(b"IEND", b""),
        ]
    )


def _packed(row: Array, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    if bits == 8:
        return row.astype(np.uint8).tobytes()
    spread = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(spread.reshape(-1)).tobytes()


def gif(
    indices: Array,
    palette: Array,
    *,
    key: int | None = None,
    screen: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    frames: int = 1,
    keep: int | None = None,
    interlaced: bool = False,
) -> bytes:
    """A GIF of palette indices (H, W) below 128, with codes of 8 bits and a clear code before they would grow.

    `keep` writes only so many pixels of the frame and then ends its data as if that were all.
    """
    height, width = indices.shape
    canvas = screen or (width, height)
    colours = np.zeros((128, 3), np.uint8)
    colours[: len(palette)] = palette
    out = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0xF6, 0, 0) + colours.tobytes()
    rows = indices
    if interlaced:
        rows = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
    flat = rows.reshape(-1).tolist()[:keep]
    codes = b""
    for i in range(0, len(flat), 100):
        codes += bytes([128, *flat[i : i + 100]])
    codes += b"\x81"
    blocks = b"".join(bytes([len(codes[i : i + 255])]) + codes[i : i + 255] for i in range(0, len(codes), 255))
    for _ in range(frames):
        flags = 1 if key is not None else 0
        out += b"!\xf9\x04" + struct.pack("<BHB", flags, 0, key or 0) + b"\0"
        out += b"," + struct.pack("<HHHHB", *at, width, height, 0x40 if interlaced else 0) + b"\x07" + blocks + b"\0"
    return out + b";"


def bmp(rows: bytes, width: int, height: int, bits: int, *, palette: Array | None = None) -> bytes:
    """A BMP of rows that are packed and padded, bottom row first (top row first where height is negative)."""
    table = b"" if palette is None else np.pad(palette, ((0, 0), (0, 1)))[:, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(rows), 0, 0, len(table) // 4, 0)
    start = 14 + len(head) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + table + rows


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF that states an orientation and nothing else."""
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 1)
    value = struct.pack(f"{order}HH", orientation, 0)
    return b"Exif\0\0" + tiff + struct.pack(f"{order}HHI", 0x0112, 3, 1) + value + struct.pack(f"{order}I", 0)


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg[2:]
