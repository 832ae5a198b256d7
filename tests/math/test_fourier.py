"""The Fourier transform by hand, the convolution theorem both ways, and the count of operations."""

import numpy as np
import pytest
from hypothesis import strategies as st

from striate.errors import ShapeError
from striate.math import fourier
from tests.math.compare import assert_near, normal
from tests.math.conftest import drawn
from tests.math.counted import Meter, values

seeds = st.integers(0, 2**32 - 2)


@drawn(st.integers(1, 40), seeds)
def test_the_definition_is_numpys_transform(n: int, seed: int) -> None:
    x = normal(seed, 2, n)
    assert_near(fourier.dft(x), np.fft.fft(x))


@drawn(st.integers(0, 6), st.integers(0, 4), seeds)
def test_halving_gives_the_same_and_its_inverse_brings_it_back(a: int, b: int, seed: int) -> None:
    x = normal(seed, 2, 2**a, 2**b)
    assert_near(fourier.fft(x), fourier.dft(x))
    assert_near(fourier.fft2(x), np.fft.fft2(x))
    assert_near(fourier.ifft(fourier.fft(x)), x + 0j)
    assert_near(fourier.ifft2(fourier.fft2(x)), x + 0j)


@drawn(st.integers(1, 64), seeds)
def test_a_convolution_in_space_is_a_product_in_frequency_and_the_other_way_round(n: int, seed: int) -> None:
    x, w = normal(seed, n), normal(seed + 1, n)
    loop = [sum(x[k] * w[(m - k) % n] for k in range(n)) for m in range(n)]
    assert_near(fourier.circular_convolution(x, w), np.array(loop))
    assert_near(fourier.dft(fourier.circular_convolution(x, w)), fourier.dft(x) * fourier.dft(w))
    assert_near(fourier.dft(x * w), fourier.circular_convolution(fourier.dft(x), fourier.dft(w)) / n)
    correlation = np.array([sum(x[(m + k) % n] * w[k] for k in range(n)) for m in range(n)])
    assert_near(fourier.dft(correlation), fourier.dft(x) * np.conjugate(fourier.dft(w)))


def test_without_the_zeros_that_keep_the_ends_apart_the_theorem_gives_another_convolution() -> None:
    x, w = normal(1, 8), normal(2, 8)
    assert not np.allclose(fourier.circular_convolution(x, w), np.convolve(x, w)[:8])


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16, 32])
def test_operations_are_those_that_were_carried_out(n: int) -> None:
    meter = Meter()
    x = normal(n, n) + 1j * normal(n + 1, n)
    y = fourier.fft(meter.wrap(x))
    assert_near(values(y), np.fft.fft(x))
    assert meter.read == fourier.operations(n)
    meter = Meter()
    fourier.fft2(meter.wrap(normal(n, 4, n) + 0j))
    assert meter.read == fourier.operations2(4, n)


def test_float32_becomes_complex64() -> None:
    x = np.ones(8, np.float32)
    assert fourier.fft(x).dtype == fourier.ifft(fourier.fft(x)).dtype == np.complex64


@pytest.mark.parametrize("n", [0, 3, 12])
def test_what_can_not_be_halved_is_refused(n: int) -> None:
    with pytest.raises(ShapeError, match="power of two"):
        fourier.fft(np.zeros((2, n)))
