"""Tar files for the tests, made by Python's own tarfile, and images to put into them."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 8) -> bytes:
    """A PNG of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, members: Iterable[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar file of these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(key: str, seed: int, **labels: Any) -> list[tuple[str, bytes]]:
    """A sample of webdataset: an image, and its labels by ending."""
    written = {e: json.dumps(v).encode() if e == "json" else str(v).encode() for e, v in labels.items()}
    return [(f"{key}.png", picture(seed)), *((f"{key}.{ending}", data) for ending, data in written.items())]


def folder(root: Path, classes: Iterable[str] = ("ants", "bees"), each: int = 6) -> Path:
    """A folder of images, one folder a class, with names that have dots in them."""
    for k, name in enumerate(classes):
        for i in range(each):
            path = root / name / f"{name[0]}.{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(100 * k + i))
    return root
