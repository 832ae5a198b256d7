"""A trained classifier, ready to be asked.

>>> import striate                                      # doctest: +SKIP
>>> classifier = striate.load("runs/digits-lenet5")     # doctest: +SKIP
>>> classifier.predict(["seven.png"])[0].label          # doctest: +SKIP
'7'
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from striate.data.dataset import Pixels
from striate.data.decode import decode, read_image
from striate.data.preprocess import Preprocess
from striate.errors import ShapeError, UsageError
from striate.run.folder import Run
from striate.run.inference import evaluating, probabilities

Picture = str | PathLike[str] | bytes | Image.Image | NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one image."""

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]  # (class, probability), best first
    probabilities: tuple[float, ...]  # of all classes, in their stored order


class Classifier:
    """A network with its class names and its preprocessing."""

    def __init__(self, module: nn.Module, classes: Sequence[str], preprocess: Preprocess) -> None:
        self.module, self.classes, self.preprocess = module.eval(), tuple(classes), preprocess

    def predict(self, images: Picture | Iterable[Picture], *, top: int = 5, batch: int = 64) -> list[Prediction]:
        """One prediction an image: paths, encoded bytes, Pillow images, or arrays (H, W), (H, W, 1 or 3) of uint8.

        Raises: ImageError, naming the file that can't be read; ShapeError for an array of another form.
        """
        if top < 1 or batch < 1:
            raise UsageError(f"top = {top}, batch = {batch}: both must be at least 1")
        several = [images] if isinstance(images, str | PathLike | bytes | Image.Image | np.ndarray) else list(images)
        found: list[Prediction] = []
        for first in range(0, len(several), batch):
            pixels = [self._pixels(picture, first + i) for i, picture in enumerate(several[first : first + batch])]
            found += self.answer(self.preprocess(pixels), top=top)
        return found

    def answer(self, images: Tensor, *, top: int = 5) -> list[Prediction]:
        """Prepared images (N, C, H, W) -> predictions."""
        with evaluating(self.module):
            p = probabilities(self.module(images), len(self.classes)).double()
        order = p.argsort(dim=1, descending=True, stable=True)[:, :top]
        return [self._prediction(row, best) for row, best in zip(p.tolist(), order.tolist(), strict=True)]

    def _prediction(self, row: list[float], best: list[int]) -> Prediction:
        ranked = tuple((self.classes[k], row[k]) for k in best)
        return Prediction(ranked[0][0], ranked[0][1], ranked, tuple(row))

    def _pixels(self, picture: Picture, index: int) -> Pixels:
        background = self.preprocess.background
        match picture:
            case bytes():
                return decode(picture, f"image {index}", background=background).pixels
            case Image.Image():
                return _opaque(picture, background)
            case np.ndarray():
                return _array(picture, index)
            case _:
                return read_image(Path(picture), background=background).pixels


def load(run: str | PathLike[str] | Run) -> Classifier:
    """The classifier of a run folder.  Raises: ArtefactError where it is not one, or is damaged."""
    found = run if isinstance(run, Run) else Run(Path(run))
    return Classifier(found.load_module(), found.classes, found.preprocess)


@dataclass(frozen=True)
class Answer:
    """One line of a prediction over files: what was said, or why nothing could be."""

    name: str
    prediction: Prediction | None
    error: str | None


def answers(classifier: Classifier, names: Iterable[str | Path], *, top: int = 5, batch: int = 64) -> Iterator[Answer]:
    """Predictions for many files, in order, a batch at a time; a file that can't be read is an answer, too."""
    from striate.errors import ImageError

    waiting: list[tuple[str, Pixels | str]] = []

    def flush() -> Iterator[Answer]:
        good = [pixels for _, pixels in waiting if not isinstance(pixels, str)]
        said = iter(classifier.answer(classifier.preprocess(good), top=top) if good else ())
        for name, pixels in waiting:
            yield Answer(name, None, pixels) if isinstance(pixels, str) else Answer(name, next(said), None)
        waiting.clear()

    for name in names:
        try:
            waiting.append((str(name), read_image(Path(name), background=classifier.preprocess.background).pixels))
        except ImageError as error:
            waiting.append((str(name), str(error)))
        if len(waiting) >= batch:
            yield from flush()
    yield from flush()


def _opaque(picture: Image.Image, background: tuple[int, int, int]) -> Pixels:
    if picture.mode in ("L", "RGB"):
        out = np.asarray(picture)
        return out[:, :, None] if out.ndim == 2 else out
    layer = picture.convert("RGBA")
    canvas = Image.new("RGBA", layer.size, (*background, 255))
    return np.asarray(Image.alpha_composite(canvas, layer).convert("RGB"))


def _array(picture: NDArray[Any], index: int) -> Pixels:
    if picture.dtype != np.uint8:
        raise ShapeError(f"image {index}: an array of {picture.dtype}; expected uint8 values from 0 to 255")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or 0 in picture.shape:
        raise ShapeError(f"image {index}: an array of shape {picture.shape}; expected (H, W), (H, W, 1) or (H, W, 3)")
    return picture
