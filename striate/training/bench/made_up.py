"""Images that show nothing, to train on where only the time matters."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def write_made_up(folder: Path, images: int, size: tuple[int, int], channels: int) -> Path:
    """So many images (JPEG, of height and width `size`) of ten classes, as folders below `folder`/train.

    Coarse noise, made smooth: it takes as long to decode as a photograph, about.
    """
    rng = np.random.default_rng(0)
    coarse = (max(2, size[1] // 8), max(2, size[0] // 8))
    for i in range(images):
        path = folder / "train" / f"class{i % CLASSES}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (coarse[1], coarse[0], 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        (picture if channels == 3 else picture.convert("L")).save(path, quality=90)
    return folder
