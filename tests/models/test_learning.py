"""Every architecture trains: a few steps on four images of noise bring the loss down to nearly nothing.

Adam, no augmentation, no dropout, all blocks taking part: a network that can't learn four images by heart has a
gradient that does not arrive. Images are as small as each network takes them within reason, and one size stands for
all widths of an image that the same layers are registered for. The rest of a test's time is given to the number of
steps: the small networks in the ordinary suite, the others by `-m slow`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.blocks.stochastic import StochasticDepth
from striate.blocks.wiring import Stochastic
from striate.models.capsnet import margin_loss
from striate.models.lenet_1998 import map_loss
from striate.models.registry import create_model, entry, list_models
from striate.training.losses import make_loss, on_heads

QUICK = ("lenet5", "deck4_keras_convnet", "cifar_resnet20", "squeezenet1_1", "mobilenet_v1_0.25_128",
         "mobilenet_v2_0.35", "shufflenet_v2_x0_5")  # fmt: skip
# The same layers at another of the paper's resolutions.
SAME = {f"mobilenet_v1_{width}_{side}" for width in (1, 0.75, 0.5, 0.25) for side in (192, 160, 128)} - {
    "mobilenet_v1_0.25_128"
}
EACH = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models() if name not in SAME
]

# Where 1e-3 is too fast: networks without norms, whose first weights are small or large.
RATES = {
    **dict.fromkeys((name for family in ("alexnet*", "zfnet*", "nin_*", "vgg*") for name in list_models(family)), 1e-4),
    **dict.fromkeys(list_models("squeezenet*"), 1e-4),
    **dict.fromkeys(("googlenet", "googlenet_aux", "deck_vgg16_dense", "deck_cats_dogs"), 3e-4),
    "lenet5_1998": 3e-3,
}  # fmt: skip
# Their first weights are for pixels up to 255.
SCALES = dict.fromkeys(("alexnet_2gpu", "alexnet_onetower", "alexnet_deck_table", "zfnet", "zfnet_b"), 60.0)
# What is added again and again, without norms, begins large.
SCALES |= {"squeezenet_simple_bypass": 0.1, "squeezenet_complex_bypass": 0.02}
STEPS = 200


def side_of(name: str) -> int:
    """Pixels: 32, or what the network needs; more where little is left of a map of 32."""
    least = {"googlenet_aux": 80, "capsnet_mnist": 20, "deck_cats_dogs": 64, "nin_imagenet": 64}
    if name.startswith(("squeezenet", "efficientnet")):
        return 64
    return least.get(name, max(32, entry(name).smallest))


def loss_of(name: str) -> tuple[Callable[[Any, Tensor], Tensor], float]:
    """Of the outputs and the labels, and what is nearly nothing."""
    if name == "capsnet_mnist":
        return margin_loss, 0.01
    if name == "lenet5_1998":  # squares of 84 distances; with j = 20 the least possible loss is 2e-9
        return (lambda z, labels: map_loss(z, labels, 20.0)), 1.0
    if name.startswith("deck_cats_dogs") or name == "deck_vgg16_dense":  # one logit
        bce = make_loss("bce", 2)
        return (lambda z, labels: bce(z, labels, None)), 0.05
    cross_entropy = make_loss("cross_entropy", 4)
    return (lambda z, labels: on_heads(cross_entropy, z, labels, None).whole), 0.05


def by_heart(name: str, model: nn.Module) -> nn.Module:
    """In training, without what is there to keep it from learning by heart."""
    model.train()
    if name.startswith("squeezenet"):  # the ReLU behind a class's map begins open, or it may close for all four images
        nn.init.constant_(model.get_parameter("classifier.1.bias"), 5.0)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout | StochasticDepth):
            layer.eval()
        elif isinstance(layer, Stochastic):
            layer.survival = 1.0
    return model


@pytest.mark.parametrize("name", EACH)
def test_four_images_are_learnt_by_heart(name: str) -> None:
    torch.manual_seed(0)
    side, (loss_on, little) = side_of(name), loss_of(name)
    classes = 1 if entry(name).classes == 1 else 4
    model = by_heart(name, create_model(name, num_classes=classes, input_size=(side, side)))
    x = SCALES.get(name, 1.0) * torch.randn(4, entry(name).input[0], side, side)
    x = torch.rand_like(x) if name == "capsnet_mnist" else x
    labels = torch.arange(4) % 2 if classes == 1 else torch.arange(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATES.get(name, 1e-3), fused=True)
    losses: list[float] = []
    while len(losses) < STEPS:
        loss = loss_on(model(x), labels)
        losses.append(loss.item())
        if losses[-1] < little:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[0] > 2 * little, "nothing was left to learn"
    if name == "cifar_plain110":  # what the network is there to show: so deep without shortcuts, it learns badly
        assert min(losses) < 0.75 * losses[0]
    else:
        assert losses[-1] < little, losses[:: max(1, len(losses) // 10)]


def test_a_network_whose_gradient_does_not_arrive_does_not_learn() -> None:
    """The planted fault: the test above would see it."""
    torch.manual_seed(0)
    model = by_heart("", create_model("deck4_keras_convnet", num_classes=4))
    model.get_submodule("relu3").register_forward_hook(lambda _, x, y: y.detach() * 0)
    x, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(60):
        loss = F.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss > 1
