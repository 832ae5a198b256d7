"""What a layer is said not to take, against what torch refuses."""

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from torch import nn

from striate.blocks.misfit import reason

small = st.integers(1, 4)
pairs = st.tuples(small, small)


@st.composite
def windows(draw: st.DrawFn) -> nn.Module:
    k, stride = draw(st.one_of(small, pairs)), draw(st.one_of(small, pairs))
    least = k if isinstance(k, int) else min(k)
    kind = draw(st.sampled_from(["conv", "same", "max", "average"]))
    if kind == "conv":
        return nn.Conv2d(2, 3, k, stride, draw(st.integers(0, 3)), draw(st.integers(1, 3)))
    if kind == "same":
        return nn.Conv2d(2, 3, k, 1, draw(st.sampled_from(["same", "valid"])), draw(st.integers(1, 3)))
    padding = draw(st.integers(0, least // 2))
    if kind == "max":
        return nn.MaxPool2d(k, stride, padding, draw(st.integers(1, 3)))
    return nn.AvgPool2d(k, stride, padding)


@settings(max_examples=300, deadline=None)
@given(layer=windows(), channels=st.sampled_from([2, 2, 2, 3]), h=st.integers(1, 9), w=st.integers(1, 9))
def test_a_reason_is_given_exactly_where_torch_refuses(layer: nn.Module, channels: int, h: int, w: int) -> None:
    x = torch.zeros(1, channels, h, w)
    try:
        layer(x)
        refused = False
    except RuntimeError:
        refused = True
    assert (reason(layer, x) is not None) == refused


@given(features=st.integers(1, 9), given_=st.integers(1, 9))
def test_a_linear_layer_refuses_exactly_the_wrong_number_of_features(features: int, given_: int) -> None:
    assert (reason(nn.Linear(features, 2), torch.zeros(3, given_)) is None) == (features == given_)


def test_a_layer_that_is_not_known_has_no_reason() -> None:
    assert reason(nn.Bilinear(2, 2, 2), torch.zeros(1, 3)) is None
