"""A contact sheet: what the network will see of a data set, a row or two of pictures a class."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striate import durable
from striate.data.dataset import Dataset
from striate.data.keyed import bits
from striate.data.preprocess import Preprocess
from striate.data.wording import plural

INK, PAPER, QUIET = (20, 20, 20), (255, 255, 255), (110, 110, 110)
GAP, LABEL = 6, 180  # pixels, between pictures and for the names at their left
SIDE = 112  # pixels, about what a picture takes on the sheet


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], *, heading: str = "", side: int = SIDE
) -> Image.Image:
    """Named rows of images (H, W, 1 or 3), each fitted to `side` pixels: enlarged in whole steps, pixel by pixel."""
    font, small = font_of(15), font_of(12)
    longest = max((len(images) for _, images in rows), default=0)
    width = LABEL + max(longest, 4) * (side + GAP) + GAP
    lines = wrapped(heading, small, width - 2 * GAP)
    top = GAP + len(lines) * 17 + (GAP if lines else 0)
    sheet = Image.new("RGB", (width, top + max(len(rows), 1) * (side + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((GAP, GAP + 17 * i), line, QUIET, small)
    for r, (name, images) in enumerate(rows):
        y = top + r * (side + GAP)
        for i, line in enumerate(wrapped(name, font, LABEL - 2 * GAP)[: side // 19]):
            draw.text((GAP, y + 19 * i), line, INK, font)
        for c, image in enumerate(images):
            picture = _fitted(image, side)
            x = LABEL + c * (side + GAP)
            sheet.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
    return sheet


def seen_by_network(
    dataset: Dataset, preprocess: Preprocess, *, role: str = "train", across: int = 8, most: int = 40, seed: int = 0
) -> Image.Image:
    """The sheet for a data set: of each class (of the first `most`), `across` images as they enter the network.

    Raises: ImageError where one of the images can't be read.
    """
    split = dataset.split(role)
    shuffled = np.argsort(bits(seed, 0, "contact sheet", np.arange(len(split)))[:, 0], kind="stable")
    rows = []
    for label, name in list(enumerate(dataset.classes))[:most]:
        chosen = np.sort(shuffled[split.labels[shuffled] == label][:across])
        images = [preprocess.pixels(split.images.read(int(i))).transpose(1, 2, 0) for i in chosen]
        if preprocess.order == "bgr":
            images = [image[:, :, ::-1] for image in images]
        rows.append((f"{name}\n{plural(int((split.labels == label).sum()), 'image')}", images))
    h, w = preprocess.size
    left_out = f" The first {most} of {len(dataset.classes):,} classes." if len(dataset.classes) > most else ""
    heading = f"{dataset.name}, {role}: what a network of {w} x {h} pixels sees.{left_out}\n{preprocess.describe()}"
    return contact_sheet(rows, heading=heading)


def write(sheet: Image.Image, path: Path) -> None:
    """Save as PNG, all or nothing.  Raises: EnvironmentFault."""
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=True)
    durable.write_bytes(path, content.getvalue())


def _fitted(image: NDArray[np.uint8], side: int) -> Image.Image:
    """The image within side x side pixels."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.ascontiguousarray(image)).convert("RGB")
    longest = max(picture.size)
    if longest <= side:
        times = side // longest
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    return picture.resize(
        (max(1, picture.width * side // longest), max(1, picture.height * side // longest)), Image.Resampling.LANCZOS
    )


@cache
def font_of(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows more alphabets than Pillow's own."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that fit; a word that is too long by itself is broken."""
    lines = []
    for paragraph in text.split("\n") if text else []:
        line = ""
        for word in paragraph.split(" "):
            while font.getlength(word) > width:
                cut = next(n for n in range(len(word) - 1, 0, -1) if font.getlength(word[:n]) <= width or n == 1)
                lines += [line, word[:cut]] if line else [word[:cut]]
                line, word = "", word[cut:]
            longer = f"{line} {word}" if line else word
            if font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
