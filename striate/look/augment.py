"""What an augmentation does to your own images: each as it is, and as training will see it, epoch after epoch."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment import Augment
from striate.data.dataset import Split
from striate.data.preprocess import Preprocess
from striate.errors import UsageError

INK, PALE, RULE = "#24292f", "#6e7781", "#d0d7de"
TITLE: dict[str, Any] = {"family": "monospace", "weight": "bold", "fontsize": 11, "color": INK, "linespacing": 1.3}
SENTENCE: dict[str, Any] = {"fontsize": 8.5, "color": PALE, "linespacing": 1.3}
CELL, GAP, MARGIN = 1.5, 0.1, 0.4  # inches: the longer side of a picture, between pictures, around all
Pictures = NDArray[np.uint8]  # (..., H, W, 1 or 3), gray or red, green, blue


@dataclass(frozen=True, eq=False)
class AugmentSheet:
    """Images of a training split and what an augmentation makes of them."""

    augment: Augment
    labels: tuple[str, ...]  # the class of each image
    keys: tuple[str, ...]  # the name of each image
    originals: Pictures  # (images, H, W, C): preprocessed, not augmented
    variants: Pictures  # (images, epochs, H, W, C); rescaled values are cut off at 0 and 255
    shares: NDArray[np.float32] | None  # (images, epochs, classes) where labels are mixed
    classes: tuple[str, ...]


def augment_sheet(
    split: Split,
    classes: Sequence[str],
    augment: Augment,
    preprocess: Preprocess,
    *,
    images: int = 4,
    epochs: int = 6,
    seed: int = 0,
) -> AugmentSheet:
    """The first images of each class in turn, and what they become in epochs 0, 1, 2 ... of a run with this seed.

    (Where images are mixed, with the next one on the sheet; in a run it is the next one of the batch.)

    Raises: ImageError, naming the file; UsageError where there is nothing to show.
    """
    if images < 1 or epochs < 1 or not len(split):
        raise UsageError(f"look augment: nothing to show of {len(split)} images with {images} rows and {epochs} epochs")
    ids = _one_of_each_class(split.labels)[:images]
    sources = [split.images.read(int(i)) for i in ids]
    labels = split.labels[ids]
    plain = torch.from_numpy(np.stack([preprocess.pixels(source) for source in sources]))
    sizes = [source.shape[:2] for source in sources]
    variants, shares = [], []
    for epoch in range(epochs):
        batch = plain
        if augment.source_crop:
            boxes = augment.boxes(ids, sizes, seed=seed, epoch=epoch)
            cut = [
                preprocess.cut(source, tuple(box))
                for source, box in zip(sources, boxes.astype(int).tolist(), strict=True)
            ]
            batch = torch.from_numpy(np.stack(cut))
        done = augment(batch, labels, ids, seed=seed, epoch=epoch, classes=len(classes))
        variants.append(_pictures(done.images, preprocess))
        if done.targets is not None:
            shares.append(done.targets.numpy())
    return AugmentSheet(
        augment=augment,
        labels=tuple(classes[i] for i in labels.tolist()),
        keys=tuple(split.keys[i] for i in ids.tolist()),
        originals=_pictures(plain, preprocess),
        variants=np.stack(variants, axis=1),
        shares=np.stack(shares, axis=1) if shares else None,
        classes=tuple(classes),
    )


def plain_preprocess(split: Split, channels: int, size: int | None = None) -> Preprocess:
    """To look at images without a network: their own size where they share one, else the central square of 224 pixels.

    With `size`, squares of that many pixels a side.
    """
    shape = split.images.shape()
    height, width = (size, size) if size else shape[:2] if shape else (224, 224)
    return Preprocess(
        size=(height, width), order="gray" if channels == 1 else "rgb", mean=(0.0,) * channels, std=(1.0,) * channels
    )


def draw_augment_sheet(sheet: AugmentSheet) -> Figure:
    """One row an image: the original at the left, its variants at the right; the spec and its sentence above."""
    rows, epochs, height, width = sheet.variants.shape[:4]
    mixed = sheet.shares is not None
    # all lengths in inches, so that letters and gaps are of one size whatever the number of images
    wide, tall = CELL * width / max(height, width), CELL * height / max(height, width)
    full = 2 * MARGIN + (epochs + 1) * (wide + GAP) + GAP
    title = textwrap.wrap(str(sheet.augment), int((full - 2 * MARGIN) * 9), break_long_words=False)
    sentence = textwrap.wrap(sheet.augment.describe(), int((full - 2 * MARGIN) * 16))
    head = MARGIN + 0.22 * len(title) + 0.17 * len(sentence) + 0.4
    step = tall + (0.28 if mixed else GAP)
    total = head + rows * step + MARGIN - GAP
    figure = Figure(figsize=(full, total), facecolor="white")  # without pyplot: no window, no global state
    for lines, y, style in ((title, MARGIN, TITLE), (sentence, MARGIN + 0.22 * len(title) + 0.04, SENTENCE)):
        figure.text(MARGIN / full, 1 - y / total, "\n".join(lines), va="top", **style)

    def cell(row: int, column: int, picture: Pictures) -> Axes:
        left = MARGIN + column * (wide + GAP) + (GAP if column else 0)
        bottom = total - head - row * step - tall
        axes = figure.add_axes((left / full, bottom / total, wide / full, tall / total))
        _show(axes, picture)
        if row == 0:
            name, colour = (f"epoch {column}", PALE) if column else ("original", INK)
            axes.set_title(name, fontsize=9, color=colour, pad=4)
        return axes

    for row in range(rows):
        axes = cell(row, 0, sheet.originals[row])
        axes.set_ylabel(textwrap.shorten(sheet.labels[row], int(tall * 14), placeholder="…"), fontsize=9, color=INK)
        for epoch in range(epochs):
            axes = cell(row, epoch + 1, sheet.variants[row, epoch])
            if sheet.shares is not None:
                axes.set_xlabel(_mixture(sheet.shares[row, epoch], sheet.classes), fontsize=7, color=PALE, labelpad=2)
    return figure


def _one_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of all labels (N,): the first of each class, then the second of each ..."""
    by_class = np.argsort(labels, kind="stable")
    ordered = labels[by_class]
    rank = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return by_class[np.lexsort((ordered, rank))]


def _pictures(images: Tensor, preprocess: Preprocess) -> Pictures:
    """(N, C, H, W) in 0..255, as the network sees them -> (N, H, W, C), as people do."""
    pictures: Pictures = images.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pictures[..., ::-1] if preprocess.order == "bgr" else pictures


def _show(axes: Axes, picture: Pictures) -> None:
    small = max(picture.shape[:2]) < 100  # its pixels are worth seeing
    smoothing = "nearest" if small else "antialiased"
    if picture.shape[2] == 1:
        axes.imshow(picture[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation=smoothing)
    else:
        axes.imshow(picture, interpolation=smoothing)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.6)


def _mixture(shares: NDArray[np.float32], classes: tuple[str, ...]) -> str:
    """The classes with a share, the largest first."""
    largest = np.argsort(-shares, kind="stable")[:2]
    return ", ".join(
        f"{textwrap.shorten(classes[i], 12, placeholder='…')}: {shares[i]:.0%}" for i in largest if shares[i] >= 0.005
    )
