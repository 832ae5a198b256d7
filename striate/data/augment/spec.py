"""What an augmentation is, in words: `rotation:40 shift:0.2 shear:0.2 zoom:0.2 hflip fill:nearest`.

A spec is operations with a space between them, each a name and, after a colon, its numbers with commas between
them; a number may be a fraction (`3/4`). The order of the words does not matter: whatever is asked for is always
applied in the order of `OPERATIONS`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.data.augment.boxes import source_boxes
from striate.data.augment.describe import describe
from striate.data.augment.draw import Draw, Floats
from striate.data.augment.operations import OPERATIONS, SCALED_BY_PREPROCESS, Fill, read
from striate.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from striate.data.augment.pipeline import Augmented


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What is done to the images of a training batch; the default of a field leaves that operation out.

    What becomes of a sample depends on seed, epoch and its id alone: not on the batch it stands in, its place there,
    or the number of workers or threads, to the last bit. (With mixup and cutmix on the next sample of the batch too.)

    Raises: RecipeError where a number is out of range.
    """

    resized_crop: tuple[float, float, float] | None = None  # least share of the area, width / height from, to
    rotation: float = 0.0  # degrees
    width_shift: float = 0.0  # below 1: share of the width; else pixels
    height_shift: float = 0.0
    shear: float = 0.0  # degrees
    zoom: tuple[float, float] = (1.0, 1.0)  # source pixels for one of the result
    crop: int = 0  # pixels of padding
    hflip: float = 0.0  # probability
    vflip: float = 0.0
    fill: Fill | None = None  # None: nearest with an affine operation, else black
    randaugment: tuple[int, int] | None = None  # how many, magnitude 0..30
    brightness: float = 0.0  # factors are drawn from 1-F .. 1+F
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0  # turns
    cutout: float = 0.0  # below 1: share of the shorter side; else pixels
    erasing: float = 0.0  # probability
    mixup: float = 0.0  # alpha of Beta(alpha, alpha)
    cutmix: float = 0.0
    rescale: float = 1.0

    def __post_init__(self) -> None:
        for name, arguments in self._words():
            read(name, arguments)

    @classmethod
    def parse(cls, spec: str) -> Self:
        """The augmentation that a spec asks for.

        >>> Augment.parse("shift:0.2 hflip").width_shift
        0.2

        Raises: RecipeError, with the operation, its place in the spec, and the nearest right answer.
        """
        words = spec.split()
        if not words:
            raise RecipeError("augment: the spec is empty; write 'none' to leave images as they are")
        values: dict[str, Any] = {}
        setter: dict[str, str] = {}
        at = 0
        for position, word in enumerate(words, start=1):
            at = spec.index(word, at)
            where = f"augment: operation {position} of {len(words)}, {word!r} (from character {at + 1})"
            at += len(word)
            name, colon, arguments = word.partition(":")
            if name == "none" and len(words) > 1:
                raise RecipeError(f"{where}: 'none' stands alone; leave it out, or leave out the others")
            try:
                found = read(name, arguments.split(",") if colon else [])
            except RecipeError as error:
                raise RecipeError(f"{where}: {str(error).removeprefix('augment: ')}") from None
            for key, value in found.items():
                if key in values:
                    raise RecipeError(f"{where}: {key} was set before, by {setter[key]!r}; give it once")
                values[key], setter[key] = value, word
        return cls(**values)

    def __str__(self) -> str:
        """The shortest spec that `parse` reads back as the same.

        >>> str(Augment.parse("hflip:0.5  width_shift:0.1 height_shift:0.1"))
        'shift:0.1 hflip'
        """
        return " ".join(self.ops) or "none"

    def __call__(
        self,
        images: "Tensor",
        labels: NDArray[np.int64],
        ids: NDArray[np.int64],
        *,
        seed: int,
        epoch: int,
        classes: int,
    ) -> "Augmented":
        """A batch of images (N, C, H, W) uint8 with labels (N,), varied; ids (N,) are the samples' places in the split.

        With `source_crop`, the images are what has been cut out of the sources by `boxes`.

        Raises: ShapeError where these are of other shapes or types.
        """
        from striate.data.augment.pipeline import vary  # here, so that a recipe is read and checked without torch

        return vary(self, images, labels, Draw(seed, epoch, ids), classes)

    def boxes(self, ids: NDArray[np.int64], sizes: ArrayLike, *, seed: int, epoch: int) -> Floats:
        """The part of each source that is to be cut out and scaled to the input size.

        ids (N,), sizes (N, 2) of height and width in pixels -> (N, 4) top, left, height, width, whole numbers.
        Without `resized_crop` it is all of the source.
        """
        if self.resized_crop is None:
            whole = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
            return np.concatenate([np.zeros_like(whole), whole], axis=1)
        scale, low, high = self.resized_crop
        return source_boxes(Draw(seed, epoch, ids), sizes, scale, (low, high))

    def describe(self) -> str:
        """What is done, in a sentence."""
        return describe(self)

    @property
    def ops(self) -> tuple[str, ...]:
        """The operations that do something, as they are written; empty for `none`."""
        return tuple(f"{name}:{','.join(rest)}" if rest else name for name, rest in self._words())

    @property
    def source_crop(self) -> bool:
        """Whether the part that `boxes` gives has to be cut out of the source before the images come here."""
        return self.resized_crop is not None

    @property
    def mixes(self) -> bool:
        """Whether images and labels are mixed, so that the labels become shares."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def affine(self) -> bool:
        """Whether images are resampled on a turned, moved, slanted or scaled grid."""
        return any((self.rotation, self.width_shift, self.height_shift, self.shear)) or self.zoom != (1, 1)

    @property
    def outside(self) -> Fill:
        """The fill that is in force."""
        return self.fill or (Fill("nearest") if self.affine else Fill("constant"))

    @property
    def multiplier(self) -> float:
        """What pixels are multiplied by here: 1/255 is left to the preprocessing, which does it anyway."""
        return 1.0 if self.rescale == SCALED_BY_PREPROCESS else self.rescale

    def _words(self) -> Iterator[tuple[str, list[str]]]:
        """Each operation that does something, with its numbers as they are written."""
        if self.resized_crop is not None:
            scale, *ratio = self.resized_crop
            full = [scale, *ratio] if ratio != [3 / 4, 4 / 3] else [scale] if scale != 0.08 else []
            yield "resized_crop", [_spell(v) for v in full]
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        del plain["resized_crop"]
        if self.width_shift == self.height_shift:
            plain["shift"] = self.width_shift
            del plain["width_shift"], plain["height_shift"]
        if self.brightness == self.contrast == self.saturation:
            plain["colour"] = self.brightness
            del plain["brightness"], plain["contrast"], plain["saturation"]
        for name in OPERATIONS:
            match name, plain.get(name):
                case "zoom", (low, high) if (low, high) != (1, 1):
                    f = round(high - 1, 12)
                    yield name, [_spell(f)] if (1 - f, 1 + f) == (low, high) else [_spell(low), _spell(high)]
                case "fill", Fill(mode, value):
                    yield name, [mode, str(value)] if value else [mode]
                case "randaugment", (n, m):
                    yield name, [_spell(n), _spell(m)]
                case "hflip" | "vflip", 0.5:
                    yield name, []
                case "rescale", float() | int() as f if f != 1:
                    yield name, ["1/255" if f == SCALED_BY_PREPROCESS else _spell(f)]
                case _, float() | int() as f if f != 0 and name != "rescale":
                    yield name, [_spell(f)]


def _spell(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
