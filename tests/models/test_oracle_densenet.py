"""DenseNet against torchvision: the same names, and from the same weights the same logits.

Needs `pip install --no-deps torchvision==0.28.0`; its compiled operators are not used.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from striate.models.registry import create_model

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def torchvision() -> ModuleType:
    if "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    return pytest.importorskip("torchvision.models", reason="needs torchvision, without its dependencies")


def expect_its_logits(theirs: nn.Module, ours: nn.Module, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.uniform_(-0.5, 0.5, generator=generator)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        x = torch.randn(2, 3, height, width, generator=generator)
        expected = theirs.eval()(x)
        difference = float((ours.eval()(x) - expected).abs().max() / expected.abs().max())
    print(f"relative difference {difference:.1e}")
    assert expected.std() > 1e-3
    assert difference < 1e-5


@pytest.mark.parametrize("depth", [121, 161, 169, 201])
def test_torchvisions_weights_load_and_give_its_logits(torchvision: ModuleType, depth: int) -> None:
    theirs, ours = getattr(torchvision, f"densenet{depth}")(weights=None), create_model(f"densenet{depth}")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    expect_its_logits(theirs, ours, 73, 57)


def test_264_is_torchvisions_class_with_the_blocks_of_table_1(torchvision: ModuleType) -> None:
    expect_its_logits(torchvision.DenseNet(32, (6, 12, 64, 48), 64), create_model("densenet264"), 73, 57)


@pytest.mark.parametrize(("depth", "k"), [(100, 12), (250, 24), (190, 40)])
def test_the_cifar_networks_are_torchvisions_class_with_another_stem(
    torchvision: ModuleType, depth: int, k: int
) -> None:
    theirs = torchvision.DenseNet(k, ((depth - 4) // 6,) * 3, 2 * k, num_classes=10)
    theirs.features.conv0 = nn.Conv2d(3, 2 * k, 3, padding=1, bias=False)
    theirs.features.norm0, theirs.features.relu0, theirs.features.pool0 = (nn.Identity() for _ in range(3))
    expect_its_logits(theirs, create_model(f"cifar_densenet_bc{depth}"), 18, 13)
