"""A PNG decoder that shares nothing with the one that is tested: the standard's sections, one after the other.

Source: W3C Portable Network Graphics, third edition: chunks 5, scanlines 7.2, interlace 8, filters 9, tRNS 11.3.1.
"""

import struct
import zlib
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def decoded_by_hand(data: bytes, background: int = 255) -> NDArray[np.uint8]:
    """(H, W, 1 or 3) bytes: samples scaled to 8 bits, put on gray of `background` where there is alpha."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while not chunks or chunks[-1][0] != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
    first = dict(reversed(chunks))
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", first[b"IHDR"])
    raw = zlib.decompressobj().decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    channels = CHANNELS[kind]
    samples = np.zeros((height, width, channels), np.int64)
    starts, steps = ((0, 0),), ((1, 1),)
    if interlaced:
        starts = ((0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0))
        steps = ((8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1))
    at = 0
    for (top, left), (down, right) in zip(starts, steps, strict=True):
        part = samples[top::down, left::right]
        if part.size:
            rows, at = _unfiltered(raw, at, part.shape[0], part.shape[1], channels, bits)
            part[:] = rows
    return _shown(samples, kind, bits, first.get(b"PLTE", b""), first.get(b"tRNS", b""), background)


def _unfiltered(
    raw: bytes, at: int, height: int, width: int, channels: int, bits: int
) -> tuple[NDArray[np.int64], int]:
    stride, apart = (width * channels * bits + 7) // 8, max(1, channels * bits // 8)
    rows, above = [], bytes(stride)
    for _ in range(height):
        kind, line = raw[at], bytearray(raw[at + 1 : at + 1 + stride])
        at += 1 + stride
        for i in range(stride):
            a = line[i - apart] if i >= apart else 0
            b, c = above[i], above[i - apart] if i >= apart else 0
            guess = a + b - c
            paeth = min((a, b, c), key=lambda v: abs(guess - v))
            line[i] = (line[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 0xFF
        above = bytes(line)
        rows.append(_values(above, width * channels, bits))
    return np.array(rows).reshape(height, width, channels), at


def _values(line: bytes, count: int, bits: int) -> list[int]:
    if bits == 16:
        return list(struct.unpack(f">{count}H", line))
    each = 8 // bits
    return [line[i // each] >> (8 - bits - i % each * bits) & (1 << bits) - 1 for i in range(count)]


def _shown(
    samples: NDArray[np.int64], kind: int, bits: int, palette: bytes, key: bytes, background: int
) -> NDArray[np.uint8]:
    full = (1 << bits) - 1
    height, width, _ = samples.shape
    out = np.zeros((height, width, 1 if kind in (0, 4) else 3), np.uint8)
    for y in range(height):
        for x in range(width):
            values = samples[y, x].tolist()
            alpha = Fraction(1)
            if kind == 3:
                index = values[0]
                colour = [Fraction(v, 255) for v in palette[3 * index : 3 * index + 3].ljust(3, b"\0")]
                alpha = Fraction(key[index], 255) if index < len(key) else alpha
            elif kind in (4, 6):
                colour, alpha = [Fraction(v, full) for v in values[:-1]], Fraction(values[-1], full)
            else:
                colour = [Fraction(v, full) for v in values]
                if key and values == list(struct.unpack_from(f">{len(values)}H", key)):
                    alpha = Fraction(0)
            behind = Fraction(background, 255)
            out[y, x] = [int((alpha * v + (1 - alpha) * behind) * 255 + Fraction(1, 2)) for v in colour]
    return out
