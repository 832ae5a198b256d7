"""The decoder of Deep Compression's files: against files written here, and an independent decoding of the real one."""

import struct
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from striate.errors import ArtefactError
from striate.models.registry import create_model
from striate.reproduce.deep_compression import Layer, decode, squeezenet_layers

FILE = "weights/compressed_SqueezeNet.net"
Written = tuple[np.ndarray, np.ndarray, np.ndarray]  # codes (all places), codebook, bias


def write(layers: list[Written]) -> bytes:
    """As the format says, from the codes of all places; code 0 is a pruned weight."""
    counts, bodies = [], []
    for codes, codebook, bias in layers:
        stored, gaps, zeros = [], [], 0
        for code in codes.tolist():
            if code == 0 and zeros < 15:
                zeros += 1
                continue
            stored.append(code)
            gaps.append(zeros)
            zeros = 0
        nibbles = gaps + [0] * (len(gaps) % 2)
        packed = bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
        counts.append(len(stored))
        bodies.append(codebook.astype("<f4").tobytes() + bias.astype("<f4").tobytes() + bytes(stored) + packed)
    return struct.pack(f"<{len(counts)}I", *counts) + b"".join(bodies)


def example(rng: np.random.Generator, shape: tuple[int, ...], kept: float) -> Written:
    codes = np.where(rng.random(prod(shape)) < kept, rng.integers(1, 256, prod(shape)), 0)
    codebook = np.concatenate([[0.0], rng.normal(size=255)]).astype(np.float32)
    return codes, codebook, rng.normal(size=shape[0]).astype(np.float32)


SHAPES = ((4, 3, 3, 3), (2, 4, 1, 1), (5, 2, 3, 3))
LAYERS = [Layer(f"conv{i}", shape) for i, shape in enumerate(SHAPES)]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read(seed: int, kept: float) -> None:
    rng = np.random.default_rng(seed)
    written = [example(rng, shape, kept) for shape in SHAPES]
    for one, shape, (codes, codebook, bias) in zip(decode(write(written), LAYERS), SHAPES, written, strict=True):
        np.testing.assert_array_equal(one.weight, codebook[codes].reshape(shape))
        np.testing.assert_array_equal(one.bias, bias)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_a_file_that_is_cut_off_or_longer_is_refused(seed: int, by: int) -> None:
    whole = write([example(np.random.default_rng(seed), shape, 0.3) for shape in SHAPES])
    for broken in (whole[:-by], whole + bytes(by), whole[: min(by, 11)]):
        with pytest.raises(ArtefactError, match="bytes"):
            decode(broken, LAYERS, "net")


def test_a_gap_that_leads_out_of_the_layer_is_refused() -> None:
    codes, codebook, bias = example(np.random.default_rng(0), (2, 4, 1, 1), 1.0)
    content = bytearray(write([(codes, codebook, bias)]))
    content[-1] = 0xFF
    with pytest.raises(ArtefactError, match=r"would stand at 3[0-9]; it has 8 places"):
        decode(bytes(content), [Layer("fc", (2, 4, 1, 1))])


def test_values_that_are_not_finite_are_refused() -> None:
    codes, codebook, bias = example(np.random.default_rng(0), (2, 4, 1, 1), 1.0)
    codebook[7] = np.nan
    with pytest.raises(ArtefactError, match="fc holds values that are not finite"):
        decode(write([(codes, codebook, bias)]), [Layer("fc", (2, 4, 1, 1))])


def test_the_layers_are_those_of_the_network() -> None:
    whole = sum(prod(layer.shape) + layer.shape[0] for layer in squeezenet_layers())
    assert whole == sum(p.numel() for p in create_model("squeezenet1_0").parameters())


def test_the_published_file_gives_the_weights_of_an_independent_decoding(shared: Path) -> None:
    layers = decode((shared / FILE).read_bytes(), squeezenet_layers())
    known = load_file(shared / "weights" / "imagenet_squeezenet1_0_deepcompressed.safetensors")
    assert len(known) == 2 * len(layers)
    for one in layers:
        np.testing.assert_array_equal(one.weight, known[f"{one.layer.name}.weight"])
        np.testing.assert_array_equal(one.bias, known[f"{one.layer.name}.bias"])
