"""A network with blocks in a chain in a chain: what a cut can get wrong."""

from collections.abc import Iterator

import pytest
from torch import nn

from striate.blocks.wiring import Chain, Residual
from striate.models import registry
from striate.models.registry import Entry, register


def block() -> Residual:
    """With a chain inside, which must stay whole."""
    inner = Chain(Chain(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.ReLU()), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4))
    return Residual(nn.Identity(), nn.Identity(), conv=inner)


def with_blocks(num_classes: int, in_chans: int) -> Chain:
    return Chain(
        stem=Chain(nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4)), relu=nn.ReLU(),
        stage=Chain(block(), block(), Chain(conv=nn.Conv2d(4, 6, 1))),
        pool=nn.AdaptiveAvgPool2d(3), flatten=nn.Flatten(), fc=nn.Linear(54, num_classes),
    )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def network_of_blocks(small_networks: None) -> Iterator[None]:
    register(
        Entry("test_blocks", with_blocks, year=2026, paper="none", about="For the tests.", input=(1, 12, 12), classes=3,
              head="fc", stem="stem.0", look="relu", smallest=5)
    )  # fmt: skip
    yield
    del registry._entries["test_blocks"], registry._names["test_blocks"]
