"""Small pictures in rows, with words that fit under them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.data.dataset import Pixels

RULE = "#ded8ca"  # the hair line around a picture, for white on white


def rgb(pixels: Pixels) -> Image.Image:
    """(H, W, 1 or 3) bytes as a picture."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)).convert("RGB")


def fitted(pixels: Pixels, side: int) -> Image.Image:
    """The picture with its longer side `side` pixels long: pixel by pixel where it grows twofold or more."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    kind = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return rgb(pixels).resize((at_least_one(width * scale), at_least_one(height * scale)), kind)


def framed(sheet: Image.Image, picture: Image.Image, x: int, y: int, side: int, colour: str = RULE) -> None:
    """Paste in the middle of a cell at x, y, with a line around it."""
    left, top = x + (side - picture.width) // 2, y + (side - picture.height) // 2
    sheet.paste(picture, (left, top))
    ImageDraw.Draw(sheet).rectangle((left - 1, top - 1, left + picture.width, top + picture.height), outline=colour)


def fit(words: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of the words as there is room for, on one line."""
    words = " ".join(words.split())
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(f"{words}…") > width:
        words = words[:-1]
    return f"{words}…"


def at_least_one(side: float) -> int:
    """Whole pixels."""
    return max(1, round(side))
