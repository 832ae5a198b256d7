"""The terms of units that read a window, or everything: convolutions, dense layers, pools.

A rule is given a layer, its input x (1, ...) and the place of the unit in its output.
"""

from math import sqrt
from typing import Any

import numpy as np

from striate.blocks.same import SameConv2d
from striate.errors import UsageError
from striate.look.units.terms import At, Terms, changed, double, grid, look_up, numbers, weighted
from striate.math import adaptive_pool, geometry
from striate.math.arrays import Array, Whole, pair


def _window(layer: Any, x: Array, at: At, before: tuple[int, int], dilation: Any = 1) -> tuple[list[int], list[int]]:
    """Rows and columns that the window at a position reads; those outside of the map are in the padding."""
    k, dilation = pair(layer.kernel_size), pair(dilation)
    stride = pair(layer.stride if layer.stride is not None else k)
    rows, cols = (
        [at[axis + 1] * stride[axis] - before[axis] + tap * dilation[axis] for tap in range(k[axis])] for axis in (0, 1)
    )
    return rows, cols


def conv2d(layer: Any, x: Array, at: At) -> Terms:
    w = numbers(layer, "weight")
    assert w is not None
    if layer.padding_mode != "zeros":
        raise UsageError(f"the layer pads with {layer.padding_mode!r}; one unit can be taken apart with zeros")
    padding = "same_keras" if isinstance(layer, SameConv2d) else layer.padding
    padding = "same_torch" if padding == "same" else padding
    zeros = geometry.zeros_per_axis(x.shape[2:], layer.kernel_size, layer.stride, padding, layer.dilation)
    rows, cols = _window(layer, x, at, (zeros[0][0], zeros[1][0]), layer.dilation)
    c, each = at[0], w.shape[1]
    first = c // (layer.out_channels // layer.groups) * each
    read = grid(range(first, first + each), rows, cols)
    return _product(layer, x, read, c)


def linear(layer: Any, x: Array, at: At) -> Terms:
    read = grid(*([i] for i in at[:-1]), range(layer.in_features))
    return _product(layer, x, read, at[-1])


def _product(layer: Any, x: Array, read: Whole, k: int) -> Terms:
    """Σ w·x + b with the k-th kernel."""
    w, b = numbers(layer, "weight"), numbers(layer, "bias")
    assert w is not None
    mine = grid([k], *(range(n) for n in w.shape[1:]))
    formula, bias = ("y = Σ w·x", None) if b is None else ("y = Σ w·x + b", float(b[k]))
    slopes = {} if b is None else {f"bias[{k}]": 1.0}
    more = {"weight": "weight", "weight_at": mine, "parameter_slopes": slopes}
    done = weighted(x, read, double(w[k].reshape(-1)), formula, bias, **more)
    return changed(done, weight_slopes=done.x)


def _largest(x: Array, read: Whole, padded_with: float = -np.inf) -> Terms:
    found, inside = look_up(x, read)
    if padded_with == -np.inf:
        read, found, inside = read[inside], found[inside], inside[inside]
    found = np.where(inside, found, padded_with)
    best = int(found.argmax())
    slopes = np.zeros(len(found))
    slopes[best] = 1.0
    return Terms("y = max x", read, found, found, float(found[best]), slopes, word="x", inside=inside, winner=best)


def max_pool(layer: Any, x: Array, at: At) -> Terms:
    rows, cols = _window(layer, x, at, pair(layer.padding), layer.dilation)
    return _largest(x, grid([at[0]], rows, cols))


def _zeros_before(layer: Any, x: Array) -> tuple[int, int]:
    top, left = (geometry.zeros(side, layer.k, layer.step, "same_keras")[0] for side in x.shape[2:])
    return top, left


def same_max_pool(layer: Any, x: Array, at: At) -> Terms:
    rows, cols = _window(layer, x, at, _zeros_before(layer, x))
    return _largest(x, grid([at[0]], rows, cols), layer.padded_with)


def average_pool(layer: Any, x: Array, at: At) -> Terms:
    before = pair(layer.padding)
    rows, cols = _window(layer, x, at, before)
    reach = [x.shape[axis + 2] + before[axis] for axis in (0, 1)]  # windows may hang over, but that never counts
    rows, cols = [i for i in rows if i < reach[0]], [i for i in cols if i < reach[1]]
    if not layer.count_include_pad:
        rows, cols = [i for i in rows if 0 <= i < x.shape[2]], [i for i in cols if 0 <= i < x.shape[3]]
    n = layer.divisor_override or len(rows) * len(cols)
    return _mean(x, grid([at[0]], rows, cols), n)


def _mean(x: Array, read: Whole, n: int) -> Terms:
    return weighted(x, read, np.full(len(read), 1 / n), f"y = Σ x / {n}" if n > 1 else "y = Σ x", word="x/n")


def same_average_pool(layer: Any, x: Array, at: At) -> Terms:
    rows, cols = _window(layer, x, at, _zeros_before(layer, x))
    return _mean(x, grid([at[0]], rows, cols), layer.k**2)


def _shares(layer: Any, x: Array, at: At) -> Whole:
    asked = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
    ends = [adaptive_pool.ends(side, n or side)[i] for side, n, i in zip(x.shape[2:], asked, at[1:], strict=True)]
    return grid([at[0]], *(range(*end) for end in ends))


def adaptive_average_pool(layer: Any, x: Array, at: At) -> Terms:
    read = _shares(layer, x, at)
    return _mean(x, read, len(read))


def adaptive_max_pool(layer: Any, x: Array, at: At) -> Terms:
    return _largest(x, _shares(layer, x, at))


def l2_pool(layer: Any, x: Array, at: At) -> Terms:
    if layer.norm_type != 2:
        raise UsageError(f"the pool takes the norm {layer.norm_type}; one unit can be taken apart for the norm 2")
    rows, cols = _window(layer, x, at, (0, 0))
    rows, cols = [i for i in rows if i < x.shape[2]], [i for i in cols if i < x.shape[3]]
    read = grid([at[0]], rows, cols)
    found, inside = look_up(x, read)
    total = float((found**2).sum())
    y = sqrt(total)
    return Terms("y = √(Σ x²)", read, found, found**2, y, found / y if y else 0 * found, word="x²", inside=inside,
                 total=total)  # fmt: skip
