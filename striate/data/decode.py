"""Image bytes -> pixels that tell the truth, or an error that names the file.

    JPEG, PNG, GIF, BMP, WebP, told by their first bytes, whatever the file is called
    gray of any depth -> (H, W, 1)          colour, palette, CMYK -> (H, W, 3)
    16 bits           -> round(x / 257), never clipped
    1, 2, 4 bits      -> x * 255 / (2^bits - 1)
    alpha a           -> (a * colour + (full - a) * background) / full, as the values stand (no gamma)
    CMYK              -> (255 - c) (255 - k) / 255 a channel; c and k stored inverted where Adobe's mark says so
    EXIF orientation  -> applied; EXIF that is broken counts as none
    animation         -> the first picture
    ICC profile, gAMA -> not applied: values are taken as sRGB; `Facts.profile` says that there was one

Floats and 32-bit integers can't occur in these formats. A file that is cut short or damaged is refused, never half
drawn.

Differs: Pillow drops the low byte of 16-bit colour, clips 16-bit gray in `convert`, inverts all CMYK, opens EXIF with
         its TIFF reader, and draws what is missing from a PNG, GIF or JPEG as black or gray.
"""

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Image.open would import every reader there is on the first WebP; with these five here it imports no other.
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from striate.data.formats.jpeg_drawn import drawn_at_once
from striate.data.formats.skeleton import Skeleton, orientation
from striate.data.formats.sniff import looks_like_an_image, read_skeleton
from striate.data.limits import Limits
from striate.data.samples import Samples, as_bytes, over, palette_of, samples_of
from striate.errors import ImageError, ImageTooLarge

__all__ = ["Decoded", "Facts", "Limits", "decode", "looks_like_an_image", "printable", "read_bytes", "read_image"]

_READERS = (BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
_NO_LIMITS_GIVEN = Limits()
_WHITE = (255, 255, 255)
_BAND = 1 << 20  # pixels that are converted at once: bounds the memory beside that of the picture itself

# What Pillow's readers of these formats raise on bytes that are not what they should be.
_READ_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    EOFError, RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found in the file, before the orientation was applied."""

    format: str  # JPEG, PNG, GIF, BMP, WEBP
    mode: str  # of the stored pixels: 1, L, LA, P, RGB, RGBA, CMYK
    bits: int  # a sample, or a palette index
    width: int
    height: int
    orientation: int = 1  # 1 to 8, as in EXIF
    animated: bool = False  # there are more pictures, which are not read
    transparent: bool = False  # some pixel shows the background
    profile: bool = False  # there is an ICC profile, which is not applied


@dataclass(frozen=True, eq=False)
class Decoded:
    """pixels (H, W, 1 or 3) uint8, upright; facts as found in the file."""

    pixels: NDArray[np.uint8]
    facts: Facts


def read_image(path: Path, *, background: tuple[int, int, int] = _WHITE, limits: Limits = _NO_LIMITS_GIVEN) -> Decoded:
    """Decode a file; never waits for one that is no regular file (a pipe, a device).

    Raises: UnsupportedImage for another format; ImageTooLarge over a limit; ImageError for all else that goes wrong.
    """
    return decode(read_bytes(path, limits), str(path), background=background, limits=limits)


def decode(
    data: bytes, name: str, *, background: tuple[int, int, int] = _WHITE, limits: Limits = _NO_LIMITS_GIVEN
) -> Decoded:
    """Decode the bytes of a file; `name` is what errors call it, `background` what transparent pixels show.

    Raises: UnsupportedImage for another format; ImageTooLarge over a limit; ImageError for all else that goes wrong.
    """
    try:
        limits.check_bytes(len(data))
        skeleton = read_skeleton(data, limits)
        turn = orientation(skeleton.exif)
        pixels, transparent = _draw(skeleton, turn, background)
    except ImageError as error:
        raise type(error)(f"{printable(name)}: {error}") from error
    except MemoryError as error:
        raise ImageTooLarge(f"{printable(name)}: decoding it needs more memory than there is") from error
    except _READ_ERRORS as error:
        reason = printable(str(error)) or type(error).__name__
        raise ImageError(f"{printable(name)}: damaged, can't be decoded as {skeleton.format} ({reason})") from error
    mode = "L" if skeleton.mode == "P" and pixels.shape[2] == 1 else skeleton.mode  # a BMP whose palette is a gray ramp
    facts = Facts(
        format=skeleton.format, mode=mode, bits=skeleton.bits, width=skeleton.width, height=skeleton.height,
        orientation=turn, animated=skeleton.animated, transparent=transparent, profile=skeleton.profile,
    )  # fmt: skip
    return Decoded(pixels, facts)


def read_bytes(path: Path, limits: Limits = _NO_LIMITS_GIVEN) -> bytes:
    """The bytes of a regular file within the limits, reached through links if need be.

    Raises: ImageTooLarge, ImageError.
    """
    name = printable(str(path))
    try:
        _check_kind(path.stat().st_mode, name)  # before opening: to open some devices is to set them off
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            _check_kind(status.st_mode, name)
            limits.check_bytes(status.st_size)
            data = file.read(limits.max_bytes + 1)
        limits.check_bytes(len(data))
    except ImageTooLarge as error:
        raise ImageTooLarge(f"{name}: {error}") from error
    except OSError as error:
        raise ImageError(f"{name}: can't be read ({error.strerror or error})") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(f"{name}: not a file name ({error})") from error
    except MemoryError as error:
        raise ImageTooLarge(f"{name}: reading it needs more memory than there is") from error
    return data


def printable(name: str) -> str:
    """The name fit for one line of a message: control characters and stray bytes are shown as escapes.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def _check_kind(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
        raise ImageError(f"{name}: not a file but a {kinds.get(stat.S_IFMT(mode), 'device')}")


def _draw(skeleton: Skeleton, turn: int, background: tuple[int, int, int]) -> tuple[NDArray[np.uint8], bool]:
    """The upright pixels, and whether the background shows anywhere."""
    if skeleton.format == "JPEG" and (at_once := drawn_at_once(skeleton)) is not None:
        return _upright(at_once, turn), False
    picture = _open(skeleton.drawing, skeleton)
    _check_all_drawn(picture, skeleton)
    low = _low_bytes(skeleton)
    palette = palette_of(picture, skeleton) if picture.mode == "P" else None
    channels = 1 if _stays_gray(picture, skeleton, background) else 3
    sides = (skeleton.height, skeleton.width) if turn <= 4 else (skeleton.width, skeleton.height)
    out = np.empty((*sides, channels), dtype=np.uint8)
    canvas, behind = _as_stored(out, turn), np.array(background[:channels], dtype=np.int32)
    (x, y), (w, h) = skeleton.origin, skeleton.frame
    transparent = (w, h) != (skeleton.width, skeleton.height)
    if transparent:
        canvas[:] = behind
    opaque = picture.mode == "RGBA" and skeleton.format == "BMP" and picture.getchannel("A").getextrema() == (0, 0)
    for top, part, low_part in _bands(picture, low):
        colour, alpha = samples_of(part, low_part, skeleton, palette)
        target = canvas[y + top : y + top + len(part), x : x + w]
        if alpha is None or opaque or alpha.min() == np.iinfo(alpha.dtype).max:
            target[:] = as_bytes(colour)
        else:
            target[:] = over(colour, alpha, behind)
            transparent = True
    return out, transparent


def _open(drawing: bytes, skeleton: Skeleton, samples: str = "") -> Image.Image:
    """The picture, loaded; with `samples`, which bytes of each sample Pillow takes (its "raw mode")."""
    try:
        picture = Image.open(io.BytesIO(drawing), formats=(skeleton.format,))
    except UnidentifiedImageError:  # its message names an address in memory
        raise ImageError(f"damaged: the {skeleton.format} header can't be read") from None
    if picture.size != skeleton.frame:
        raise ImageError(f"damaged: the {skeleton.format} states two sizes, {skeleton.frame} and {picture.size}")
    if samples:
        picture.tile = [tile._replace(args=samples) for tile in picture.tile]
    picture.load()
    return picture


def _check_all_drawn(picture: Image.Image, skeleton: Skeleton) -> None:
    """Refuse a GIF or a JPEG whose data end before the picture does (others are refused by then)."""
    if skeleton.format == "JPEG":
        last = picture.getpixel((picture.width - 1, picture.height - 1))
        suspect = set(last if isinstance(last, tuple) else (last,)) <= {127, 128}  # the gray that fills what is missing
    else:
        suspect = skeleton.format == "GIF"
    if suspect:
        other = _open(skeleton.disturbed(), skeleton)
        if any(two is None or not np.array_equal(one, two) for _, one, two in _bands(picture, other)):
            raise ImageError(f"cut short: the {skeleton.format} has no data for part of the picture")


def _low_bytes(skeleton: Skeleton) -> Image.Image | None:
    """The low bytes of 16-bit colour, as a picture.

    Pillow takes the high ones of big-endian samples, as PNG has them; told that they are little-endian, it takes the
    low ones.
    """
    if skeleton.bits == 16 and skeleton.mode in ("RGB", "RGBA"):
        return _open(skeleton.drawing, skeleton, f"{skeleton.mode};16L")
    return None


def _stays_gray(picture: Image.Image, skeleton: Skeleton, background: tuple[int, int, int]) -> bool:
    gray_background = len(set(background)) == 1
    if picture.mode in ("1", "L", "I;16"):
        return gray_background or not skeleton.key
    return skeleton.mode == "LA" and gray_background


def _bands(picture: Image.Image, other: Image.Image | None) -> Iterator[tuple[int, Samples, Samples | None]]:
    """Top row and samples of one horizontal strip after the other, of a picture and of another of its size."""
    rows = max(1, _BAND // picture.width)
    if rows >= picture.height:
        yield 0, np.asarray(picture), None if other is None else np.asarray(other)
        return
    for top in range(0, picture.height, rows):
        box = (0, top, picture.width, min(top + rows, picture.height))
        yield top, np.asarray(picture.crop(box)), None if other is None else np.asarray(other.crop(box))


def _upright(stored: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    if turn == 1:
        return stored
    out = np.empty_like(stored if turn <= 4 else stored.swapaxes(0, 1), order="C")
    _as_stored(out, turn)[:] = stored
    return out


def _as_stored(upright: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """The upright pixels seen as the file stores them: a view, to be written into."""
    turned = upright if turn <= 4 else upright.swapaxes(0, 1)
    return turned[:: -1 if turn in (3, 4, 6, 7) else 1, :: -1 if turn in (2, 3, 7, 8) else 1]
