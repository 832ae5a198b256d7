"""The discrete Fourier transform by its definition and by halving, and the convolution theorem.

    X[f]  = sum over t of  x[t] * exp(-2 pi i f t / n)
    x[t]  = 1/n * sum over f of  X[f] * exp(2 pi i f t / n)

By halving (n a power of two), the transforms E of the even and O of the odd half are turned into that of the whole:

    X[f] = E[f] + exp(-2 pi i f / n) * O[f]          X[f + n/2] = E[f] - exp(-2 pi i f / n) * O[f]

Convolution theorem: where y[m] = sum over k of x[k] * w[(m - k) mod n], a circular convolution, Y[f] = X[f] * W[f]; for
the circular correlation, sum over k of x[(m + k) mod n] * w[k], it is X[f] * conj(W[f]); and where y[t] = x[t] * w[t],
Y = 1/n times the circular convolution of X and W.

Source:  Cooley & Tukey 1965, "An algorithm for the machine calculation of complex Fourier series".
Checked: against numpy.fft, and the theorem against sums, in tests/math/test_fourier.py.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import ShapeError
from striate.math.operations import Operations

Signal = NDArray[Any]  # real or complex


def operations(n: int) -> Operations:
    """What `fft` of n complex values takes, in real operations: n/2 · log2(n) complex products, twice as many sums.

    >>> operations(8)
    Operations(multiplications=48, additions=72)
    """
    products = n // 2 * _halvings(n)
    return Operations(4 * products, 2 * products + 2 * (2 * products))


def operations2(rows: int, cols: int) -> Operations:
    """What `fft2` takes: one transform a row, then one a column."""
    return rows * operations(cols) + cols * operations(rows)


def dft(x: Signal) -> Signal:
    """Along the last axis, by the definition: n² products.

    >>> np.round(dft(np.array([1.0, 0, 0, 0])), 12).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    n = x.shape[-1]
    turns = np.exp(-2j * np.pi / n * (np.outer(np.arange(n), np.arange(n)) % n))
    y: Signal = x @ turns
    return y


def fft(x: Signal) -> Signal:
    """Along the last axis, by halving.  complex64 from float32, complex128 from float64.

    Raises: ShapeError if the axis is not a power of two.
    """
    n = x.shape[-1]
    _halvings(n)
    if x.dtype != object:
        x = x.astype(np.result_type(x.dtype, np.complex64), copy=False)
    return _halved(x)


def ifft(x: Signal) -> Signal:
    """The inverse of `fft`, from the same: conjugated before and after, and divided by n.  Raises: ShapeError."""
    y: Signal = np.conjugate(fft(np.conjugate(x))) * (1 / x.shape[-1])
    return y


def fft2(x: Signal) -> Signal:
    """Along the last two axes.  Raises: ShapeError if one is not a power of two."""
    return fft(fft(x).swapaxes(-1, -2)).swapaxes(-1, -2)


def ifft2(x: Signal) -> Signal:
    """The inverse of `fft2`.  Raises: ShapeError."""
    y: Signal = np.conjugate(fft2(np.conjugate(x))) * (1 / (x.shape[-1] * x.shape[-2]))
    return y


def circular_convolution(x: Signal, w: Signal) -> Signal:
    """x (n,), w (n,) -> y (n,), by the sum: what the theorem speaks of.

    >>> circular_convolution(np.array([1, 2, 3]), np.array([0, 1, 0])).tolist()
    [3, 1, 2]
    """
    n = x.shape[0]
    y: Signal = w[(np.arange(n)[:, None] - np.arange(n)) % n] @ x
    return y


def power_of_two(size: int) -> int:
    """The smallest one that is not less than size.

    >>> power_of_two(32), power_of_two(33)
    (32, 64)
    """
    return 1 << (size - 1).bit_length()


def _halved(x: Signal) -> Signal:
    n = x.shape[-1]
    if n == 1:
        return x
    halves = _halved(np.stack((x[..., ::2], x[..., 1::2]), axis=-2))
    turns = np.exp(-2j * np.pi / n * np.arange(n // 2))
    even, odd = halves[..., 0, :], halves[..., 1, :] * turns.astype(x.dtype)
    return np.concatenate((even + odd, even - odd), axis=-1)


def _halvings(n: int) -> int:
    if n < 1 or n & (n - 1):
        raise ShapeError(f"{n} values can't be halved down to one; expected a power of two, such as {power_of_two(n)}")
    return n.bit_length() - 1
