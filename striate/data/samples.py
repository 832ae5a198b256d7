"""From the samples that a file stores to colour and alpha, and from those to bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.formats.skeleton import Skeleton

Samples = NDArray[Any]  # of uint8, uint16 or bool: (h, w) or (h, w, c)


def palette_of(picture: Image.Image, skeleton: Skeleton) -> NDArray[np.uint8]:
    """(256, 4): red, green, blue and alpha of each index; black where the palette is shorter."""
    table = np.zeros((256, 4), dtype=np.uint8)
    colours = np.frombuffer(skeleton.palette or bytes(picture.getpalette() or ()), dtype=np.uint8)
    colours = colours[: min(256, len(colours) // 3) * 3].reshape(-1, 3)
    table[: len(colours), :3], table[:, 3] = colours, 255
    if skeleton.format == "GIF" and skeleton.key:
        table[skeleton.key[0], 3] = 0
    elif skeleton.format == "PNG":
        alpha = np.frombuffer(skeleton.key[:256], dtype=np.uint8)
        table[: len(alpha), 3] = alpha
    return table


def samples_of(
    part: Samples, low: Samples | None, skeleton: Skeleton, palette: NDArray[np.uint8] | None
) -> tuple[Samples, Samples | None]:
    """Colour (h, w, 1 or 3) and alpha (h, w, 1) of a strip, both 8-bit or both 16-bit."""
    if palette is not None:
        looked_up = palette[part]
        return looked_up[:, :, :3], looked_up[:, :, 3:] if palette[:, 3].min() < 255 else None
    if part.dtype == np.bool_:
        part = part.astype(np.uint8) * np.uint8(255)
    if low is not None:
        part = part.astype(np.uint16) << 8 | low
    if part.ndim == 2:
        part = part[:, :, None]
    if skeleton.mode == "LA" and skeleton.bits == 16:
        high, low_ = part[:, :, 0::2].astype(np.uint16), part[:, :, 1::2]
        part = high << 8 | low_
    if skeleton.mode == "CMYK":
        return _cmyk(part if skeleton.adobe else 255 - part), None
    if part.shape[2] in (2, 4):
        return part[:, :, :-1], part[:, :, -1:]
    return part, _keyed(part, skeleton) if skeleton.key else None


def _keyed(colour: Samples, skeleton: Skeleton) -> Samples | None:
    """Alpha of a PNG in which one colour is transparent."""
    if len(skeleton.key) < 2 * colour.shape[2]:
        return None
    key = np.frombuffer(skeleton.key, dtype=">u2", count=colour.shape[2]).astype(np.int64)
    if skeleton.bits < 8:
        key = key * 255 // (2**skeleton.bits - 1)  # as Pillow spreads the samples
    hit = (colour == key).all(axis=2, keepdims=True)
    return np.where(hit, 0, np.iinfo(colour.dtype).max).astype(colour.dtype)


def _cmyk(ink: Samples) -> NDArray[np.uint8]:
    light = 255 - ink.astype(np.uint32)
    return ((2 * light[:, :, :3] * light[:, :, 3:] + 255) // 510).astype(np.uint8)


def as_bytes(colour: Samples) -> Samples:
    """16 bits to 8: x / 257, rounded."""
    return colour if colour.dtype == np.uint8 else (colour.astype(np.uint32) + 128) // 257


def over(colour: Samples, alpha: Samples, behind: Samples) -> Samples:
    """Colour over a background of bytes, rounded to bytes once, at the end."""
    full = int(np.iinfo(alpha.dtype).max)
    a, unit = alpha.astype(np.int32 if full == 255 else np.int64), full // 255
    mixed = a * colour + (full - a) * (behind * unit)  # 0 .. full * full
    rounded: Samples = (2 * mixed + full * unit) // (2 * full * unit)
    return rounded
