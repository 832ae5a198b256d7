"""A network out of the file of Deep Compression: weights that were pruned, shared and stored as small codes.

    for each convolution in order     uint32   n, how many weights are stored
    then for each of them             float32  256 values that its weights may have (the codebook); the first is 0
                                      float32  a bias for each output channel
                                      uint8    n codes: which value
                                      4 bits   n gaps, the low half of a byte first: how many zeros stand before it

All little-endian; weights are in Caffe's order (output channel, input channel, row, column). A run of more than 15
zeros is broken up by a stored weight with code 0, whose value is 0.

Source: Han, Mao & Dally, "Deep Compression", 2016, arXiv:1510.00149, section 3; the layout is that of the decoder
        published with SqueezeNet's 0.66 MB file (github.com/songhan/SqueezeNet-Deep-Compression).
Checked: every weight against an independent decoding, and by files written in the tests, in
        tests/reproduce/test_deep_compression.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArtefactError

CODES = 256


@dataclass(frozen=True)
class Layer:
    """A convolution that the file holds."""

    name: str
    shape: tuple[int, int, int, int]  # (c_out, c_in, k, k)


@dataclass(frozen=True, eq=False)
class Decoded:
    """The weights of a layer, and what its file says about them."""

    layer: Layer
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    stored: int  # weights that have a code; the others are pruned
    size: int  # bytes of the file that are this layer's


def squeezenet_layers(classes: int = 1000) -> tuple[Layer, ...]:
    """The convolutions of SqueezeNet 1.0 in the order of the file, by their names in the authors' Caffe network."""

    def fires() -> Iterator[Layer]:
        c_in = 96
        for number, c in zip(range(2, 10), (128, 128, 256, 256, 384, 384, 512, 512), strict=True):
            few, half = c // 8, c // 2
            yield Layer(f"fire{number}/conv1x1_1", (few, c_in, 1, 1))
            yield Layer(f"fire{number}/conv1x1_2", (half, few, 1, 1))
            yield Layer(f"fire{number}/conv3x3_2", (half, few, 3, 3))
            c_in = c

    return (Layer("conv1", (96, 3, 7, 7)), *fires(), Layer("conv_final", (classes, 512, 1, 1)))


def decode(content: bytes, layers: Sequence[Layer], name: str = "the file") -> list[Decoded]:
    """The layers of a file, in order.

    Raises: ArtefactError where the file is shorter or longer than it says, or a gap leads out of a layer.
    """
    head = 4 * len(layers)
    if len(content) < head:
        raise ArtefactError(f"{name}: {len(content)} bytes; the counts of {len(layers)} layers alone take {head}")
    counts = np.frombuffer(content, "<u4", len(layers)).astype(np.int64).tolist()
    sizes = [4 * (CODES + layer.shape[0]) + n + (n + 1) // 2 for layer, n in zip(layers, counts, strict=True)]
    if len(content) != head + sum(sizes):
        raise ArtefactError(
            f"{name}: {len(content):,} bytes; its counts say {head + sum(sizes):,}: it is cut off, or of other layers"
        )
    found, at = [], head
    for layer, n, size in zip(layers, counts, sizes, strict=True):
        found.append(_layer(content[at : at + size], layer, n, name))
        at += size
    return found


def _layer(content: bytes, layer: Layer, n: int, name: str) -> Decoded:
    c_out, total = layer.shape[0], prod(layer.shape)
    numbers = np.frombuffer(content, "<f4", CODES + c_out)
    codebook, bias = numbers[:CODES], numbers[CODES:]
    if not np.isfinite(numbers).all():
        raise ArtefactError(f"{name}: {layer.name} holds values that are not finite")
    at = numbers.nbytes
    codes = np.frombuffer(content, np.uint8, n, at)
    packed = np.frombuffer(content, np.uint8, offset=at + n)
    gaps = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:n].astype(np.int64)
    places = np.cumsum(gaps + 1) - 1
    if n and places[-1] >= total:
        raise ArtefactError(
            f"{name}: a weight of {layer.name} would stand at {int(places[-1]):,}; it has {total:,} places"
        )
    weight = np.zeros(total, np.float32)
    weight[places] = codebook[codes]
    return Decoded(layer, weight.reshape(layer.shape), bias.astype(np.float32), n, len(content))
