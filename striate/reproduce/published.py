"""Networks with weights of their publishers, on photographs of one kind each.

Material is a folder with weights/, and data/imagenet_samples/ with labels.tsv (columns path, index) and the
photographs. These are very likely training images of the networks: compare networks with them, and never quote the
share as an accuracy.
"""

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from striate import durable
from striate.data.dataset import FileImages, Pixels
from striate.data.preprocess import Preprocess
from striate.errors import DatasetError
from striate.models.cost import cost
from striate.models.registry import create_model
from striate.reproduce.deep_compression import decode, squeezenet_layers
from striate.reproduce.experiment import Published
from striate.reproduce.result import Measured
from striate.run.inference import evaluating

PHOTOGRAPHS = Path("data/imagenet_samples")
WEIGHTS = Path("weights")
BATCH = 20
Tell = Callable[[str, int, int], None]


def measure(arm: Published, material: Path, tell: Tell, images: int = 0) -> Measured:
    """Top-1 on the photographs, per cent; of every so many-th, where fewer `images` are asked for.

    Raises: DatasetError where the material is not there; ArtefactError for weights that are damaged.
    """
    path = material / WEIGHTS / arm.weights
    if not path.is_file():
        raise DatasetError(f"{path}: not there; --material names the folder with {WEIGHTS}/ and {PHOTOGRAPHS}/")
    pictures, labels = photographs(material, images)
    module, details = (_from_codes if path.suffix == ".net" else _from_weights)(arm, path)
    prepare, preprocess = preparation(arm)
    module = module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks = []
    with evaluating(module):
        for first in range(0, len(labels), BATCH):
            some = [prepare(pictures.read(i)) for i in range(first, min(first + BATCH, len(labels)))]
            x = preprocess(some).contiguous(memory_format=torch.channels_last)
            logits = module(x)
            right = logits.gather(1, torch.from_numpy(labels[first : first + BATCH])[:, None])
            ranks.append((logits > right).sum(1))
            tell(arm.model, first + len(some), len(labels))
    rank = torch.cat(ranks)
    shares = {k: round(100 * float((rank < k).float().mean()), 4) for k in (1, 5)}
    counted = cost(module, (3, arm.size, arm.size))
    details |= {"top5": shares[5], "parameters": counted.parameters, "macs": counted.macs, "claimed": arm.claimed}
    return Measured(shares[1], details=details)


def photographs(material: Path, images: int = 0) -> tuple[FileImages, NDArray[np.int64]]:
    """The photographs and their classes, evenly chosen where fewer are asked for.  Raises: DatasetError."""
    folder = material / PHOTOGRAPHS
    try:
        with (folder / "labels.tsv").open(newline="", encoding="utf-8") as lines:
            rows = [(row["path"], int(row["index"])) for row in csv.DictReader(lines, delimiter="\t")]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{folder / 'labels.tsv'}: can't be read ({type(error).__name__}); --material names the folder with "
            f"{WEIGHTS}/ and {PHOTOGRAPHS}/"
        ) from error
    if images > len(rows):
        raise DatasetError(f"{folder}: the recipe asks for {images:,} photographs; there are {len(rows):,}")
    chosen = [rows[i * len(rows) // images] for i in range(images)] if images else rows
    return FileImages(tuple(folder / path for path, _ in chosen)), np.array([label for _, label in chosen], np.int64)


def preparation(arm: Published) -> tuple[Callable[[Pixels], Pixels], Preprocess]:
    """How an image becomes the network's input: what is cut out first, and the preprocessing of that.

    tensorflow   the central 87.5 % of the short side as a square, in -1..1
    caffe        both sides to 256, the central `size` of both: a square of any shape of image; BGR less its mean
    """
    size = (arm.size, arm.size)
    if arm.prepare == "tensorflow":
        short = round(arm.size / 0.875)
        half = (0.5,) * 3
        return lambda image: image, Preprocess(size=size, resize="crop", short_side=short, mean=half, std=half)
    mean = (104 / 255, 117 / 255, 123 / 255)
    share = arm.size / 256

    def middle(image: Pixels) -> Pixels:
        (h, w), (kept_h, kept_w) = image.shape[:2], (round(side * share) for side in image.shape[:2])
        top, left = (h - kept_h) // 2, (w - kept_w) // 2
        return np.ascontiguousarray(image[top : top + kept_h, left : left + kept_w])

    return middle, Preprocess(size=size, resize="stretch", order="bgr", mean=mean, std=(1 / 255,) * 3)


def _from_weights(arm: Published, path: Path) -> tuple[nn.Module, dict[str, Any]]:
    return create_model(arm.model, weights=path), {}


def _from_codes(arm: Published, path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A network out of a file of Deep Compression, and what the codes saved."""
    content = path.read_bytes()
    layers = decode(content, squeezenet_layers(), str(path))
    tensors = {f"{one.layer.name}.weight": one.weight for one in layers}
    tensors |= {f"{one.layer.name}.bias": one.bias for one in layers}
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "decoded.safetensors"
        durable.write_bytes(whole, save(tensors))
        module = create_model(arm.model, weights=whole)
    weights = sum(one.weight.size for one in layers)
    return module, {
        "bytes": len(content),
        "bytes_float32": 4 * sum(tensor.size for tensor in tensors.values()),
        "weights": weights,
        "weights_stored": sum(one.stored for one in layers),
        "weights_not_zero": sum(int(np.count_nonzero(one.weight)) for one in layers),
    }
