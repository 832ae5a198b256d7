"""Where each pixel comes from: affine maps that are resampled once, and moves of whole pixels that are exact.

    source (row, column) = R(rotation) T(shift) S(shear) Z(zoom) (row, column), about the centre of the image

    R = [cos -sin; sin cos]      S = [1 -sin; 0 cos]      Z = [z_rows 0; 0 z_columns]

An image is continued over the whole plane as its fill says, then sampled bilinearly.

Source:  Keras' ImageDataGenerator: this composition, its ranges and signs; `fill:reflect` as there repeats the edge.
         `shear` is in degrees, as there. Early Keras took radians, so the much copied 0.2 once meant 11.5 degrees;
         now it means a fifth of one, which nobody can see. For what its authors saw write `shear:11.5`.
Differs: `fill:constant` blends into the border over one pixel, where Keras cuts it off.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from striate.data.augment.draw import Draw, Floats, each
from striate.data.augment.operations import Fill
from striate.data.augment.spec import Augment
from striate.data.carried import carried

IDENTITY = np.eye(2, 3)


def affine_maps(augment: Augment, draw: Draw, height: int, width: int) -> Floats:
    """(N, 2, 3): the map from a pixel (row, column) of the result to one of the source, both from the centre."""
    maps = np.broadcast_to(IDENTITY, (len(draw), 2, 3))
    if augment.rotation:
        maps = compose(maps, rotation(draw.between("rotation", -augment.rotation, augment.rotation)))
    if augment.height_shift or augment.width_shift:
        rows = augment.height_shift * (height if augment.height_shift < 1 else 1)
        columns = augment.width_shift * (width if augment.width_shift < 1 else 1)
        maps = compose(
            maps, shift(draw.between("height_shift", -rows, rows), draw.between("width_shift", -columns, columns))
        )
    if augment.shear:
        angle = np.radians(draw.between("shear", -augment.shear, augment.shear))
        slant = shift(np.zeros(len(draw)), np.zeros(len(draw)))
        slant[:, 0, 1], slant[:, 1, 1] = -each(math.sin, angle), each(math.cos, angle)
        maps = compose(maps, slant)
    if augment.zoom != (1, 1):
        maps = maps.copy()
        low, high = augment.zoom
        maps[:, :, :2] *= low + (high - low) * draw.uniform("zoom", 2)[:, None, :]
    return maps


def rotation(degrees: Floats) -> Floats:
    """(N,) angles -> (N, 2, 3)."""
    angle = np.radians(degrees)
    cos, sin = each(math.cos, angle), each(math.sin, angle)
    zero = np.zeros_like(cos)
    return np.stack([cos, -sin, zero, sin, cos, zero], axis=1).reshape(-1, 2, 3)


def shift(rows: Floats, columns: Floats) -> Floats:
    """(N,), (N,) pixels -> (N, 2, 3)."""
    maps = np.tile(IDENTITY, (len(rows), 1, 1))
    maps[:, 0, 2], maps[:, 1, 2] = rows, columns
    return maps


def compose(first: Floats, then: Floats) -> Floats:
    """The map that applies `then` to a pixel of the result, and `first` to what comes out: (N, 2, 3) each."""
    maps: Floats = first[:, :, 0:1] * then[:, 0:1, :] + first[:, :, 1:2] * then[:, 1:2, :]
    maps[:, :, 2] += first[:, :, 2]
    return maps


def moves(augment: Augment, draw: Draw) -> tuple[Floats, Floats]:
    """What `crop` and the flips do to each axis: rows (N, 2), columns (N, 2); a pair (sign, offset) in whole pixels.

    Seen from the centre, the source of row r is sign * r + offset.
    """
    axes = []
    for flip, place in ((augment.vflip, "vflip"), (augment.hflip, "hflip")):
        sign = np.where(draw.uniform(place)[:, 0] < flip, -1.0, 1.0) if flip else np.ones(len(draw))
        offset = np.zeros(len(draw))
        if augment.crop:
            offset = np.floor(draw.uniform(f"crop/{place}")[:, 0] * (2 * augment.crop + 1)) - augment.crop
        axes.append(np.stack([sign, offset], axis=1))
    return axes[0], axes[1]


def as_maps(rows: Floats, columns: Floats) -> Floats:
    """The moves of whole pixels as affine maps (N, 2, 3), to be composed with others."""
    maps = shift(rows[:, 1], columns[:, 1])
    maps[:, 0, 0], maps[:, 1, 1] = rows[:, 0], columns[:, 0]
    return maps


def move(images: Tensor, rows: Floats, columns: Floats, fill: Fill) -> Tensor:
    """Flips and shifts by whole pixels, of images (N, C, H, W) as `moves` has it: no pixel changes its value."""
    n, c, h, w = images.shape
    row, outside_rows = _sources(rows, h, fill, images.device)
    column, outside_columns = _sources(columns, w, fill, images.device)
    index = row[:, :, None] * w + column[:, None, :]
    planes = images.reshape(n, c, h * w)
    # to ask whether anything lies outside is to wait, where the images are not in this processor's memory
    asks = images.device.type == "cpu"
    if fill.mode == "constant" and not (asks and not outside_rows.any() and not outside_columns.any()):
        planes = pad(planes, (0, 1), value=fill.value)  # one more pixel, that all of the outside is taken from
        index.masked_fill_(outside_rows[:, :, None] | outside_columns[:, None, :], h * w)
    return torch.gather(planes, 2, index.view(n, 1, h * w).expand(n, c, h * w)).view(n, c, h, w)


def _sources(moves: NDArray[np.float64], side: int, fill: Fill, device: torch.device) -> tuple[Tensor, Tensor]:
    """(N, 2) -> the index that each place along one side is taken from, and whether it lies outside: (N, side) each."""
    sign, offset = carried(moves.astype(np.int64), device).unbind(1)
    here = torch.arange(side, device=device)
    index = torch.where(sign[:, None] < 0, side - 1 - here, here) + offset[:, None]
    outside = (index < 0) | (index >= side)
    if fill.mode == "wrap":
        return index.remainder(side), outside
    if fill.mode == "reflect":
        index = index.remainder(2 * side)
        return torch.minimum(index, 2 * side - 1 - index), outside
    return index.clamp(0, side - 1), outside


def resample(images: Tensor, maps: Floats, fill: Fill) -> Tensor:
    """Images (N, C, H, W) float32, sampled where the maps (N, 2, 3) point."""
    n, _, h, w = images.shape
    device = images.device
    grid = torch.empty(n, h, w, 2, device=device)
    if fill.mode == "wrap":
        images = pad(images, (0, 1, 0, 1), mode="circular")  # so that the last pixel has the first as its neighbour
        for axis, line, side in ((0, maps[:, 1], w), (1, maps[:, 0], h)):
            pixels = torch.add(*_lines(line, h, w, 1, (side - 1) / 2, device)).remainder_(side)
            grid[..., axis] = pixels.mul_(2 / (side + 1)).add_(1 / (side + 1) - 1)
    else:
        # grid_sample counts from edge to edge -1 .. 1, which from the centre is 2 / side a pixel
        torch.add(*_lines(maps[:, 1], h, w, 2 / w, 0, device), out=grid[..., 0])
        torch.add(*_lines(maps[:, 0], h, w, 2 / h, 0, device), out=grid[..., 1])
    if fill.mode == "constant":  # zeros are outside, so all else is moved by the value, there and back
        sampled = grid_sample(images - fill.value, grid, padding_mode="zeros", align_corners=False)
        return sampled.add_(fill.value)
    padding = "reflection" if fill.mode == "reflect" else "border"
    return grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _lines(
    line: Floats, height: int, width: int, unit: float, centre: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """One row of the maps (N, 3) -> the terms of that coordinate, to be added: (N, H, 1) and (N, 1, W) float32.

    Counted in `unit` for a pixel, from where the centre is `centre`.
    """
    down = line[:, 0:1] * (np.arange(height) - (height - 1) / 2) + line[:, 2:3]
    across = line[:, 1:2] * (np.arange(width) - (width - 1) / 2)
    return (
        carried((down * unit + centre).astype(np.float32), device)[:, :, None],
        carried((across * unit).astype(np.float32), device)[:, None, :],
    )
