"""A trained classifier, ready to be asked.

>>> import striate                                      # doctest: +SKIP
>>> classifier = striate.load("runs/digits-lenet5")     # doctest: +SKIP
>>> classifier.predict(["seven.png"])[0].label          # doctest: +SKIP
'7'
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from striate.data.dataset import Pixels
from striate.data.decode import decode, read_image
from striate.data.download import Progress
from striate.data.formats.skeleton import orientation
from striate.data.preprocess import Preprocess
from striate.data.shards.images import StoredImage
from striate.errors import ImageError, ShapeError, UsageError
from striate.models.registry import list_models
from striate.run.folder import Run
from striate.run.inference import evaluating, probabilities
from striate.run.pretrained import pretrained

Picture = str | PathLike[str] | bytes | Image.Image | NDArray[Any]

_ONE = (
    str,
    PathLike,
    bytes,
    bytearray,
    memoryview,
    Image.Image,
    np.ndarray,
)  # one image, though one can iterate over it
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_AS_PNG = {  # Pillow's modes, and those of a PNG that holds the same
    "1": "1", "L": "L", "LA": "LA", "P": "P", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB", "I;16": "I;16",
    "La": "LA", "RGBa": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB",
}  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one image."""

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]  # (class, probability), best first
    probabilities: tuple[float, ...]  # of all classes, in their stored order


class Classifier:
    """A network with its class names and its preprocessing; `notes` say what of these was assumed."""

    def __init__(
        self, module: nn.Module, classes: Sequence[str], preprocess: Preprocess, notes: Sequence[str] = ()
    ) -> None:
        self.module, self.classes, self.preprocess, self.notes = module.eval(), tuple(classes), preprocess, tuple(notes)

    def predict(self, images: Picture | Iterable[Picture], *, top: int = 5, batch: int = 64) -> list[Prediction]:
        """One prediction an image: paths, encoded bytes, Pillow images, or arrays (H, W), (H, W, 1 or 3) of uint8.

        A Pillow image is turned upright if it still carries the EXIF orientation of its file, as the file itself is.

        Raises: ImageError, naming the file that can't be read; ShapeError for an array of another form; UsageError
        for anything else.
        """
        if top < 1 or batch < 1:
            raise UsageError(f"top = {top}, batch = {batch}: both must be at least 1")
        several = listed(images)
        found: list[Prediction] = []
        for first in range(0, len(several), batch):
            some = enumerate(several[first : first + batch], first)
            prepared = [self.preprocess.pixels(self.read(picture, f"image {i}")) for i, picture in some]
            found += self._answer(prepared, top)
        return found

    def _answer(self, prepared: Sequence[Pixels], top: int) -> list[Prediction]:
        return self.answer(self.preprocess.normalise(torch.from_numpy(np.stack(prepared))), top=top)

    def answer(self, images: Tensor, *, top: int = 5) -> list[Prediction]:
        """Prepared images (N, C, H, W) -> predictions."""
        weight = next(self.module.parameters(), images)
        with evaluating(self.module):
            p = probabilities(self.module(images.to(weight.device)), len(self.classes)).double()
        order = p.argsort(dim=1, descending=True, stable=True)[:, :top]
        return [self._prediction(row, best) for row, best in zip(p.tolist(), order.tolist(), strict=True)]

    def _prediction(self, row: list[float], best: list[int]) -> Prediction:
        ranked = tuple((self.classes[k], row[k]) for k in best)
        return Prediction(ranked[0][0], ranked[0][1], ranked, tuple(row))

    def read(self, picture: object, name: str = "the image") -> Pixels:
        """The pixels (H, W, 1 or 3) of what `predict` takes, before they are prepared; `name` is what errors say."""
        background = self.preprocess.background
        match picture:
            case str() | PathLike():
                return read_image(Path(picture), background=background).pixels
            case bytes() | bytearray() | memoryview():
                return decode(bytes(picture), name, background=background).pixels
            case Image.Image():
                return _from_pillow(picture, name, background)
            case np.ndarray():
                return _from_array(picture, name)
            case _:
                raise UsageError(
                    f"{name}: a {type(picture).__name__}; expected a path, encoded bytes, a Pillow image or an array"
                )


def load(
    run: str | PathLike[str] | Run,
    *,
    weights: str | PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """The classifier of a run folder; or of a model's name, with published weights or those of a file.

    `weights` is "imagenet", "imagenet:TAG", "cifar10" or a path, as for `create_model`; `classes` and `preprocess` are
    for files that do not say theirs (see `striate.run.pretrained`).

    Raises: ArtefactError where it is no run, or is damaged; with `weights` as `striate.run.pretrained.pretrained`.
    """
    if weights is not None:
        if isinstance(run, Run) or (Path(run).is_dir() and not list_models(str(run))):
            place = run.folder if isinstance(run, Run) else run
            raise UsageError(f"{place} is a run and has its own weights; weights={str(weights)!r} is for a model")
        source = weights if isinstance(weights, str) else Path(weights)
        made = pretrained(str(run), source, classes=classes, preprocess=preprocess, progress=progress)
        return Classifier(made.module, made.classes, made.preprocess, made.notes)
    if not isinstance(run, Run) and not Path(run).exists() and list_models(str(run)):
        raise UsageError(
            f"{run} is a model, not a run; which weights? Published ones: weights='imagenet' (--weights imagenet)"
        )
    if classes is not None or preprocess is not None:
        raise UsageError("classes and preprocess are for weights=...; a run has its own")
    found = run if isinstance(run, Run) else Run(Path(run))
    return Classifier(found.load_module(), found.classes, found.preprocess)


def listed(images: Picture | Iterable[Picture]) -> list[object]:
    """One image or several, as a list."""
    return list(images) if isinstance(images, Iterable) and not isinstance(images, _ONE) else [images]


@dataclass(frozen=True)
class Answer:
    """One line of a prediction over files: what was said, or why nothing could be."""

    name: str
    prediction: Prediction | None
    error: str | None


def answers(
    classifier: Classifier, names: Iterable[str | Path | StoredImage], *, top: int = 5, batch: int = 64
) -> Iterator[Answer]:
    """Predictions for many files, in order, a batch at a time; a file that can't be read is an answer, too."""
    waiting: list[tuple[str, Pixels | str]] = []

    def flush() -> Iterator[Answer]:
        good = [prepared for _, prepared in waiting if not isinstance(prepared, str)]
        said = iter(classifier._answer(good, top) if good else ())
        for name, prepared in waiting:
            yield Answer(name, None, prepared) if isinstance(prepared, str) else Answer(name, next(said), None)
        waiting.clear()

    for name in names:
        try:
            background = classifier.preprocess.background
            if isinstance(name, StoredImage):
                image = name.read(background)
            else:
                image = read_image(Path(name), background=background).pixels
            waiting.append((str(name), classifier.preprocess.pixels(image)))  # the original may be large
        except ImageError as error:
            waiting.append((str(name), str(error)))
        if len(waiting) >= batch:
            yield from flush()
    yield from flush()


def _from_pillow(picture: Image.Image, name: str, background: tuple[int, int, int]) -> Pixels:
    """As `decode` sees the file: what is neither plain gray nor plain colour goes through it, as a PNG in memory."""
    turn = orientation(picture.info.get("exif") or b"")
    if turn in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[turn])
    if picture.mode in ("L", "RGB") and "transparency" not in picture.info:
        return np.atleast_3d(np.asarray(picture))
    if picture.mode in _AS_PNG:
        target = _AS_PNG[picture.mode]
        stored = io.BytesIO()
        (picture if picture.mode == target else picture.convert(target)).save(stored, "PNG", compress_level=1)
        return decode(stored.getvalue(), name, background=background).pixels
    raise ShapeError(f"{name}: a Pillow image of mode {picture.mode!r}; expected one of {', '.join(_AS_PNG)}")


def _from_array(picture: NDArray[Any], name: str) -> Pixels:
    if picture.dtype != np.uint8:
        raise ShapeError(f"{name}: an array of {picture.dtype}; expected uint8 values from 0 to 255")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or 0 in picture.shape:
        raise ShapeError(f"{name}: an array of shape {picture.shape}; expected (H, W), (H, W, 1) or (H, W, 3)")
    return picture
