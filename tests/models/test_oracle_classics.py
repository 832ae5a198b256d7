"""SqueezeNet, VGG and AlexNet against torchvision: the same names, and from the same weights the same logits.

Needs `pip install --no-deps torchvision==0.28.0`; its compiled operators are not used.
"""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from striate.models.registry import create_model
from striate.models.shapes import without_numbers

pytestmark = pytest.mark.oracle
NAMES = [
    "squeezenet1_0", "squeezenet1_1", "alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
    "vgg19_bn",
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
    """Spread so that values neither vanish nor grow from layer to layer."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.ndim > 1:
                bound = (6 / tensor[0].numel()) ** 0.5
                tensor.uniform_(-bound, bound, generator=generator)
            elif tensor.is_floating_point():
                tensor.uniform_(-0.5, 0.5, generator=generator)
            else:
                tensor.zero_()


@pytest.mark.parametrize("name", NAMES)
def test_names_and_logits_are_torchvisions(models: ModuleType, name: str) -> None:
    with without_numbers():  # hundreds of megabytes, which need not be drawn twice
        theirs, ours = getattr(models, name)(weights=None).eval(), create_model(name).eval()
    theirs.to_empty(device="cpu")
    give_random_weights(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    x = torch.randn(2, 3, 80, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y, expected = ours(x), theirs(x)
    assert expected.std() > 1e-2
    assert (y - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "alexnet"])
def test_the_first_weights_are_spread_as_torchvisions(models: ModuleType, name: str) -> None:
    ours, theirs = create_model(name).state_dict(), getattr(models, name)(weights=None).state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        else:
            assert (ours[key].abs().max() > 0) == (tensor.abs().max() > 0), key
