"""What is said of a layer in numbers, gathered batch by batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.look.activations.steps import Step

NEAR = 0.01  # of the range of a sigmoid: where its slope is below 4 % of its maximum
Array = NDArray[np.float64]

# (least, greatest, how near an end counts); the lower end of a rectifier is no saturation, its zeros are counted apart
_RANGES: dict[str, Callable[[Any], tuple[float | None, float, float]]] = {
    "Sigmoid": lambda _: (0.0, 1.0, NEAR), "Tanh": lambda _: (-1.0, 1.0, 2 * NEAR),
    "ScaledTanh": lambda _: (-1.7159, 1.7159, 2 * 1.7159 * NEAR), "Hardsigmoid": lambda _: (0.0, 1.0, 0.0),
    "ReLU6": lambda _: (None, 6.0, 0.0),
    "Hardtanh": lambda layer: (float(layer.min_val), float(layer.max_val), 0.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LayerActivations:
    """What a layer put out for N images; places are all that is not a channel."""

    name: str
    kind: str  # class of the layer
    label: str  # the same in a few words
    shape: tuple[int, ...]  # (C, h, w) of maps, (C,) of a dense layer
    images: int
    mean: float
    std: float  # over images, channels and places; divided by their number, not by one less
    least: float
    greatest: float
    sparsity: float  # share of exact zeros
    channel_mean: Array  # (C,)
    channel_std: Array  # (C,)
    channel_sparsity: Array  # (C,)
    blank: NDArray[np.int64]  # (C,) images in which the channel's map is the same everywhere; of one place: zero
    dead: NDArray[np.bool_]  # (C,) channels that are above zero at no place of any image
    dead_units: float  # share of units, a channel at a place, that are above zero in no image
    saturated: float | None  # share of values at the ends of the range; None where the layer has no such ends
    retained: float | None  # how much of the image can be read off it, see `striate.look.activations.retained`
    not_finite: int  # values that are NaN or infinite
    maps: Tensor | None = None  # (N, C, h, w) on the CPU, where the layer was asked for

    @property
    def places(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def blank_share(self) -> float:
        """Share of the maps that are blank, of all images."""
        return float(self.blank.sum()) / (len(self.blank) * self.images)

    @property
    def rectified(self) -> bool:
        """Whether nothing that it put out is below zero, so that a unit which is never above zero says nothing."""
        return self.least >= 0

    def to_json(self) -> dict[str, Any]:
        """Its numbers, rounded to six digits; None where they are not finite."""
        numbers = "mean std least greatest sparsity blank_share dead_units saturated retained"
        told: dict[str, Any] = {"layer": self.name, "kind": self.label, "shape": list(self.shape)}
        told |= {name: _rounded(getattr(self, name)) for name in numbers.split()}
        told["dead_channels"] = np.flatnonzero(self.dead).tolist()
        told["channel_sparsity"] = [_rounded(share) for share in self.channel_sparsity.tolist()]
        return told | {"not_finite": self.not_finite}

    def _repr_png_(self) -> bytes | None:
        if self.maps is None:
            return None
        from striate.look.activations.sheet import draw_sheet, png

        return png(draw_sheet(self, self.maps[0]))

    def _repr_html_(self) -> str:
        from striate.look.activations.overview import layer_fragment

        return layer_fragment(self)


class Tally:
    """Numbers of one step, over the batches that run through it."""

    def __init__(self, step: Step, part: nn.Module) -> None:
        c = step.shape[0]
        self.step, self.images = step, 0
        rule = _RANGES.get(type(part).__name__)
        self.range = rule(part) if rule else None
        self.mean, self.squares = np.zeros(c), np.zeros(c)  # squares: of the differences from the mean
        self.least, self.greatest = np.full(c, np.inf), np.full(c, -np.inf)
        self.zeros, self.blank = np.zeros(c, np.int64), np.zeros(c, np.int64)
        self.alive = np.zeros(0, np.uint8)  # a bit a unit
        self.ends = self.not_finite = 0
        self.retained: list[float] = []
        self.kept: list[Tensor] = []

    def add(self, y: Tensor, *, keep: bool) -> None:
        """(n, C, ...) of the next images.  Raises: ShapeError where the layer changes its shape between batches."""
        if tuple(y.shape[1:]) != self.step.shape:
            raise ShapeError(
                f"{self.step.name} put out {tuple(y.shape[1:])}, and {self.step.shape} for other images of the same "
                "size; give the images one at a time"
            )
        if keep:
            self.kept.append(y.to("cpu", copy=True))
        values = y.to(torch.promote_types(y.dtype, torch.float32)).reshape(len(y), y.shape[1], -1)
        n, _, places = values.shape
        low, high = values.amin(2), values.amax(2)
        variance, mean = torch.var_mean(values, (0, 2), correction=0)
        self._merge(_array(mean), _array(variance), n * places)
        self.images += n
        self.least = np.minimum(self.least, _array(low.amin(0)))
        self.greatest = np.maximum(self.greatest, _array(high.amax(0)))
        self.zeros += (values == 0).sum((0, 2)).cpu().numpy()
        self.blank += (low == high if places > 1 else low == 0).sum(0).cpu().numpy()
        alive = np.packbits((values > 0).any(0).cpu().numpy())
        self.alive = alive if not len(self.alive) else self.alive | alive
        if self.range is not None:
            least, greatest, near = self.range
            ends = values >= greatest - near
            self.ends += int((ends if least is None else ends | (values <= least + near)).sum())
        if not bool(variance.isfinite().all()):
            self.not_finite += int((~values.isfinite()).sum())

    def _merge(self, mean: Array, variance: Array, n: int) -> None:
        """Source: Chan, Golub & LeVeque, "Algorithms for Computing the Sample Variance", 1983."""
        before = self.images * self.step.places
        share = n / (before + n)
        apart = mean - self.mean
        self.squares += variance * n + apart**2 * before * share
        self.mean += apart * share

    def told(self) -> LayerActivations:
        step, c = self.step, self.step.shape[0]
        each = self.images * step.places  # values of a channel
        mean = float(self.mean.mean())
        squares = float((self.squares + each * (self.mean - mean) ** 2).sum())
        alive = np.unpackbits(self.alive, count=c * step.places).reshape(c, -1)
        dead: NDArray[np.bool_] = alive.max(1) == 0
        return LayerActivations(
            name=step.name, kind=step.kind, label=step.label, shape=step.shape, images=self.images,
            mean=mean, std=float(np.sqrt(squares / (c * each))),
            least=float(self.least.min()), greatest=float(self.greatest.max()),
            sparsity=float(self.zeros.sum()) / (c * each),
            channel_mean=self.mean, channel_std=np.sqrt(self.squares / each), channel_sparsity=self.zeros / each,
            blank=self.blank, dead=dead, dead_units=1 - float(alive.mean()),
            saturated=None if self.range is None else self.ends / (c * each),
            retained=float(np.mean(self.retained)) if self.retained else None,
            not_finite=self.not_finite, maps=torch.cat(self.kept) if self.kept else None,
        )  # fmt: skip


def _array(values: Tensor) -> Array:
    return values.cpu().double().numpy()


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
