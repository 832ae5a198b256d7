"""The arithmetic of layers: torch's layers, published counts, the lectures' numbers, and formulas that add up."""

import re
from math import floor

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from striate.errors import ShapeError
from striate.math import arithmetic, geometry
from striate.math.answers import Answer
from striate.math.stack import Layer, walk
from tests.math.conftest import drawn

sizes, few = st.integers(1, 30), st.integers(1, 4)


def evaluated(step: str) -> float:
    """What a line of a formula with numbers comes to."""
    text = step.replace("·", "*").replace(",", "")
    assert re.fullmatch(r"[\d\s+*/().-]*(floor)?[\d\s+*/().-]*", text), step
    return eval(text, {"floor": floor})  # the line above lets nothing through but arithmetic


@drawn(sizes, few, few, st.tuples(st.integers(0, 3), st.integers(0, 3)), few)
def test_sizes_are_torchs_and_the_printed_formula_comes_to_the_value(
    size: int, k: int, stride: int, padding: tuple[int, int], dilation: int
) -> None:
    if size + sum(padding) < dilation * (k - 1) + 1:
        with pytest.raises(ShapeError, match="largest that fits"):
            arithmetic.output_size(size, k, stride, padding, dilation)
        return
    answer = arithmetic.output_size(size, k, stride, padding, dilation)
    x = nn.functional.pad(torch.zeros(1, 1, size), padding)
    assert answer.value == nn.Conv1d(1, 1, k, stride, 0, dilation)(x).shape[2] == evaluated(answer.steps[1])
    over = geometry.lost(size, k, stride, padding, dilation)
    assert (sum(padding) + size - (dilation * (k - 1) + 1) - over) % stride == 0
    assert any("no window reaches" in note for note in answer.notes) == bool(over)
    if over:  # what the note promises
        more = padding[0], padding[1] + stride - over
        assert geometry.out_size(size, k, stride, more, dilation) == answer.value + 1
        fewer = padding[0], more[1] - 1
        assert geometry.out_size(size, k, stride, fewer, dilation) == answer.value


@drawn(sizes, few, few)
def test_the_padding_that_keeps_the_size_does(size: int, k: int, dilation: int) -> None:
    answer = arithmetic.same_padding(k, dilation)
    assert geometry.out_size(size, k, 1, "same_torch", dilation) == size
    if dilation * (k - 1) % 2 == 0:
        assert geometry.out_size(size, k, 1, answer.value, dilation) == size
    else:
        assert "is odd" in answer.notes[0]


@drawn(sizes, sizes, few, few, few)
def test_the_padding_for_a_size_is_the_least_that_gives_it(out: int, size: int, k: int, stride: int, d: int) -> None:
    try:
        answer = arithmetic.padding_for(out, size, k, stride, d)
    except ShapeError:
        assert geometry.out_size(size, k, stride, 0, d) > out
        return
    assert geometry.out_size(size, k, stride, (0, answer.value), d) == out
    if answer.value:
        less = size + answer.value - 1
        assert less < d * (k - 1) + 1 or geometry.out_size(size, k, stride, (0, answer.value - 1), d) == out - 1
    most = re.search(r"up to (\d+)", "".join(answer.notes))
    if most:
        assert geometry.out_size(size, k, stride, (0, int(most[1])), d) == out
        assert geometry.out_size(size, k, stride, (0, int(most[1]) + 1), d) == out + 1


@drawn(few, few, few, st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.integers(1, 3), st.booleans())
def test_parameters_and_macs_are_torchs(
    k: int, c: int, o: int, stride: int, padding: int, dilation: int, groups: int, bias: bool
) -> None:
    from striate.models.cost import cost

    c, o = c * groups, o * groups
    layer = Layer("conv", "conv", k, o, stride, padding, dilation, groups, bias)
    theirs = cost(nn.Conv2d(c, o, k, stride, padding, dilation, groups, bias), (c, 12, 11))
    for answer, expected in (
        (arithmetic.parameters([layer], (c, 12, 11)), theirs.parameters),
        (arithmetic.macs([layer], (c, 12, 11)), theirs.macs),
    ):
        assert answer.value == expected == evaluated(answer.steps[-1])


@drawn(st.lists(st.tuples(few, st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=4), ordinary=20)
def test_the_receptive_field_is_where_a_gradient_arrives(chain: list[tuple[int, int, int]]) -> None:
    layers = [Layer("conv", "conv", k, 1, s, 0, d) for k, s, d in chain]
    answer = arithmetic.receptive_field(layers)
    seen = []
    for position in (0, 1):
        x = torch.zeros(1, 1, 200, requires_grad=True)
        y = x
        for k, s, d in chain:
            y = nn.functional.conv1d(y, torch.ones(1, 1, k), stride=s, dilation=d)
        y[0, 0, position].backward()
        assert x.grad is not None
        seen.append(torch.nonzero(x.grad[0, 0]).flatten().tolist())
    assert answer.value == seen[0][-1] - seen[0][0] + 1
    assert f"window is {seen[1][0] - seen[0][0]} pixel" in answer.notes[0]


def vgg16() -> list[Layer]:
    layers = []
    for depth, c in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        layers += [Layer(f"conv3-{c}", "conv", 3, c, padding=1)] * depth + [Layer("pool2", "pool", 2, stride=2)]
    return layers + [Layer(f"fc-{n}", "dense", c_out=n) for n in (4096, 4096, 1000)]


def test_vgg16_has_its_138357544_parameters_and_fifteen_not_24_million_values() -> None:
    assert arithmetic.parameters(vgg16(), (3, 224, 224)).value == 138_357_544
    assert arithmetic.macs(vgg16(), (3, 224, 224)).value == 15_470_264_320
    assert arithmetic.memory(vgg16(), (3, 224, 224)).value == 4 * 15_237_608
    assert arithmetic.receptive_field(vgg16()[:18]).value == 212


def test_the_lectures_answers() -> None:
    assert [arithmetic.output_size(7, 3, stride).value for stride in (1, 2, 3)] == [5, 3, 2]
    assert "4 / 3 = 1.333 is not whole" in str(arithmetic.output_size(7, 3, 3))
    assert arithmetic.output_size(7, 3, 1, 1).value == 7
    assert arithmetic.padding_for(3, 7, 3, 3).value == 2
    assert arithmetic.same_padding(5).value == 2
    assert arithmetic.receptive_field([Layer("conv3", "conv", 3)] * 3).value == 7
    assert arithmetic.parameters([Layer("conv3-64", "conv", 3, 64)], (32, 13, 13)).value == 18_496


def test_windows_of_zeros_alone_are_told_apart_from_lost_pixels() -> None:
    assert "the last row, only zeros" in str(arithmetic.output_size(6, 3, 2, 1))
    assert "the last 3 rows, 1 of them zeros" in str(arithmetic.output_size(9, 3, 4, (0, 1)))
    assert str(arithmetic.output_size(7, 3, 3)).endswith("(2 in all)")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: arithmetic.output_size(7, 3, 0), "stride is 0"),
        (lambda: arithmetic.same_padding(0), "whole numbers from 1"),
        (lambda: arithmetic.padding_for(1, 9, 3), "without any there are 7"),
        (lambda: arithmetic.macs(vgg16(), (3, 20, 20)), "pool2, which is given 512×1×1"),
        (lambda: arithmetic.macs(vgg16(), (3, 0, 20)), "each from 1"),
        (lambda: arithmetic.macs([Layer("conv", "conv", 3, 5, groups=2)], (4, 9, 9)), "2 groups can't share"),
        (lambda: arithmetic.receptive_field(vgg16()), "sees the whole image"),
        (lambda: arithmetic.memory(vgg16(), (3, 224, 224), 0), "0 bytes a value"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(ask: object, says: str) -> None:
    with pytest.raises(ShapeError) as refused:
        ask()
    assert says in str(refused.value)


def test_an_answer_says_all_it_knows_as_text_and_as_data() -> None:
    answer = arithmetic.macs([Layer("a", "conv", 1, 2), Layer("b", "dense", c_out=3)], (1, 2, 2))
    assert isinstance(answer, Answer)
    assert answer.to_json()["value"] == 2 * 2 * 2 + 8 * 3
    assert str(answer).splitlines()[0].startswith("a  2·2 · 2 · 1·1·1")
    assert [row.values for row in walk([Layer("a", "conv", 1, 2)], (1, 2, 2))] == [8]
