"""What excites each channel most: the images of a data set, and the place in them, found in one pass.

For every channel a list of the n largest values is kept, with the number of the image and the place; nothing else, so
the memory does not grow with the data. Equal values are ordered by image, then by place from the top left.

Source: Zeiler & Fergus 2014, arXiv:1311.2901, figure 2 (the top nine, whole layers); the idea is Hubel & Wiesel's, who
showed a cat pictures until a cell of its visual cortex fired.
Differs: no deconvolution is drawn here, see `striate look attribution --method deconvolution`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ArtefactError, ShapeError, UsageError
from striate.look.excite.fields import Seen, fields
from striate.look.excite.steps import stream
from striate.look.explain.localise import Box

MOST = 9  # patches a channel, as in the paper


@dataclass(frozen=True, eq=False)
class Top:
    """The images that excite C channels of a step most, n of each, the most exciting first."""

    layer: str
    channels: tuple[int, ...]
    values: Tensor  # (C, n)
    images: Tensor  # (C, n) int64, the number of the image in the data
    places: Tensor  # (C, n, 2) int64, row and column in the step's map; 0, 0 where it has none
    ties: Tensor  # (C,) int64, images that reach the largest value: many where an activation has a ceiling (ReLU6)
    seen: Seen  # the receptive field

    def boxes(self, row: int) -> list[Box | None]:
        """What each unit of a row sees, in pixels of the network's input, clipped at the border."""
        return [self.seen.box((i, j)) for i, j in self.places[row].tolist()]


class Ranking:
    """The largest values so far, of each channel."""

    def __init__(self, most: int = MOST, per_image: int = 1) -> None:
        if most < 1 or per_image < 1:
            raise UsageError(f"{most} images a channel, {per_image} places an image: both must be at least 1")
        self.most, self.per_image = most, per_image
        self.values = self.images = self.flat = self.largest = self.ties = torch.empty(0)
        self.width = 1

    def add(self, maps: Tensor, first: int) -> None:
        """Maps (N, C, h, w), or values (N, C), of the images `first`, `first` + 1 ..."""
        if maps.ndim not in (2, 4) or 0 in maps.shape[1:]:
            raise ShapeError(f"values of shape {tuple(maps.shape)}; expected (N, channels) or (N, channels, h, w)")
        wide = (
            maps.to(torch.promote_types(maps.dtype, torch.float32)).flatten(2) if maps.ndim == 4 else maps[:, :, None]
        )
        self.width = maps.shape[3] if maps.ndim == 4 else 1
        n, c, places = wide.shape
        k = min(self.per_image, places)
        if k == 1:
            flat = wide.argmax(2, keepdim=True)  # of equals the first
            values = wide.gather(2, flat)
        else:
            values, flat = (part[:, :, :k] for part in wide.sort(dim=2, descending=True, stable=True))
        if bad := (~values.isfinite()).flatten(1).any(1).nonzero().flatten().tolist():
            raise ArtefactError(f"image {first + bad[0]} makes a value that is not finite; the weights may be damaged")
        self._count(values[:, :, 0])
        number = torch.arange(first, first + n, device=maps.device).view(1, n, 1).expand(c, n, k)
        new = (values.transpose(0, 1).flatten(1), number.flatten(1), flat.transpose(0, 1).flatten(1))
        old = (self.values, self.images, self.flat)
        every = new if not len(self.values) else tuple(torch.cat(both, 1) for both in zip(old, new, strict=True))
        order = every[0].argsort(dim=1, descending=True, stable=True)[:, : self.most]
        self.values, self.images, self.flat = (part.gather(1, order) for part in every)

    def _count(self, largest: Tensor) -> None:
        """How many images (N, C) reach the largest value so far."""
        before = self.largest if len(self.largest) else torch.full_like(largest[0], -torch.inf)
        self.largest = torch.maximum(before, largest.amax(0))
        kept = torch.where(before == self.largest, self.ties, 0) if len(self.ties) else 0
        self.ties = kept + (largest == self.largest).sum(0)

    def result(self, layer: str, channels: Sequence[int], seen: Seen) -> Top:
        """What was found, on the CPU."""
        flat = self.flat.cpu()
        places = torch.stack([flat // self.width, flat % self.width], 2)
        return Top(layer, tuple(channels), self.values.cpu(), self.images.cpu(), places, self.ties.cpu(), seen)


def top(
    module: nn.Module,
    batches: Iterable[Tensor],
    layers: Sequence[str],
    *,
    channels: Sequence[int] | None = None,
    most: int = MOST,
    per_image: int = 1,
) -> dict[str, Top]:
    """Batches of prepared images (N, c, H, W) of one size -> what excites the channels of the named steps most.

    One pass for all the steps. `channels` are those of every step, by default all. At most `per_image` places of one
    image are taken. Units of a step without maps (N, C) count as channels with one place. The module is as it was
    afterwards.

    Raises: UnknownName for a step that is not there; ShapeError for one that puts out something else, or did not run;
    UsageError for a channel that there is not, or no images; ArtefactError where a value is not finite.
    """
    rankings = {name: Ranking(most, per_image) for name in layers}
    wanted: dict[str, list[int]] = {}
    example: list[Tensor] = []
    first = 0

    def counted() -> Iterable[Tensor]:
        nonlocal first
        for batch in batches:
            if not example:
                example.append(batch[:1])
            yield batch
            first += len(batch)

    def receive(name: str, y: Tensor) -> None:
        if y.ndim not in (2, 4):
            raise ShapeError(f"step {name!r} puts out {tuple(y.shape)}; expected (N, channels) or (N, channels, h, w)")
        if name not in wanted:
            wanted[name] = _channels(name, y.shape[1], channels)
        rankings[name].add(y if channels is None else y[:, wanted[name]], first)

    stream(module, counted(), list(rankings), receive)
    if not example or not first:
        raise UsageError("there are no images, so nothing excites anything")
    weight = next(module.parameters(), example[0])
    seen = fields(module, example[0].to(weight.device), list(rankings))
    return {name: ranking.result(name, wanted[name], seen[name]) for name, ranking in rankings.items()}


def _channels(layer: str, there: int, asked: Sequence[int] | None) -> list[int]:
    if asked is None:
        return list(range(there))
    if wrong := [channel for channel in asked if not 0 <= channel < there]:
        raise UsageError(f"step {layer!r} has no channel {wrong[0]}; it has {there:,}, from 0 to {there - 1}")
    return list(dict.fromkeys(asked))
