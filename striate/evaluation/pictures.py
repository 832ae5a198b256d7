"""Small pictures for the card: what the network saw, and where it found its evidence. Encoded bytes, no files."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.preprocess import Order

SIDE = 176  # pixels; larger images are shrunk to it, small ones enlarged by a whole factor, their pixels visible
_STOPS = np.array([0.0, 0.35, 0.7, 1.0])
_COLOURS = np.array(
    [[70, 10, 90], [200, 40, 80], [250, 140, 40], [255, 235, 120]], dtype=np.float64
)  # evidence: none .. most


def as_seen(pixels: NDArray[np.uint8], order: Order) -> Image.Image:
    """(c, H, W) bytes after preprocessing, before normalisation -> the picture, red first, at thumbnail size."""
    if order == "gray":
        picture = Image.fromarray(pixels[0])
    else:
        picture = Image.fromarray(np.ascontiguousarray((pixels if order == "rgb" else pixels[::-1]).transpose(1, 2, 0)))
    w, h = picture.size
    if max(w, h) <= SIDE // 2:
        factor = SIDE // max(w, h)
        return picture.resize((w * factor, h * factor), Image.Resampling.NEAREST)
    scale = min(1.0, SIDE / max(w, h))
    return picture.resize((max(1, round(w * scale)), max(1, round(h * scale))), Image.Resampling.LANCZOS)


def with_evidence(picture: Image.Image, map_: NDArray[np.float32]) -> Image.Image:
    """A map (h, w) in 0..1 glowing over the picture, which turns gray and dim so that only evidence has colour."""
    glow = np.asarray(
        Image.fromarray(np.asarray(map_, dtype=np.float32)).resize(picture.size, Image.Resampling.BICUBIC),
        dtype=np.float64,
    ).clip(0, 1)
    gray = np.asarray(picture.convert("L"), dtype=np.float64)[:, :, None]
    ground = 30 + 0.72 * gray
    colour = np.stack([np.interp(glow, _STOPS, _COLOURS[:, c]) for c in range(3)], axis=2)
    alpha = (0.78 * glow**0.8)[:, :, None]
    # part of the picture stays visible under the strongest evidence
    mixed = ground * (1 - alpha) + alpha * (0.85 * colour + 0.15 * gray)
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def encoded(picture: Image.Image) -> bytes:
    """PNG for what has few pixels or colours, else JPEG, which is an eighth of its size on photographs."""
    out = io.BytesIO()
    colours = picture.getcolors(256)
    if colours is not None:
        picture.save(out, "PNG", optimize=True)
    else:
        picture.convert("RGB").save(out, "JPEG", quality=86)
    return out.getvalue()
