"""Lines of the layer table: whatever is folded, they add up to the network."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from torch import nn

from striate.look.costs.layer_table import LONG, lines, text
from striate.look.costs.summary import Summary, summary

NETS = {name: summary(name) for name in ("lenet5", "cifar_resnet20", "googlenet", "densenet121", "nasnet_a_mobile")}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(NETS)), st.none() | st.integers(1, 6), st.booleans())
def test_lines_add_up_to_the_network(name: str, depth: int | None, every: bool) -> None:
    found = NETS[name]
    folded = lines(found.cost, found.passed, depth=depth, every=every)
    assert sum(line.parameters for line in folded) == found.cost.parameters
    assert sum(line.macs for line in folded) == found.cost.macs
    assert sum(line.bytes for line in folded) == found.cost.bytes
    assert sum(line.kept for line in folded) == found.kept
    assert sum(line.layers for line in folded) == len(found.cost.rows)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(NETS)), st.integers(40, 140))
def test_a_table_fits_its_width(name: str, width: int) -> None:
    assert max(map(len, text(NETS[name].lines(), width))) <= width


@pytest.mark.parametrize("name", sorted(NETS))
def test_the_table_is_never_long_unless_asked_for(name: str) -> None:
    assert len(NETS[name].lines()) <= LONG


def test_depth_one_is_a_line_for_each_stage() -> None:
    found = {line.name: line for line in summary("resnet50").lines(depth=1)}
    assert list(found) == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        *(f"layer{i}" for i in (1, 2, 3, 4)),
        "avgpool",
        "flatten",
        "fc",
    ]
    assert found["layer3"].output == (1024, 14, 14)
    assert found["layer3"].parameters == 7_098_368  # counted from torchvision's resnet50.layer3


def test_only_blocks_that_are_alike_are_folded() -> None:
    def block(c: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(4, c, 1), nn.Conv2d(c, 4, 1))

    net = nn.Sequential(block(2), block(2), block(3), block(2), block(2), block(2))
    found = Summary("net", "", summary(net, (4, 6, 6)).cost).lines()
    assert [line.name for line in found if line.likeness] == ["1", "4 … 5"]
    assert [line.kind for line in found if line.likeness] == ["like 0", "2× like 3"]


def test_a_block_that_concatenates_sees_what_its_widest_branch_sees() -> None:
    found = {line.name: line for line in summary("googlenet").lines(depth=1)}
    every = {line.name: line for line in summary("googlenet").lines(every=True)}
    assert found["inception3a"].output == (256, 28, 28)
    assert found["inception3a"].field == every["inception3a.branch3.1.conv"].field
