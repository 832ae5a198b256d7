"""Grad-CAM over the whole zoo, with no layer given by hand: what is found by running is what each file declares."""

import pytest
import torch
from torch import Tensor, nn

from striate.look.explain.at_layer import last_spatial_layer
from striate.look.explain.gradcam import gradcam
from striate.look.trace import trace
from striate.models.registry import create_model, entry, list_models

QUICK = ("lenet5", "squeezenet1_0", "cifar_resnet20", "shufflenet_v2_x0_5", "capsnet_mnist")
CLASS_MAPS = ("squeezenet", "nin")  # declare their features; the last maps are those of the classes


def settle(model: nn.Module, x: Tensor) -> None:
    """Give the norms the statistics of some images: without them 1,200 layers of an untrained network overflow."""
    model.eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train().momentum = 1.0
    with torch.no_grad():
        model(x)
    model.eval()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_gradcam_finds_its_layer(name: str) -> None:
    torch.manual_seed(0)
    known = entry(name)
    side = min(known.input[1], 2 * known.smallest) if known.fixed_size else max(64, 2 * known.smallest)
    size = {"input_size": (side, side)} if known.fixed_size else {}
    model, x = create_model(name, **size), torch.rand(1, known.input[0], side, side)
    settle(model, torch.rand(4, known.input[0], side, side))
    found = gradcam(model, x, max(known.classes, 2))
    _, h, w = found.maps.shape
    assert h * w > 1
    assert torch.isfinite(found.maps).all()
    assert bool(found.nothing_positive[0]) == (found.maps.max().item() <= 0)
    assert found.maps.max().item() <= 1
    with torch.no_grad(), trace(model, known.look, found.layer) as seen:
        model(x)
    declared = seen[known.look]
    assert declared.ndim == 4
    if declared.shape[2] * declared.shape[3] == 1:
        pytest.skip(f"{known.look} has one place at {side} pixels; {found.layer} was read")
    if found.layer != known.look and not name.startswith(CLASS_MAPS):
        assert torch.equal(declared, seen[found.layer]), f"{found.layer} was read, {known.look} is declared"
    assert last_spatial_layer(model, x) == found.layer
