"""Images and labels of two samples in one.

    mixup    x = λ x_i + (1 - λ) x_j      y = λ y_i + (1 - λ) y_j      λ ~ Beta(α, α)
    cutmix   x = x_i with a box of x_j    y the same, with λ the share of the area that x_i keeps

The partner j of a sample is the next one in its batch (of the last, the first), so here, and only here, what becomes
of a sample depends on the batch. With both, each sample draws which.

Source:  Zhang et al. 2018, "mixup: beyond empirical risk minimization"; Yun et al. 2019, "CutMix", eq. 1 and 2.
Differs: λ is drawn for each sample; the papers' code draws one for each batch.
"""

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.boxes import Boxes
from striate.data.augment.colour import column
from striate.data.augment.draw import Draw, Floats, each
from striate.data.augment.masks import inside
from striate.data.augment.spec import Augment
from striate.data.carried import carried


@dataclass(frozen=True, eq=False)
class Mixture:
    """How the samples of one batch are mixed."""

    keeps: Floats  # (N,) the share that a sample keeps of itself
    boxes: Boxes  # (N, 4), of height 0 where images are blended
    by_box: NDArray[np.bool_]  # (N,)

    @classmethod
    def draw(cls, augment: Augment, draw: Draw, height: int, width: int) -> Self:
        """For an augmentation with mixup, cutmix or both."""
        n = len(draw)
        by_box = draw.uniform("mix")[:, 0] < 0.5 if augment.mixup and augment.cutmix else np.full(n, augment.cutmix > 0)
        keeps, boxes = np.ones(n), np.zeros((n, 4), np.int64)
        if augment.mixup:
            keeps = beta(augment.mixup, draw.uniform("mixup")[:, 0])
        if augment.cutmix:
            found = cutmix_boxes(draw, beta(augment.cutmix, draw.uniform("cutmix")[:, 0]), height, width)
            boxes = np.where(by_box[:, None], found, 0)
            keeps = np.where(by_box, 1 - found[:, 2] * found[:, 3] / (height * width), keeps)
        return cls(keeps, boxes, by_box)

    def images(self, own: Tensor, others: Tensor, part: slice) -> Tensor:
        """Part of the batch and its partners, (n, C, H, W) each, -> mixed, (n, C, H, W)."""
        by_box = self.by_box[part]
        share = column(np.where(by_box, 1.0, self.keeps[part]), own)
        mixed = own.clone() if by_box.all() else (own * share).add_(others * (1 - share))
        if own.device.type != "cpu":
            return torch.where(inside(self.boxes[part], own), others, mixed)
        pixels, pasted = mixed.numpy(), others.numpy()  # the same memory, and quicker to slice
        for i, (top, left, height, width) in enumerate(self.boxes[part].tolist()):
            if height:
                box = (i, slice(None), slice(top, top + height), slice(left, left + width))
                pixels[box] = pasted[box]
        return mixed

    def shares(self, labels: NDArray[np.int64], classes: int, device: torch.device) -> Tensor:
        """Each class its share: labels (N,) -> (N, classes) float32 on a device, each row of sum 1."""
        n = np.arange(len(labels))
        keeps = self.keeps.astype(np.float32)
        shares = np.zeros((len(labels), classes), np.float32)
        shares[n, labels] = keeps
        shares[n, labels[partners(len(labels))]] += 1 - keeps
        return carried(shares, device)


def partners(n: int) -> NDArray[np.int64]:
    """The place in the batch of each sample's partner: the next one, and of the last the first."""
    return np.roll(np.arange(n), -1)


def cutmix_boxes(draw: Draw, keeps: Floats, height: int, width: int) -> Boxes:
    """Boxes (N, 4) about a centre anywhere, of 1 - λ of the area before the image's border cuts them off."""
    side = np.floor(np.sqrt(1 - keeps)[:, None] * [height, width]).astype(np.int64)
    middle = np.floor(draw.uniform("cutmix/place", 2) * [height, width]).astype(np.int64)
    start = np.maximum(middle - side // 2, 0)
    end = np.minimum(middle - side // 2 + side, [height, width])
    return np.concatenate([start, end - start], axis=1)


def beta(alpha: float, u: Floats) -> Floats:
    """Evenly spread u (N,) -> numbers distributed as Beta(alpha, alpha): the inverse of its cumulative function."""
    points, cumulative = _beta_table(alpha)
    s = np.interp(np.minimum(u, 1 - u), cumulative, points)
    lower = 0.5 * each(lambda v: v ** max(1.0, 1 / alpha), s)
    return np.where(u < 0.5, lower, 1 - lower)


@cache
def _beta_table(alpha: float) -> tuple[Floats, Floats]:
    """The lower half of the distribution, x = s^g / 2 with g = max(1, 1/α): s, and the cumulative probability at s.

    In s the density is s^(gα - 1) (1 - x)^(α - 1) up to a factor, which has no pole, unlike x^(α - 1) at x = 0.
    """
    g = max(1.0, 1 / alpha)
    s = np.linspace(0, 1, 4097)
    density = s ** (g * alpha - 1) * (1 - 0.5 * s**g) ** (alpha - 1)
    total = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return s, total / total[-1] / 2
