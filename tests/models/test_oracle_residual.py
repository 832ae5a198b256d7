"""Forms of the residual networks that torchvision does not name, against its networks; more: test_oracle_logits."""

import pytest
import torch
from torch import Tensor, nn

from striate.models.registry import create_model
from tests.models.oracles import TOLERANCE, build, by_name, calibrate, difference, patches

pytestmark = pytest.mark.oracle
IMAGES = patches(6, 3, 73, 57, seed=4)


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_the_papers_form_is_torchvisions_with_the_stride_moved(name: str) -> None:
    theirs, ours = calibrate(build(f"torchvision:{name}"), IMAGES), create_model(f"{name}.paper").eval()
    by_name(ours, theirs)
    assert difference(ours, theirs, IMAGES[:2]) > 1e-3
    for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert difference(ours, theirs, IMAGES[:2]) < TOLERANCE


@pytest.mark.parametrize("depth", [18, 34])
def test_the_plain_network_is_torchvisions_with_nothing_added(depth: int) -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(())

    theirs, ours = build(f"torchvision:resnet{depth}"), create_model(f"plain{depth}").eval()
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        for block in stage:
            block.downsample = Nothing()
    calibrate(theirs, IMAGES)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    by_name(ours, theirs)
    assert difference(ours, theirs, IMAGES[:2]) < TOLERANCE


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_the_first_weights_are_spread_as_torchvisions(name: str) -> None:
    ours, theirs = create_model(name).state_dict(), build(f"torchvision:{name}").state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif not key.startswith("fc") and tensor.ndim < 2:
            assert torch.equal(ours[key], tensor), key
