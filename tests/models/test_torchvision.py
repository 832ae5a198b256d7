"""Against torchvision: the same names, and from the same weights the same logits.

Needs `pip install --no-deps torchvision==0.28.0`; its compiled operators are not used.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from striate.models.cost import cost
from striate.models.registry import create_model

pytestmark = pytest.mark.oracle
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
# One of each kind that the lectures name, and some that are wired in ways that Striate has not.
STRANGERS = [
    "alexnet", "vgg11_bn", "squeezenet1_1", "densenet121", "googlenet", "inception_v3", "mobilenet_v2",
    "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0", "resnext50_32x4d", "regnet_y_400mf", "convnext_tiny",
    "vit_b_32",
]  # fmt: skip


@pytest.fixture(scope="module")
def models() -> ModuleType:
    if "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    return pytest.importorskip("torchvision.models", reason="needs torchvision, without its dependencies")


def give_random_weights(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.uniform_(-0.5, 0.5, generator=generator)


@pytest.mark.parametrize("name", RESNETS)
def test_names_and_logits_are_torchvisions(models: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    theirs, ours = getattr(models, name)(weights=None).eval(), create_model(name).eval()
    give_random_weights(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 96, 80)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_first_weights_are_spread_as_torchvisions(models: ModuleType, name: str) -> None:
    ours, theirs = create_model(name).state_dict(), getattr(models, name)(weights=None).state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif not key.startswith("fc") and tensor.ndim < 2:
            assert torch.equal(ours[key], tensor), key


@pytest.mark.parametrize("name", STRANGERS)
def test_costs_are_known_for_models_that_were_not_built_for_it(models: ModuleType, name: str) -> None:
    model = getattr(models, name)(
        weights=None, **({"aux_logits": False} if name in ("googlenet", "inception_v3") else {})
    )
    side = {"inception_v3": 299}.get(name, 224)
    found = cost(model, (3, side, side))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval().to("meta")(torch.empty(1, 3, side, side, device="meta"))
    products = sum(
        flops for op, flops in counter.get_flop_counts()["Global"].items() if "bmm" in str(op) or "attention" in str(op)
    )
    assert found.macs == (counter.get_total_flops() - products) // 2
    assert found.parameters == sum(p.numel() for p in model.parameters())
    followed = [row for row in found.rows if row.field is not None]
    if name not in ("vit_b_32", "convnext_tiny"):  # tokens, and channels in the last place
        assert len(followed) == len(found.rows), found.notes
