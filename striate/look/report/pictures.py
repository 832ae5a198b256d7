"""The report's pictures, as small as they can be: WebP for photographs, PNG for images whose pixels are to be seen."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.look.markup import Child, Markup, raw, tag

SMALL = 100  # pixels a side: below, each pixel is drawn as a square
LARGEST = 1024  # pixels a side: larger photographs are shrunk to it
QUALITY = 84  # of WebP


def picture(pixels: NDArray[np.generic], alt: str, *, largest: int = LARGEST) -> Markup:
    """An image (H, W, 1, 3 or 4), bytes or floats in 0..1, inside the page; `alt` says in words what it shows."""
    shown = Image.fromarray(_bytes(pixels))
    if max(shown.size) > largest:
        scale = largest / max(shown.size)
        sides = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        shown = shown.resize(sides, Image.Resampling.LANCZOS)
    square = max(shown.size) < SMALL or shown.mode == "RGBA"  # what has clear pixels is made of squares, too
    return tag(
        "img", src=_inside(shown, square), alt=alt, width=shown.width, height=shown.height,
        class_="square" if square else None, decoding="async",
    )  # fmt: skip


def stored(content: bytes, alt: str) -> Markup:
    """A PNG or WebP file inside the page, as it is."""
    with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as shown:
        width, height, kind = shown.width, shown.height, (shown.format or "png").lower()
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return tag("img", src=address, alt=alt, width=width, height=height, decoding="async", loading="lazy")


def marked(image: Markup, size: tuple[int, int], *marks: Child) -> Markup:
    """An image with SVG marks over it, in pixels of (height, width); lines keep their width at any size."""
    height, width = size
    over = tag(
        "svg", *marks, viewBox=f"0 0 {width} {height}", preserveAspectRatio="none", aria_hidden="true", class_="over"
    )
    return tag("div", image, over, class_="marked")


def box(left: float, top: float, width: float, height: float, kind: str) -> Markup:
    """A frame on an image: a dark line below a bright one, to be seen on any ground."""
    where = {"x": float(left), "y": float(top), "width": float(width), "height": float(height)}
    return raw(tag("rect", class_="halo", **where), tag("rect", class_=kind, **where))


def shade(size: tuple[int, int], kept: tuple[float, float, float, float]) -> Markup:
    """All of an image (height, width) but the box (left, top, right, bottom), made pale."""
    (height, width), (left, top, right, bottom) = size, kept
    around = f"M0 0H{width}V{height}H0Z"
    return tag("path", d=f"{around}M{left:g} {top:g}V{bottom:g}H{right:g}V{top:g}Z", class_="shade")


def outline(corners: tuple[tuple[int, int], ...]) -> Markup:
    """A closed line through (x, y)."""
    points = " ".join(f"{x},{y}" for x, y in corners)
    return raw(tag("polygon", points=points, class_="halo"), tag("polygon", points=points, class_="outline"))


def _bytes(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = np.asarray(pixels)
    if values.dtype != np.uint8:
        values = (255 * values.astype(np.float64).clip(0, 1)).round().astype(np.uint8)
    return np.ascontiguousarray(values[:, :, 0] if values.shape[2] == 1 else values)


def _inside(shown: Image.Image, square: bool) -> str:
    """As a data address."""
    stored = io.BytesIO()
    if square:
        shown.save(stored, "PNG", optimize=True)
        kind = "png"
    else:
        shown.convert("RGB").save(stored, "WEBP", quality=QUALITY, method=4)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(stored.getvalue()).decode('ascii')}"
