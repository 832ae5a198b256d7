"""The forms of DenseNet that torchvision does not name, against torchvision's class; the others: test_oracle_logits."""

import pytest
from torch import nn

from striate.models.registry import create_model
from tests.models.oracles import TOLERANCE, by_name, calibrate, difference, independent, patches

pytestmark = pytest.mark.oracle


def expect_its_logits(theirs: nn.Module, name: str, height: int, width: int) -> None:
    images, ours = patches(6, 3, height, width, seed=4), create_model(name).eval()
    by_name(ours, calibrate(theirs, images))
    assert difference(ours, theirs, images[:2]) < TOLERANCE


def test_264_is_torchvisions_class_with_the_blocks_of_table_1() -> None:
    theirs = independent("torchvision.models").DenseNet(32, (6, 12, 64, 48), 64)
    expect_its_logits(theirs, "densenet264", 73, 57)


@pytest.mark.parametrize(("depth", "k"), [(100, 12), (250, 24), (190, 40)])
def test_the_cifar_networks_are_torchvisions_class_with_another_stem(depth: int, k: int) -> None:
    blocks = ((depth - 4) // 6,) * 3
    theirs = independent("torchvision.models").DenseNet(k, blocks, 2 * k, num_classes=10)
    theirs.features.conv0 = nn.Conv2d(3, 2 * k, 3, padding=1, bias=False)
    theirs.features.norm0, theirs.features.relu0, theirs.features.pool0 = (nn.Identity() for _ in range(3))
    expect_its_logits(theirs, f"cifar_densenet_bc{depth}", 18, 13)
