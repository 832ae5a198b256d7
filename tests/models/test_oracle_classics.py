"""The first weights of SqueezeNet and AlexNet against torchvision's; LeNet-5 and the decks' convnets written out.

Needs `make oracles` for the first. Logits are compared in test_oracle_logits.
"""

from collections.abc import Callable

import pytest
from torch import Tensor
from torch.nn import functional as F

from striate.models.registry import create_model, entry
from tests.models.oracles import calibrate, difference, independent, patches

Weights = dict[str, Tensor]


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "alexnet"])
def test_the_first_weights_are_spread_as_torchvisions(name: str) -> None:
    theirs = getattr(independent("torchvision.models"), name)(weights=None).state_dict()
    ours = create_model(name).state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        else:
            assert (ours[key].abs().max() > 0) == (tensor.abs().max() > 0), key


def lenet5(w: Weights, x: Tensor) -> Tensor:
    """Table of the first deck: 6 and 16 maps, averages of 2×2, 120 and 84 units, a tanh behind each."""
    for name in ("C1", "C3"):
        x = F.avg_pool2d(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]).tanh(), 2).tanh()
    x = F.conv2d(x, w["C5.weight"], w["C5.bias"]).tanh().flatten(1)
    return dense(w, "output", dense(w, "F6", x).tanh())


def mnist_convnet(w: Weights, x: Tensor) -> Tensor:
    for name in ("conv1", "conv2"):
        x = F.max_pool2d(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]).relu(), 2)
    x = F.conv2d(x, w["conv3.weight"], w["conv3.bias"]).relu().flatten(1)
    return dense(w, "dense2", dense(w, "dense1", x).relu())


def cats_dogs(w: Weights, x: Tensor) -> Tensor:
    for name in ("conv1", "conv2", "conv3", "conv4"):
        x = F.max_pool2d(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"]).relu(), 2)
    return dense(w, "dense2", dense(w, "dense1", x.flatten(1)).relu())


def dense(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


WRITTEN_OUT = {"lenet5": lenet5, "deck_mnist_convnet": mnist_convnet, "deck_cats_dogs": cats_dogs}


@pytest.mark.parametrize(("name", "written_out"), WRITTEN_OUT.items())
def test_logits_are_those_of_the_network_written_out(
    name: str, written_out: Callable[[Weights, Tensor], Tensor]
) -> None:
    images = patches(6, *entry(name).input, seed=4).double()
    ours = calibrate(create_model(name, num_classes=10).double(), images)
    weights = ours.state_dict()
    assert difference(ours, lambda x: written_out(weights, x), images[:2]) < 1e-12
