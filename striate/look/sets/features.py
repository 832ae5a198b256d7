"""What the head of a network is given, for every image of a split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.dataset import Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, UsageError
from striate.look.excite.steps import head_of, stream

MOST = 5000  # images: what a map of points can show, and t-SNE can do in minutes
Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True, eq=False)
class Features:
    """N images as the head of a network sees them."""

    values: NDArray[np.float32]  # (N, d)
    split: Split  # of these images
    classes: tuple[str, ...]
    head: str  # name of the step that is given them
    of: int  # images that the split had before some were chosen


def last_features(
    module: nn.Module,
    split: Split,
    preprocess: Preprocess,
    *,
    classes: Sequence[str],
    most: int = MOST,
    seed: int = 0,
    batch: int = 64,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """The input of the last step with weights, maps averaged over their places; of `most` images, chosen by the seed.

    Raises: UsageError without images; ShapeError where the module has no step with weights; ArtefactError where a
    feature is not finite; DatasetError for an image that can't be read.
    """
    if most < 1 or not len(split):
        raise UsageError(f"{len(split)} images, at most {most} of them: there must be at least one")
    of = len(split)
    if of > most:
        split = split.take(np.sort(np.random.default_rng(seed).permutation(of)[:most]))
    weight = next(module.parameters(), torch.empty(0))
    head = head_of(module, preprocess([split.images.read(0)]).to(weight.device))
    rows: list[NDArray[np.float32]] = []

    def receive(_: str, y: Tensor) -> None:
        flat = y.mean((2, 3)) if y.ndim == 4 else y.flatten(1)
        rows.append(flat.float().cpu().numpy().copy())

    stream(module, prepared(split, preprocess, len(classes), batch, workers, progress), [head], receive, before=True)
    values = np.concatenate(rows)
    if len(bad := np.flatnonzero(~np.isfinite(values).all(axis=1))):
        raise ArtefactError(f"the features of {split.keys[int(bad[0])]!r} are not finite; the weights may be damaged")
    return Features(values, split, tuple(classes), head, of)


def prepared(
    split: Split, preprocess: Preprocess, classes: int, batch: int, workers: int | None, progress: Progress | None
) -> Iterator[Tensor]:
    """Batches (N, c, H, W) in stored order, of which none is kept."""
    done = 0
    for one in Loader(split, preprocess, classes=classes, batch=batch, workers=workers, keep=0).in_order():
        yield one.images
        done += len(one.images)
        if progress:
            progress(done, len(split))
