"""Channels dealt out to the steps of a Split."""

import pytest
import torch
from torch import nn

from striate.blocks.wiring import Chain, Split
from striate.errors import ShapeError


def test_each_step_sees_its_share_and_the_last_sees_all() -> None:
    class Times(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    x = torch.arange(6.0).view(1, 6, 1, 1)
    split = Split(nn.Identity(), a=Times(1), b=Times(10), c=Times(100))
    assert split(x).flatten().tolist() == [0, 1, 20, 30, 400, 500]
    shuffled = Split(nn.ChannelShuffle(3), a=Times(1), b=Times(10), c=Times(100))
    assert shuffled(x).flatten().tolist() == [0, 20, 400, 1, 30, 500]


def test_the_order_is_that_of_the_steps_and_then_the_last() -> None:
    split = Split(nn.ReLU(), left=nn.Identity(), right=nn.Tanh())
    assert [name for name, _ in split.named_children()] == ["left", "right", "last"]


def test_an_error_names_the_step() -> None:
    net = Chain(unit=Split(nn.Identity(), left=nn.Identity(), right=nn.Conv2d(3, 3, 1)))
    with pytest.raises(ShapeError, match=r"unit\.right takes 3 channels and got 2; the network was given"):
        net(torch.zeros(1, 4, 5, 5))
