"""How much of an image can still be read off a layer.

The image is averaged to 14 × 14 places (fewer where it has fewer pixels). A ridge regression reads the colours of a
place off what the layer puts out there, all channels, at all positions that fall into the place. It is fitted without a
block of places, and predicts these; each block has its turn:

    retained = 1 - sum of (colour - prediction)² / sum of (colour - mean colour)²

It is 1 where the layer still tells every place's colours, and 0 where it tells no more than their mean. A block is a
seventh of the image's height and width, or a position of a layer that has fewer than seven: what a layer can't tell
apart is left out together. The strength of the ridge is the best of five.

Neighbouring places look alike, so a layer that knew only where a place is would not be at 0: `by_place` says how far
such a layer would get, by polynomials of the place up to the fourth degree.

Source: ridge regression with leave-out residuals in closed form, as in Golub, Heath & Wahba, "Generalized
Cross-Validation as a Method for Choosing a Good Ridge Parameter", Technometrics 1979, for blocks of places.
"""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

GRID, BLOCKS, DEGREE = 14, 7, 4
FEWEST = 4  # places along a side, below which nothing is measured
STRENGTHS = np.array([1e-5, 1e-3, 1e-2, 1e-1, 1.0])  # of the ridge, relative to the mean variance of the places
INTERCEPT = 100.0  # its variance, relative to that: in effect it is not penalised
SMALL = 49  # rows from which on linear algebra would be dealt out to threads, which takes longer than the sums

Array = NDArray[np.float64]


class Thumbnail:
    """One image (c, H, W), averaged to a few places: what is to be read off the layers."""

    def __init__(self, image: Tensor) -> None:
        _, h, w = image.shape
        self.grid = (min(GRID, h), min(GRID, w))
        small = functional.adaptive_avg_pool2d(image.float(), self.grid).flatten(1).T
        colours = small.cpu().double().numpy()
        self.colours: Array = colours - colours.mean(0)
        self.variance = float((self.colours**2).sum())
        self.told = min(self.grid) >= FEWEST and self.variance > 1e-12 * self.colours.size  # whether there is anything

    def retained(self, maps: Tensor) -> float | None:
        """Maps (C, h, w) of a layer -> 0 to 1; None where it can't be said.

        That is for one position, maps that are not finite, and an image that is tiny, or the same everywhere.
        """
        _, h, w = maps.shape
        if h * w == 1 or not self.told:
            return None
        told = _by_place(maps, self.grid)
        told = told - told.mean(0)
        kernel = (told @ told.T).cpu().double().numpy()
        if not np.isfinite(kernel).all():
            return None
        return self._predicted(kernel, (h, w))

    @cached_property
    def by_place(self) -> float | None:
        """How much a layer would tell that knew only where a place is."""
        if not self.told:
            return None
        y, x = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in self.grid)
        powers = [(y[:, None] ** i) * (x[None] ** j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
        told = np.stack([power.ravel() for power in powers], 1)[:, 1:]
        told = told - told.mean(0)
        return self._predicted(told @ told.T, self.grid)

    def _predicted(self, kernel: Array, positions: tuple[int, int]) -> float:
        """The share of the colours' variance that is predicted from places outside of each block."""
        scale = float(np.trace(kernel)) / len(kernel)
        if not scale > 0:
            return 0.0
        eye = np.eye(len(kernel))
        inverse = _inverse(kernel / scale + INTERCEPT + STRENGTHS[:, None, None] * eye)
        solved = inverse @ self.colours
        wrong = np.zeros(len(STRENGTHS))
        for places in _groups(self.grid, positions):  # (blocks of one size, places in each)
            own = inverse[:, places[:, :, None], places[:, None, :]]
            wrong += (np.linalg.solve(own, solved[:, places]) ** 2).sum((1, 2, 3))
        return float(max(0.0, 1 - wrong.min() / self.variance))


def _inverse(matrices: Array) -> Array:
    """Of positive definite matrices (k, n, n), by Gauss-Jordan elimination of blocks."""
    m = matrices.copy()
    n = m.shape[1]
    blocks = [slice(start, min(start + SMALL, n)) for start in range(0, n, SMALL)]
    for p in blocks:
        pivot = np.linalg.inv(m[:, p, p])
        rows = {j.start: pivot @ m[:, p, j] for j in blocks if j != p}
        for i in blocks:
            if i == p:
                continue
            column = m[:, i, p].copy()
            for j in blocks:
                if j != p:
                    m[:, i, j] -= column @ rows[j.start]
            m[:, i, p] = -column @ pivot
        for j in blocks:
            if j != p:
                m[:, p, j] = rows[j.start]
        m[:, p, p] = pivot
    return m


def _by_place(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """(C, h, w) -> (places, values at them): several positions of the layer, or one that several places share."""
    size = [max(1, round(side / places)) for side, places in zip(maps.shape[1:], grid, strict=True)]
    target = (size[0] * grid[0], size[1] * grid[1])
    wide = maps.float()
    spread, mean = torch.std_mean(wide, (1, 2), correction=0, keepdim=True)
    wide = ((wide - mean) / torch.where(spread > 0, spread, 1))[None]
    if target != tuple(maps.shape[1:]):
        wide = functional.interpolate(wide, target, mode="nearest-exact")
    c = maps.shape[0]
    split = wide.view(c, grid[0], size[0], grid[1], size[1])
    return split.permute(1, 3, 0, 2, 4).reshape(grid[0] * grid[1], -1)


def _groups(grid: tuple[int, int], positions: tuple[int, int]) -> list[NDArray[np.intp]]:
    """The places of every block, those of blocks of one size together; no position of the layer is in two blocks."""
    rows, columns = (_blocks(side, min(n, side)) for side, n in zip(grid, positions, strict=True))
    of = (rows[:, None] * (columns.max() + 1) + columns[None]).ravel()
    members = [np.flatnonzero(of == k) for k in range(int(of.max()) + 1)]
    sizes = sorted({len(places) for places in members})
    return [np.stack([places for places in members if len(places) == size]) for size in sizes]


def _blocks(places: int, positions: int) -> NDArray[np.intp]:
    """The block of each place along one side."""
    shared = ((np.arange(places) + 0.5) * positions / places).astype(np.intp)  # as interpolation takes the nearest
    return shared * min(BLOCKS, positions) // positions
