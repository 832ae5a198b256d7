"""The residual families against torchvision and timm: from the same weights, by name, the same logits.

Needs `pip install --no-deps torchvision==0.28.0 timm==1.0.31`; torchvision's compiled operators are not used.
"""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from striate.models.registry import create_model, entry

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def torchvision() -> ModuleType:
    if "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    return pytest.importorskip("torchvision.models", reason="needs torchvision, without its dependencies")


@pytest.fixture(scope="module")
def timm(torchvision: ModuleType) -> ModuleType:
    return pytest.importorskip("timm", reason="needs timm, without its dependencies")


def give_random_weights(model: nn.Module) -> nn.Module:
    """Also to the norms and their statistics, which are all 0 and 1 at first."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.uniform_(-0.5, 0.5, generator=generator)
    return model.eval()


def difference(ours: nn.Module, theirs: Callable[[Tensor], Tensor]) -> float:
    """The largest difference of a logit, relative to the largest logit; for images of an odd size."""
    x = torch.randn(2, 3, 73, 57, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std() > 1e-3
        found = float((ours(x) - expected).abs().max() / expected.abs().max())
    print(f"relative difference {found:.1e}")
    return found


@pytest.mark.parametrize(
    "name",
    ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"],
)
def test_torchvisions_weights_load_and_give_its_logits(torchvision: ModuleType, name: str) -> None:
    theirs, ours = give_random_weights(getattr(torchvision, name)(weights=None)), create_model(name).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_the_papers_form_is_torchvisions_with_the_stride_moved(torchvision: ModuleType, name: str) -> None:
    theirs, ours = give_random_weights(getattr(torchvision, name)(weights=None)), create_model(f"{name}.paper").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert difference(ours, theirs) > 1e-3
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("depth", [18, 34])
def test_the_plain_network_is_torchvisions_with_nothing_added(torchvision: ModuleType, depth: int) -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(())

    theirs, ours = getattr(torchvision, f"resnet{depth}")(weights=None), create_model(f"plain{depth}").eval()
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        for block in stage:
            block.downsample = Nothing()
    give_random_weights(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnext101_32x4d", "resnext101_32x4d"),
        ("se_resnet50", "legacy_seresnet50"),
        ("se_resnet101", "legacy_seresnet101"),
        ("se_resnet152", "legacy_seresnet152"),
        ("se_resnext50_32x4d", "legacy_seresnext50_32x4d"),
        ("senet154", "legacy_senet154"),
        ("resnet50v2", "resnetv2_50"),
        ("resnet101v2", "resnetv2_101"),
        ("resnet152v2", "resnetv2_152"),
    ],
)
def test_timms_weights_load_and_give_its_logits(timm: ModuleType, name: str, published: str) -> None:
    theirs, ours = give_random_weights(timm.create_model(published, pretrained=False)), create_model(name).eval()
    assert entry(published) is entry(name)
    weights = theirs.state_dict()
    if name.endswith("v2"):  # its head is a 1×1 convolution
        weights["head.fc.weight"] = weights["head.fc.weight"].flatten(1)
    ours.load_state_dict(weights, strict=True)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_the_first_weights_are_spread_as_torchvisions(torchvision: ModuleType, name: str) -> None:
    ours, theirs = create_model(name).state_dict(), getattr(torchvision, name)(weights=None).state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif not key.startswith("fc") and tensor.ndim < 2:
            assert torch.equal(ours[key], tensor), key
