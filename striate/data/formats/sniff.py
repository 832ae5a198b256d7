"""Which format the bytes are, by their beginning; the name of a file has no say."""

import re
from collections.abc import Callable
from dataclasses import replace

from striate.data.formats import bmp, gif, jpeg, png, webp
from striate.data.formats.skeleton import Skeleton
from striate.data.limits import Limits
from striate.errors import UnsupportedImage

_SHORTEST = 26  # bytes; no image of these formats is shorter
_WALKS: tuple[tuple[re.Pattern[bytes], Callable[[bytes, Limits], Skeleton]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), jpeg.walk),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.walk),
    (re.compile(rb"GIF8[79]a"), gif.walk),
    (re.compile(rb"BM.{12}[" + bytes(re.escape(bytes(bmp.HEADERS))) + rb"]\0\0\0", re.DOTALL), bmp.walk),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), webp.walk),
)
_OTHER_PICTURES: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP", "too short or broken in its first bytes"),
    (rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+", "a TIFF file"),
    (rb"\x00{3}\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (rb"\x00{3}\x0cJXL |\xff\x0a", "a JPEG XL file"),
    (rb"....ftyp(avif|avis)", "an AVIF file"),
    (rb"....ftyp(hei|hev|mif|msf)", "a HEIC file"),
    (rb"8BPS", "a Photoshop file"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file"),
    (rb"icns", "an icon file (ICNS)"),
    (rb"\x00\x00[\x01\x02]\x00", "an icon file (ICO or CUR)"),
    (rb"P[1-7fF]\s", "a PNM file"),
    (rb"SIMPLE  =", "a FITS file"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE\s+svg[^>]*>\s*)?<svg", "an SVG drawing"),
)  # fmt: skip
_NO_PICTURES: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp", "a video file"),
    (rb"%PDF", "a PDF file"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"\x80[\x02-\x05]", "a Python pickle"),
    (rb"\s*<(!DOCTYPE|html|head|body|\?xml)", "a web page or XML file"),
    (rb"\x00+\Z", "nothing but zero bytes"),
    (rb"[\t\n\r\x20-\x7e]+\Z", "a text file"),
    (rb"", "not an image file of a known format"),
)
NO_PICTURES = frozenset(what for _, what in _NO_PICTURES)
_GUESSES = [(re.compile(look, re.DOTALL | re.IGNORECASE), what) for look, what in (*_OTHER_PICTURES, *_NO_PICTURES)]


def read_skeleton(data: bytes, limits: Limits) -> Skeleton:
    """Find the format by its first bytes and walk the file.

    Raises: UnsupportedImage for another format; ImageTooLarge over a limit; ImageError where it is cut or damaged.
    """
    if not data:
        raise UnsupportedImage("the file is empty")
    for magic, walk in _WALKS:
        if magic.match(data) and len(data) >= _SHORTEST:
            skeleton = walk(data, limits)
            return skeleton if skeleton.frame != (0, 0) else replace(skeleton, frame=(skeleton.width, skeleton.height))
    raise UnsupportedImage(f"{_guess(data)}; JPEG, PNG, GIF, BMP and WebP are read")


def looks_like_an_image(data: bytes) -> bool:
    """Whether the bytes begin like a file of a format that is read."""
    return any(magic.match(data) for magic, _ in _WALKS)


def _guess(data: bytes) -> str:
    """What the file looks like, for the message that refuses it."""
    return next(what for look, what in _GUESSES if look.match(data[:1024]))
