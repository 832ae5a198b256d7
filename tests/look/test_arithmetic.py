"""Layers in words: what they mean, and what is said of words that mean nothing."""

from typing import Any

import pytest

from striate.errors import StriateError, UsageError
from striate.look import arithmetic
from striate.math.stack import Layer


@pytest.mark.parametrize(
    ("word", "layer"),
    [
        ("conv3-64", Layer("conv3-64", "conv", 3, 64)),
        ("conv7-64/2p3", Layer("conv7-64/2p3", "conv", 7, 64, 2, 3)),
        ("conv3-64same", Layer("conv3-64same", "conv", 3, 64, 1, "same_keras")),
        ("CONV3-64p2d2g4nobias", Layer("CONV3-64p2d2g4nobias", "conv", 3, 64, 1, 2, 2, 4, False)),
        ("dwconv3/2p1", Layer("dwconv3/2p1", "conv", 3, 0, 2, 1, 1, 0)),
        ("pool2", Layer("pool2", "pool", 2, 0, 2, bias=False)),
        ("pool3/2p1", Layer("pool3/2p1", "pool", 3, 0, 2, 1, bias=False)),
        ("fc-1000", Layer("fc-1000", "dense", c_out=1000)),
    ],
)
def test_a_word_is_a_layer(word: str, layer: Layer) -> None:
    assert arithmetic.layers([word]) == [layer]
    assert len(arithmetic.layers([f"3x{word}"])) == 3


def test_the_first_convnet_of_the_lectures_has_93322_parameters() -> None:
    words = ["conv3-32", "pool2", "conv3-64", "pool2", "conv3-64", "fc-64", "fc-10"]
    assert arithmetic.parameters(words, "28x28x1").value == arithmetic.parameters(words, "28x1").value == 93_322


def test_a_global_average_takes_the_window_it_is_given() -> None:
    assert arithmetic.parameters(["conv3-8/2", "gap", "fc-10"], "9x3").value == 8 * 28 + 90
    with pytest.raises(UsageError, match="after 9×5 positions"):
        arithmetic.macs(["gap"], "9x5x3")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: arithmetic.layers([]), "which layers?"),
        (lambda: arithmetic.layers(["cnv3"]), "'cnv3' is no layer; expected words such as conv3-64"),
        (lambda: arithmetic.layers(["conv-3"]), "lacks the size of its window, as in conv3"),
        (lambda: arithmetic.layers(["conv3-0"]), "does not say how many filters"),
        (lambda: arithmetic.layers(["fc"]), "does not say how many outputs"),
        (lambda: arithmetic.layers(["fc3-10"]), "fc has not a window"),
        (lambda: arithmetic.layers(["pool2g2"]), "pool has not groups"),
        (lambda: arithmetic.layers(["gapsame"]), "gap has not padding"),
        (lambda: arithmetic.layers(["pool2nobias"]), "no bias to leave out"),
        (lambda: arithmetic.layers(["0xpool2"]), "expected 1 to 10000"),
        (lambda: arithmetic.layers(["9999999999xpool2"]), "expected 1 to 10000"),
        (lambda: arithmetic.macs(["conv3"], "9x3"), "'conv3' does not say how many filters, as in conv3-64"),
        (lambda: arithmetic.receptive_field(["conv3", "gap"]), "gap sees all positions"),
        (lambda: arithmetic.receptive_field(["fc-10"]), "sees the whole image"),
        (lambda: arithmetic.image("224"), "'224' is no size"),
        (lambda: arithmetic.image("0x3"), "no size"),
        (lambda: arithmetic.image("²x3"), "no size"),
        (lambda: arithmetic.padding_from("same_kera"), "did you mean 'same_keras'"),
        (lambda: arithmetic.padding_from("1,2,3"), "BEFORE,AFTER"),
        (lambda: arithmetic.padding_from("-1"), "expected a number"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_a_sentence(ask: Any, says: str) -> None:
    with pytest.raises(StriateError) as refused:
        ask()
    assert says in str(refused.value)
    assert refused.value.exit_code == 2
