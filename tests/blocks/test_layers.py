"""conv, norm and the first weights."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from striate.blocks.initial import glorot_uniform, he_normal
from striate.blocks.layers import conv, norm


@settings(max_examples=60, deadline=None)
@given(k=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3), h=st.integers(1, 12), w=st.integers(1, 12))
def test_an_odd_convolution_divides_the_size_by_its_stride_and_rounds_up(k: int, stride: int, h: int, w: int) -> None:
    y = conv(2, 4, k, stride, groups=2)(torch.zeros(1, 2, h, w))
    assert y.shape == (1, 4, math.ceil(h / stride), math.ceil(w / stride))


def test_a_flat_convolution_keeps_the_size_and_has_only_its_kernel() -> None:
    layer = conv(6, 8, (1, 7), groups=2)
    assert layer(torch.zeros(1, 6, 5, 9)).shape == (1, 8, 5, 9)
    assert sum(p.numel() for p in layer.parameters()) == 8 * 3 * 1 * 7


def test_a_norm_makes_zero_mean_and_unit_variance() -> None:
    y = norm(3)(5 + 2 * torch.randn(64, 3, 4, 4))
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(y.var((0, 2, 3)), torch.ones(3), atol=1e-2)


def test_he_normal_keeps_the_variance_of_gradients_and_leaves_the_head_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(64, 128, 3, groups=2), nn.Linear(8, 8))
    head = net[1].weight.clone()
    weight = he_normal(net)[0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.02)
    assert weight.mean().abs().item() < 1e-3
    assert not net[0].bias.any()
    assert torch.equal(net[1].weight, head)


def test_glorot_uniform_fills_its_whole_interval_and_no_more() -> None:
    torch.manual_seed(0)
    net = glorot_uniform(nn.Sequential(nn.Conv2d(32, 64, 3), nn.Linear(200, 100)))
    for layer, limit in zip(net, (math.sqrt(6 / (32 * 9 + 64 * 9)), math.sqrt(6 / 300)), strict=True):
        assert layer.weight.abs().max().item() == pytest.approx(limit, rel=0.01)
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
        assert not layer.bias.any()
