"""Windows that slide over maps: how many there are, and what each of their taps sees.

A window of k taps, d apart, stands at every s-th position of a map with p positions added on each side. Tap (u, v) of
the window at (i, j) reads position (i*s + u*d, j*s + v*d). Tap by tap, all windows at once are one strided view.

Source:  Dumoulin & Visin 2016, arXiv:1603.07285.
Checked: by every pooling in tests/math.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from striate.errors import ShapeError
from striate.math.arrays import Array, Pair, pair


def out_size(size: int, k: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil: bool = False) -> int:
    """How many windows stand along an axis.

    Without `ceil`, only those that fit. With it also the last one that begins in the map or in the padding before
    it, and reaches over the end.

    >>> out_size(6, k=3, stride=2), out_size(6, k=3, stride=2, ceil=True)
    (2, 3)

    Raises: ShapeError where no window fits.
    """
    room = size + 2 * padding - dilation * (k - 1) - 1
    n = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (n - 1) * stride >= size + padding:
        n -= 1
    if n < 1 or k < 1 or stride < 1 or size < 1:
        raise ShapeError(
            f"no window of {k} positions (stride {stride}, dilation {dilation}) fits into {size} positions padded by "
            f"{padding}; expected {dilation * (k - 1) + 1 - 2 * padding} or more"
        )
    return n


@dataclass(frozen=True)
class Windows:
    """All windows over maps of (rows, columns)."""

    size: tuple[int, int]
    k: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]

    @classmethod
    def over(
        cls, x: Array, k: Pair, stride: Pair | None, padding: Pair = 0, dilation: Pair = 1, ceil: bool = False
    ) -> "Windows":
        """The windows over x (N, C, H, W). A stride of None is k: windows side by side.

        Raises: ShapeError if x has not four axes, or no window fits.
        """
        if x.ndim != 4:
            raise ShapeError(f"x has the shape {x.shape}; expected maps (N, C, H, W)")
        h, w = x.shape[2], x.shape[3]
        (ku, kv), (pu, pv), (du, dv) = pair(k), pair(padding), pair(dilation)
        su, sv = (ku, kv) if stride is None else pair(stride)
        out = out_size(h, ku, su, pu, du, ceil), out_size(w, kv, sv, pv, dv, ceil)
        return cls((h, w), (ku, kv), (su, sv), (pu, pv), (du, dv), out)

    def pad(self, x: Array, value: float) -> Array:
        """x with the padding, and with what windows at the end reach over it."""
        ends = []
        for axis in (0, 1):
            reach = (self.out[axis] - 1) * self.stride[axis] + self.dilation[axis] * (self.k[axis] - 1) + 1
            before = self.padding[axis]
            ends.append((before, max(before, reach - self.size[axis] - before)))
        if ends == [(0, 0), (0, 0)]:
            return x
        return np.pad(x, ((0, 0), (0, 0), *ends), constant_values=value)

    def unpad(self, padded: Array) -> Array:
        """The part of a padded array that is the map."""
        (pu, pv), (h, w) = self.padding, self.size
        return padded[:, :, pu : pu + h, pv : pv + w]

    def taps(self) -> Iterator[tuple[int, tuple[slice, ...]]]:
        """Each tap's number, row by row, and the slices of a padded array that it sees: (N, C, I, J) values."""
        for number, taps in enumerate(np.ndindex(self.k)):
            where = []
            for axis, tap in enumerate(taps):
                start = tap * self.dilation[axis]
                where.append(slice(start, start + (self.out[axis] - 1) * self.stride[axis] + 1, self.stride[axis]))
            yield number, (slice(None), slice(None), *where)

    def counts(self, with_padding: bool) -> Array:
        """(I, J): how many positions of the map each window sees, or of the padded map; what is beyond never counts."""
        along = []
        for axis in (0, 1):
            p, size = self.padding[axis], self.size[axis]
            start = np.arange(self.out[axis]) * self.stride[axis]
            end = np.minimum(start + self.k[axis], size + 2 * p)
            along.append(end - start if with_padding else np.minimum(end, size + p) - np.maximum(start, p))
        counts: Array = np.outer(along[0], along[1]).astype(np.float64)
        return counts
