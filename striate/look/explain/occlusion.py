"""Occlusion sensitivity: what happens to the score of a class when a part of the image is covered?

    value[p] = mean over the windows W that cover p of  score(x) - score(x with W covered)

Source:  Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2.
Differs: they draw the score by the place of the window; here each pixel has the mean of all windows that cover it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.look.explain.attribution import Attribution, at_once
from striate.look.explain.score import chosen, logits, notes_on, on_device_of, score
from striate.run.inference import evaluating


def occlusion(
    module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None, window: int | None = None,
    stride: int | None = None, cover: float = 0.0, batch: int | None = None,
) -> Attribution:  # fmt: skip
    """Normalised images (N, c, H, W) -> values (N, 1, H, W) in logits: the whole pixel is covered.

    `window` is the side of the covering square in pixels, by default an eighth of the image's shorter side; `stride`
    how far it moves, by default half of that; `cover` its colour in normalised units, 0 being the mean colour.
    `batch` covered images at a time, None: as many as make a quarter of a million pixels; no gradient is needed.

    Raises: UsageError for a window that is larger than the image, or a stride over which pixels would be left out.
    """
    height, width = images.shape[2:]
    side = max(1, min(height, width) // 8) if window is None else window
    step = max(1, side // 2) if stride is None else stride
    if not 1 <= side <= min(height, width):
        raise UsageError(
            f"window = {side}; expected 1 to {min(height, width)} pixels, the image being {height}×{width}"
        )
    if not 1 <= step <= side:
        raise UsageError(f"stride = {step}; expected 1 to {side}, the window, so that no pixel is left out")
    batch = at_once(images) if batch is None else batch
    if batch < 1:
        raise UsageError(f"batch = {batch}: it must be at least 1")
    places = [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]
    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images)
        z = logits(module, x, classes)
        target = chosen(z, target)
        whole = score(z, target)
        lost = torch.zeros(len(x), height, width).to(whole)
        for i, image in enumerate(x):
            count = torch.zeros(height, width).to(whole)
            for some in (places[first : first + batch] for first in range(0, len(places), batch)):
                covered = image.expand(len(some), *image.shape).clone()
                for one, (top, left) in zip(covered, some, strict=True):
                    one[:, top : top + side, left : left + side] = cover
                drop = whole[i] - score(logits(module, covered, classes), target[i].expand(len(some)))
                for change, (top, left) in zip(drop, some, strict=True):
                    lost[i, top : top + side, left : left + side] += change
                    count[top : top + side, left : left + side] += 1
            lost[i] /= count
    return Attribution(lost[:, None], target.detach(), f"occlusion by {side}×{side} pixels", True, notes_on(z))


def _starts(length: int, side: int, step: int) -> Iterator[int]:
    """Where windows begin along an axis; the last may stand over the edge, and is cut off there."""
    return iter(range(0, -(-(length - side) // step) * step + 1, step))
