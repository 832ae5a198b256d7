"""From an image of any size to what the network sees: one rule, shared by training and all that comes after.

    pixels      (H, W, C) uint8  -> resize, crop or pad -> (c, size[0], size[1]) uint8
    normalise   (N, c, H, W)     -> (x / 255 - mean) / std, float32

A `Preprocess` is stored in every artefact, and describes itself in a sentence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import isfinite
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.data.resample import cut_out, resize
from striate.errors import ArtefactError, RecipeError, suggest

Resize = Literal["crop", "letterbox", "stretch", "pad"]
Interpolation = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Order = Literal["gray", "rgb", "bgr"]

LARGEST = 16_384  # pixels, a side of what the network sees


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes the network's input.

    `resize` says what gives when the shapes differ:
    `crop` scales the short side to `short_side` and cuts out the middle; `letterbox` scales the long side to fit
    and fills the rest; `stretch` scales both sides, each by its own factor; `pad` does not scale what already
    fits but centres it (what is too large is letterboxed).
    """

    size: tuple[int, int]  # (H, W) that the network sees, in pixels
    resize: Resize = "crop"
    short_side: int | None = None  # with `crop`, in pixels; None: just large enough to cover `size`
    interpolation: Interpolation = "bilinear"  # always antialiased when shrinking
    order: Order = "rgb"  # what the channels are
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # of pixels scaled to 0..1, a channel
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    fill: int = 0  # 0..255, what `letterbox` and `pad` put around the image
    background: tuple[int, int, int] = (255, 255, 255)  # what transparent pixels show

    def __post_init__(self) -> None:
        """Refuse what makes no sense.  Raises: RecipeError."""
        for name, known in (("resize", Resize), ("interpolation", Interpolation), ("order", Order)):
            if (given := getattr(self, name)) not in get_args(known):
                expected = suggest(str(given), get_args(known), f"expected {', '.join(get_args(known))}")
                raise RecipeError(f"preprocessing: {name} is {given!r}{expected}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise RecipeError(
                f"preprocessing: {self.order} has {self.channels} channels, but mean has {len(self.mean)} values "
                f"and std has {len(self.std)}"
            )
        if not all(isfinite(m) for m in self.mean):
            raise RecipeError(f"preprocessing: mean must be finite, not {self.mean}")
        if not all(isfinite(s) and s > 0 for s in self.std):
            raise RecipeError(f"preprocessing: std must be above zero, not {self.std}")
        if not _whole(self.size, 2, 1, LARGEST):
            raise RecipeError(f"preprocessing: size is {self.size}; expected height and width from 1 to {LARGEST}")
        if self.short_side is not None and not _whole((self.short_side,), 1, max(self.size), LARGEST):
            raise RecipeError(
                f"preprocessing: short_side is {self.short_side}; expected from {max(self.size)} (size is {self.size}) "
                f"to {LARGEST}"
            )
        if not (_whole((self.fill,), 1, 0, 255) and _whole(self.background, 3, 0, 255)):
            raise RecipeError(
                f"preprocessing: fill is {self.fill} and background {self.background}; expected values from 0 to 255"
            )

    @property
    def channels(self) -> int:
        return 1 if self.order == "gray" else 3

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 1 or 3) -> (channels, *size), still bytes: geometry and channel order, no normalisation."""
        return self._planes(self._fit(self._coloured(image)))

    def _coloured(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 1 or 3) -> (H, W, channels)."""
        if image.shape[2] == self.channels:
            return image
        if self.channels == 3:
            return np.repeat(image, 3, axis=2)
        return np.asarray(Image.fromarray(image).convert("L"))[:, :, None]

    def _planes(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[:, :, :: -1 if self.order == "bgr" else 1].transpose(2, 0, 1))

    def kept(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Of an image of that size, the part that is used: left, top, right, bottom, in its pixels.

        >>> Preprocess(size=(224, 224), short_side=256).kept(256, 512)
        (144.0, 16.0, 368.0, 240.0)
        """
        if self.resize != "crop":
            return 0.0, 0.0, float(width), float(height)
        (h, w), ((high, wide), (top, left)) = self.size, self._crop(height, width)
        return left * width / wide, top * height / high, (left + w) * width / wide, (top + h) * height / high

    def _crop(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of `crop`: what an image is scaled to (height, width), and where `size` is cut out of that (top, left)."""
        h, w = self.size
        scale = self.short_side / min(width, height) if self.short_side else max(w / width, h / height)
        high, wide = max(h, int(height * scale + 1e-9)), max(w, int(width * scale + 1e-9))
        return (high, wide), (round((high - h) / 2), round((wide - w) / 2))

    def all_pixels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """What `pixels` gives for each of (N, H, W, C), at once, where no pixel has to be computed; else None."""
        _, height, width, c = images.shape
        (h, w), same = self.size, (height, width) == self.size and not self._enlarges
        if c != self.channels or not (same or (self.resize == "pad" and height <= h and width <= w)):
            return None
        top, left = (h - height) // 2, (w - width) // 2
        out = np.full((len(images), c, h, w), self.fill, dtype=np.uint8)
        out[:, :, top : top + height, left : left + width] = images.transpose(0, 3, 1, 2)
        return out[:, ::-1] if self.order == "bgr" else out

    @property
    def _enlarges(self) -> bool:
        """Whether `crop` scales an image up that has the right size already, and cuts its middle out."""
        return self.resize == "crop" and self.short_side is not None and self.short_side > min(self.size)

    def cut(self, image: NDArray[np.uint8], box: Sequence[int]) -> NDArray[np.uint8]:
        """A box (top, left, height, width) of an image (H, W, 1 or 3), stretched -> (channels, *size) uint8."""
        top, left, height, width = box
        part = self._coloured(image[top : top + height, left : left + width])
        return self._planes(resize(part, *self.size, self.interpolation))

    def normalise(self, images: Tensor) -> Tensor:
        """(N, channels, H, W), bytes or floats in 0..255 -> float32 of about zero mean and unit deviation."""
        find = _mean_and_scale if images.device.type == "cpu" else _kept_mean_and_scale
        mean, scale = find(self.mean, self.std, images.device)
        return images.to(torch.float32, copy=True).sub_(mean).mul_(scale)

    def __call__(self, images: list[NDArray[np.uint8]]) -> Tensor:
        """Images of any size, (H, W, 1 or 3) each -> (N, channels, *size) float32."""
        return self.normalise(torch.from_numpy(np.stack([self.pixels(image) for image in images])))

    def describe(self) -> str:
        """One sentence.

        >>> print(Preprocess(size=(224, 224), short_side=256).describe())  # doctest: +NORMALIZE_WHITESPACE
        RGB on (255, 255, 255); short side to 256 px (bilinear), central 224x224 px; divided by 255, then minus
        (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).
        """
        h, w = self.size
        scaled = f"short side to {self.short_side or h} px" if self.short_side or h == w else "scaled until it covers"
        how = {
            "crop": f"{scaled} ({self.interpolation}), central {w}x{h} px",
            "letterbox": f"fitted into {w}x{h} px ({self.interpolation}), the rest filled with {self.fill}",
            "stretch": f"stretched to {w}x{h} px ({self.interpolation})",
            "pad": f"centred on {w}x{h} px without scaling, the rest filled with {self.fill} "
            f"(a larger image is fitted into it, {self.interpolation})",
        }[self.resize]
        order = {"gray": "gray", "rgb": "RGB", "bgr": "BGR"}[self.order]
        values = f"divided by 255, then minus {_row(self.mean)}, divided by {_row(self.std)}"
        return f"{order} on {_row(self.background)}; {how}; {values}."

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Preprocess":
        """The inverse of `to_json`.  Raises: ArtefactError where a key or a type is not what it writes."""
        names = {f.name for f in fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            found = sorted(value) if isinstance(value, dict) else repr(value)
            raise ArtefactError(f"preprocessing: expected the keys {sorted(names)}, found {found}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        try:
            return cls(**values)
        except (TypeError, RecipeError) as error:
            raise ArtefactError(f"preprocessing: {str(error).removeprefix('preprocessing: ')}") from error

    def _fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        (h, w), (height, width) = self.size, image.shape[:2]
        if self.resize == "stretch":
            return resize(image, h, w, self.interpolation)
        if self.resize == "crop":
            whole, corner = self._crop(height, width)
            return cut_out(image, whole, corner, self.size, self.interpolation)
        scale = min(w / width, h / height)
        if self.resize == "letterbox" or scale < 1:
            image = resize(image, max(1, round(height * scale)), max(1, round(width * scale)), self.interpolation)
        height, width = image.shape[:2]
        top, left = (h - height) // 2, (w - width) // 2
        canvas = np.full((h, w, self.channels), self.fill, dtype=np.uint8)
        canvas[top : top + height, left : left + width] = image
        return canvas


def _whole(values: tuple[int, ...], n: int, low: int, high: int) -> bool:
    """Whether these are n whole numbers from low to high; what was read from a file may be anything."""
    return len(values) == n and all(type(v) is int and low <= v <= high for v in values)


def _mean_and_scale(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """What is taken away from bytes, and what they are multiplied by then: (1, C, 1, 1) each."""
    m, s = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) * 255 for values in (mean, std))
    return m.to(device), (1 / s).to(device)


@lru_cache(maxsize=32)
def _kept_mean_and_scale(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The same, kept: to bring numbers to a device is to wait for it."""
    with torch.inference_mode(False):
        return _mean_and_scale(mean, std, device)


def _row(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{v:g}' for v in values)})" if len(values) > 1 else f"{values[0]:g}"
