"""What excites the channels of a network most, over a split of a data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.dataset import Pixels, Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.errors import UsageError
from striate.look.excite.sources import in_source
from striate.look.excite.steps import stages
from striate.look.excite.top import MOST, Top, top

Progress = Callable[[int, int], None]  # images done, images in all
IN_A_NOTEBOOK = 8  # channels that are drawn there


@dataclass(frozen=True, eq=False)
class Exciting:
    """The images of a split that excite channels most; `striate.look.excite.picture` draws them."""

    tops: tuple[Top, ...]  # a step each
    split: Split
    classes: tuple[str, ...]
    preprocess: Preprocess

    def to_json(self) -> dict[str, Any]:
        """Every value with its image, its place, and boxes [top, left, height, width] in pixels.

        `box` is in what the network sees, `in_image` [top, left, bottom, right] in the image itself.
        """
        sizes: dict[int, tuple[int, int]] = {}
        return {
            "images": len(self.split),
            "steps": [
                {
                    "step": one.layer,
                    "field": one.seen.to_json(),
                    "channels": [
                        {
                            "channel": channel,
                            "images_at_the_largest": int(one.ties[row]),
                            "top": [self._one(one, row, i, sizes) for i in range(one.values.shape[1])],
                        }
                        for row, channel in enumerate(one.channels)
                    ],
                }
                for one in self.tops
            ],
        }

    def _one(self, one: Top, row: int, i: int, sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
        image, place = int(one.images[row, i]), one.places[row, i].tolist()
        if image not in sizes:
            height, width = self.split.images.read(image).shape[:2]
            sizes[image] = (height, width)
        box = one.seen.box((place[0], place[1]))
        return {
            "value": float(one.values[row, i]),
            "image": self.split.keys[image],
            "class": self.classes[int(self.split.labels[image])],
            "place": place if one.seen.grid else None,
            "box": box,
            "in_image": None if box is None else [round(v, 2) for v in in_source(self.preprocess, sizes[image], box)],
        }

    def _repr_png_(self) -> bytes:
        """The first channels of the first step, for a notebook."""
        from striate.look.excite.picture import draw_top
        from striate.look.png import picture_png

        return picture_png(draw_top(self, self.tops[0], rows=range(min(IN_A_NOTEBOOK, len(self.tops[0].channels)))))


def what_excites(
    module: nn.Module,
    split: Split,
    preprocess: Preprocess,
    layers: Sequence[str] | None = None,
    *,
    classes: Sequence[str],
    channels: Sequence[int] | None = None,
    most: int = MOST,
    per_image: int = 1,
    batch: int = 64,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Exciting:
    """The images and places of a split that excite the channels of the named steps most, in one pass.

    Without `layers` it is the last step of each resolution. No image is kept: memory is that of a batch, and of
    `most` numbers a channel.

    Raises: as `striate.look.excite.top.top`; DatasetError for an image that can't be read.
    """
    if not len(split):
        raise UsageError("there are no images, so nothing excites anything")
    weight = next(module.parameters(), torch.empty(0))
    if layers is None:
        first = preprocess([split.images.read(0)])
        layers = stages(module, first.to(weight.device))
    loader = Loader(split, preprocess, classes=len(classes), batch=batch, workers=workers, keep=0)

    def batches() -> Iterator[Tensor]:
        done = 0
        for one in loader.in_order():
            yield one.images
            done += len(one.images)
            if progress:
                progress(done, len(split))

    found = top(module, batches(), layers, channels=channels, most=most, per_image=per_image)
    return Exciting(tuple(found.values()), split, tuple(classes), preprocess)


def as_seen(preprocess: Preprocess, image: Pixels) -> Pixels:
    """What the network sees of an image, (H, W, 1 or 3), red first."""
    planes = preprocess.pixels(image)
    seen: Pixels = (planes[::-1] if preprocess.order == "bgr" else planes).transpose(1, 2, 0)
    return seen
