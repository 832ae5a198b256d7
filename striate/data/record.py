"""What one look at an image found: whether it can be read, what it is, and a small picture to compare it by."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.decode import Facts, Limits, decode, looks_like_an_image, printable, read_bytes
from striate.errors import ImageError, ImageTooLarge, UnsupportedImage

Fault = Literal["empty", "cut short", "damaged", "unsupported", "too large", "unreadable"]
THUMB, CELLS = 32, 4  # height and width of the small picture, and of its colours


@dataclass(frozen=True, slots=True)
class Record:
    """An image as it was found. What a file that can't be read does not tell is zero or empty."""

    digest: bytes = b""  # SHA-256 of the file's bytes, or of the pixels where there is no file
    reason: str | None = None  # why it can't be read; None where it can
    fault: Fault | None = None
    size: tuple[int, int] = (0, 0)  # (H, W) in pixels, upright
    channels: int = 0  # 1 or 3
    lowest: int = 0  # sample of all, 0..255
    highest: int = 0
    facts: Facts | None = None  # None where there is no file
    thumb: bytes = b""  # (32, 32) gray, the whole image stretched; empty where there is no file
    colour: bytes = b""  # (4, 4, 3) red, green, blue, likewise


def look_at(path: Path, *, background: tuple[int, int, int], limits: Limits) -> Record:
    """Read and decode a file once. A file that can't be read gives a record that says why; nothing is raised."""
    return look_at_stored(lambda: read_bytes(path, limits), str(path), background=background, limits=limits)


def look_at_stored(read: Callable[[], bytes], name: str, *, background: tuple[int, int, int], limits: Limits) -> Record:
    """As `look_at`, of bytes that lie anywhere; `name` is what the errors of `read` begin with."""
    data = b""
    try:
        data = read()
        decoded = decode(data, name, background=background, limits=limits)
    except ImageError as error:
        reason = str(error).removeprefix(f"{printable(name)}: ")
        digest = hashlib.sha256(data).digest() if data else b""
        return Record(digest=digest, reason=reason, fault=_fault(error, reason, data))
    pixels = decoded.pixels
    thumb, colour = small(pixels)
    return Record(
        digest=hashlib.sha256(data).digest(),
        size=pixels.shape[:2],
        channels=pixels.shape[2],
        lowest=int(pixels.min()),
        highest=int(pixels.max()),
        facts=decoded.facts,
        thumb=thumb.tobytes(),
        colour=colour.tobytes(),
    )


def small(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """From (H, W, 1 or 3) to (32, 32) gray and (4, 4, 3) colours, each value the mean of its part of the image."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    tiny = picture.resize((THUMB, THUMB), Image.Resampling.BOX)
    colours = tiny.convert("RGB").resize((CELLS, CELLS), Image.Resampling.BOX)
    return np.asarray(tiny.convert("L")), np.asarray(colours)


def _fault(error: ImageError, reason: str, data: bytes) -> Fault:
    if isinstance(error, ImageTooLarge):
        return "too large"
    if isinstance(error, UnsupportedImage):
        if looks_like_an_image(data):  # too short to be one
            return "cut short"
        return "unsupported" if data else "empty"
    if reason.startswith("cut short"):
        return "cut short"
    return "damaged" if data else "unreadable"
