"""2-D convolution in the frequency domain: by the convolution theorem, a product for each frequency.

    Y[n,o] = F^-1( sum over c of  F(x[n,c]) · conj(F(w[o,c])) )          conj, because a layer correlates
    dx     = F^-1( sum over o of  F(g[n,o]) · F(w[o,c]) )
    dw     = F^-1( sum over n of  F(x[n,c]) · conj(F(g[n,o])) )

x is padded to P x Q, the next sizes that a transform likes. The correlation there is circular, but the positions that
are kept, i + U <= H + padding, never reach over the end. A stride computes all positions and keeps some; a dilated
kernel is one with zeros between its taps, and g with a stride has zeros between its values.

Operations do not depend on the size of the kernel: N·C + O·C/groups + N·O transforms, and for each frequency
N·O·C/groups complex products, summed over c. They are counted for `forward_by_halving`, with P and Q powers of two.
Numbers are complex throughout there; `forward` has real transforms, for about half of it. In float32 an element is
off by at most (1 + log2(4·P·Q)) eps times the largest value of |x| convolved with |w|; measured, a fifth of it.

Source:  Mathieu, Henaff & LeCun 2013, "Fast training of convolutional networks through FFTs", arXiv:1312.5851.
Checked: against `conv2d`, its operations by counting and its memory by measuring, in tests/math/test_algorithms.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.math import conv2d, fourier
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding, per_axis, span, zeros_per_axis
from striate.math.operations import Operations
from striate.math.patches import crop, pad

Spectrum = NDArray[Any]
Transform = Callable[[Spectrum], Spectrum]


def operations(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> Operations:
    """Of one forward pass (`forward_by_halving`) with bias; all P·Q positions are computed, whatever the stride."""
    p, q = map(fourier.power_of_two, _sides(x_shape, w_shape, stride, padding, dilation))
    (n, c), (o, each) = x_shape[:2], w_shape[:2]
    transforms = n * c + o * each + n * o
    products = n * o * each * p * q
    sums = n * o * (each - 1) * p * q
    scaled = n * o * p * q
    return (
        transforms * fourier.operations2(p, q)
        + products * Operations(4, 2)
        + sums * Operations(0, 2)
        + scaled * Operations(2, 2)  # the inverse divides by P·Q, the bias is added
    )


def memory(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number = 1, padding: Padding = 0, dilation: Number = 1
) -> int:
    """Values of the three spectra that `forward` keeps: of x, w and y, half of each, as they are of real signals."""
    p, q = map(smooth, _sides(x_shape, w_shape, stride, padding, dilation))
    planes = x_shape[0] * x_shape[1] + w_shape[0] * w_shape[1] + x_shape[0] * w_shape[0]
    return planes * p * (q // 2 + 1) * 2


def forward(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """x (N, C, H, W), w (O, C / groups, U, V), b (O,) or None -> y (N, O, I, J), by NumPy's real transforms.

    Raises: ShapeError.
    """
    conv2d.check(x.shape, w.shape, groups)
    sides = _smooth_sides(x, w, stride, padding, dilation)
    xs, ws = (_spectrum(plane, sides) for plane in _laid(x, w, stride, padding, dilation))
    spectrum = _per_frequency(xs, ws, groups)
    y = _kept(np.fft.irfft2(spectrum, sides), x.shape, w.shape, stride, padding, dilation)
    return y if b is None else y + b[:, None, None]


def forward_by_halving(
    x: Array, w: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0, dilation: Number = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """The same by `fourier.fft2`, which is NumPy arithmetic to the bottom: the one whose operations are counted.

    Raises: ShapeError.
    """
    conv2d.check(x.shape, w.shape, groups)
    p, q = map(fourier.power_of_two, _sides(x.shape, w.shape, stride, padding, dilation))
    xs, ws = (fourier.fft2(_filled(plane, (p, q))) for plane in _laid(x, w, stride, padding, dilation))
    whole = fourier.ifft2(_per_frequency(xs, ws, groups))
    if b is not None:
        whole = whole + b[:, None, None]
    real: Array = whole if whole.dtype == object else whole.real
    return _kept(real, x.shape, w.shape, stride, padding, dilation)


def backward(
    g: Array, x: Array, w: Array, stride: Number = 1, padding: Padding = 0, dilation: Number = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/db.  Raises: ShapeError."""
    conv2d.check(x.shape, w.shape, groups)
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    sides = _smooth_sides(x, w, stride, padding, dilation)
    xs, ws = (_spectrum(plane, sides) for plane in _laid(x, w, stride, padding, dilation))
    gs = _spectrum(_spread(g, s), sides)
    (n, c), (o, each) = x.shape[:2], w.shape[:2]
    gs = gs.reshape(n, groups, o // groups, *gs.shape[2:])
    xs = xs.reshape(n, groups, each, *xs.shape[2:])
    ws = ws.reshape(groups, o // groups, each, *ws.shape[2:])
    of_x: Array = np.fft.irfft2(sum(gs[:, :, f, None] * ws[:, f] for f in range(o // groups)), sides)
    turned = np.conjugate(gs)
    of_w: Array = np.fft.irfft2(sum(turned[i, :, :, None] * xs[i, :, None] for i in range(n)), sides)
    zeros = zeros_per_axis(x.shape[2:], w.shape[2:], s, padding, d)
    padded = tuple(size + before + after for size, (before, after) in zip(x.shape[2:], zeros, strict=True))
    dx = crop(of_x.reshape(n, c, *sides)[:, :, : padded[0], : padded[1]], zeros)
    k = w.shape[2:]
    dw = of_w.reshape(o, each, *sides)[:, :, : span(k[0], d[0]) : d[0], : span(k[1], d[1]) : d[1]]
    return dx, dw, g.sum(axis=(0, 2, 3))


def smooth(size: int) -> int:
    """The smallest size that is not less and has no prime factor over 5: those are quick to transform.

    >>> smooth(66), smooth(64), smooth(31)
    (72, 64, 32)
    """
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def _sides(
    x_shape: Sequence[int], w_shape: Sequence[int], stride: Number, padding: Padding, dilation: Number
) -> tuple[int, int]:
    """What the padded x is long on each axis."""
    conv2d.out_shape(x_shape, w_shape, stride, padding, dilation)
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    zeros = zeros_per_axis(x_shape[2:], w_shape[2:], s, padding, d)
    rows, cols = (size + before + after for size, (before, after) in zip(x_shape[2:], zeros, strict=True))
    return rows, cols


def _smooth_sides(x: Array, w: Array, stride: Number, padding: Padding, dilation: Number) -> tuple[int, int]:
    """P and Q of NumPy's transforms."""
    rows, cols = _sides(x.shape, w.shape, stride, padding, dilation)
    return smooth(rows), smooth(cols)


def _laid(x: Array, w: Array, stride: Number, padding: Padding, dilation: Number) -> tuple[Array, Array]:
    """x between its zeros, w with zeros between its taps."""
    s, d = per_axis(stride, 2, "stride"), per_axis(dilation, 2, "dilation")
    return pad(x, zeros_per_axis(x.shape[2:], w.shape[2:], s, padding, d)), _spread(w, d)


def _spread(x: Array, step: Sequence[int]) -> Array:
    """The last two axes with step - 1 zeros between the values."""
    if tuple(step) == (1, 1):
        return x
    shape = tuple(span(size, by) for size, by in zip(x.shape[2:], step, strict=True))
    spread = np.zeros((*x.shape[:2], *shape), x.dtype)
    spread[:, :, :: step[0], :: step[1]] = x
    return spread


def _filled(x: Array, sides: tuple[int, int]) -> Array:
    """x (N, C, H, W) with zeros after it -> (N, C, P, Q)."""
    return pad(x, [(0, side - size) for side, size in zip(sides, x.shape[2:], strict=True)])


def _spectrum(x: Array, sides: tuple[int, int]) -> Spectrum:
    """x (N, C, H, W), filled up -> (N, C, P, Q/2 + 1): the other half of a real signal's is its mirror image."""
    spectrum: Spectrum = np.fft.rfft2(x, sides)
    return spectrum


def _per_frequency(xs: Spectrum, ws: Spectrum, groups: int) -> Spectrum:
    """(N, C, P, Q) and (O, C / groups, P, Q) -> (N, O, P, Q): x's times w's conjugate, summed over the channels."""
    (n, _, *at), (o, each) = xs.shape, ws.shape[:2]
    x = np.conjugate(xs).reshape(n, groups, each, 1, *at)
    w = ws.reshape(groups, o // groups, each, *at)
    y: Spectrum = x[:, :, 0] * w[:, :, 0]
    for c in range(1, each):
        y = y + x[:, :, c] * w[:, :, c]
    turned: Spectrum = np.conjugate(y).reshape(n, o, *at)
    return turned


def _kept(
    y: Array, x_shape: Sequence[int], w_shape: Sequence[int], stride: Number, padding: Padding, dilation: Number
) -> Array:
    """The positions of the stride."""
    s, t = per_axis(stride, 2, "stride")
    _, _, rows, cols = conv2d.out_shape(x_shape, w_shape, (s, t), padding, dilation)
    return y[:, :, : (rows - 1) * s + 1 : s, : (cols - 1) * t + 1 : t]
