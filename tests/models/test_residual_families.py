"""ResNet and its descendants: written out without Striate's layers, their stages by the paper, and that they train."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models.cifar_resnet import basic, cifar_resnet, plain
from striate.models.cost import cost
from striate.models.densenet import densenet, densenet_bc
from striate.models.registry import create_model, entry
from striate.models.resnet import bottleneck_2015, resnet
from striate.models.resnet_v2 import resnet_v2
from striate.models.resnext import resnext
from striate.models.senet import se_resnet, se_resnet_block, se_resnext_block, senet154_block
from striate.models.shapes import without_numbers
from striate.models.stochastic_depth import stochastic_depth_resnet
from striate.models.wide_resnet import wide_resnet, wrn
from tests.models.oracles import calibrate, difference, patches

Weights = dict[str, Tensor]


def normed(w: Weights, x: Tensor, bn: str) -> Tensor:
    mean, var, gamma, beta = (
        w[f"{bn}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta


def wrn_by_hand(w: Weights, x: Tensor, n: int) -> Tensor:
    """Figure 1 (a) and table 1 of arXiv:1605.07146, n blocks a stage."""
    x = F.conv2d(x, w["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for i in range(n):
            at, stride = f"layer{stage}.{i}.", 2 if stage > 1 and i == 0 else 1
            a = normed(w, x, at + "bn1").clamp(min=0)
            f = F.conv2d(a, w[at + "conv1.weight"], stride=stride, padding=1)
            f = F.conv2d(normed(w, f, at + "bn2").clamp(min=0), w[at + "conv2.weight"], padding=1)
            x = f + (F.conv2d(a, w[at + "downsample.weight"], stride=stride) if i == 0 else x)
    x = normed(w, x, "bn1").clamp(min=0).mean((2, 3))
    return x @ w["linear.weight"].T + w["linear.bias"]


def cifar_by_hand(w: Weights, x: Tensor, n: int, added: float) -> Tensor:
    """Section 4.2 of arXiv:1512.03385, n blocks a stage; plain is `added` = 0, the weight of the shortcut."""
    x = normed(w, F.conv2d(x, w["conv1.weight"], padding=1), "bn1").clamp(min=0)
    for stage, c in ((1, 16), (2, 32), (3, 64)):
        for i in range(n):
            at, stride = f"layer{stage}.{i}.", 2 if stage > 1 and i == 0 else 1
            f = normed(w, F.conv2d(x, w[at + "conv1.weight"], stride=stride, padding=1), at + "bn1").clamp(min=0)
            f = normed(w, F.conv2d(f, w[at + "conv2.weight"], padding=1), at + "bn2")
            if stride == 2:
                zeros = torch.zeros(len(x), c // 4, *f.shape[2:])
                x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], 1)
            x = (added * x + f).clamp(min=0)
    return x.mean((2, 3)) @ w["linear.weight"].T + w["linear.bias"]


BY_HAND: dict[str, tuple[Callable[[], nn.Module], Callable[[Weights, Tensor], Tensor]]] = {
    "a small wide ResNet": (partial(wrn, 16, 3, 10, 3), partial(wrn_by_hand, n=2)),
    "wrn28_10": (partial(create_model, "wrn28_10"), partial(wrn_by_hand, n=4)),
    **{
        f"cifar_{kind}{6 * n + 2}": (
            partial(create_model, f"cifar_{kind}{6 * n + 2}"),
            partial(cifar_by_hand, n=n, added=added),
        )
        for kind, added in (("plain", 0), ("resnet", 1))
        for n in (3, 5, 7, 9, 18)
    },
    "cifar_resnet1202": (partial(create_model, "cifar_resnet1202"), partial(cifar_by_hand, n=200, added=1)),
}
HUGE = ("wrn28_10", "cifar_resnet1202")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in HUGE)) for name in BY_HAND])
def test_logits_are_those_of_the_network_written_out(name: str) -> None:
    model, by_hand = BY_HAND[name]
    images = patches(6, 3, 9, 12, seed=4).double()
    net = calibrate(model().double(), images)
    # Without shortcuts every layer lets two images grow apart, and what was rounded, too: 1e-16 to 2e-9 in 110 layers.
    assert difference(net, partial(by_hand, net.state_dict()), images[:2]) < (1e-7 if "plain" in name else 1e-10)


def test_a_stochastic_network_is_its_residual_one_with_every_sum_weighted() -> None:
    images = patches(6, 3, 9, 12, seed=4).double()
    net, x = calibrate(stochastic_depth_resnet(14, 10, 3).double(), images), images[:2]
    w = net.state_dict()
    y = normed(w, F.conv2d(x, w["conv1.weight"], padding=1), "bn1").clamp(min=0)
    for number in range(1, 7):
        stage, i = (number + 1) // 2, (number - 1) % 2
        at, stride = f"layer{stage}.{i}.", 2 if stage > 1 and i == 0 else 1
        f = normed(w, F.conv2d(y, w[at + "conv1.weight"], stride=stride, padding=1), at + "bn1").clamp(min=0)
        f = normed(w, F.conv2d(f, w[at + "conv2.weight"], padding=1), at + "bn2")
        if stride == 2:
            zeros = torch.zeros(len(y), f.shape[1] // 4, *f.shape[2:])
            y = torch.cat([zeros, y[:, :, ::2, ::2], zeros], 1)
        y = (y + (1 - number / 6 * 0.5) * f).clamp(min=0)
    expected = y.mean((2, 3)) @ w["linear.weight"].T + w["linear.bias"]
    assert difference(net, lambda _: expected, x) < 1e-10


@pytest.mark.parametrize(
    ("name", "millions"),  # as the paper prints them, tables 2 and 3 of arXiv:1608.06993
    [("cifar_densenet_bc100", 0.8), ("cifar_densenet_bc250", 15.3), ("cifar_densenet_bc190", 25.6)],
)
def test_parameters_of_the_cifar_densenets_are_the_printed_ones(name: str, millions: float) -> None:
    with without_numbers():
        model = create_model(name)
    assert round(cost(model, entry(name).input).trainable / 1e6, 1) == millions


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_plain_cifar_networks_have_as_many_parameters_and_cost_as_much(depth: int) -> None:
    with without_numbers():
        ours, residual = (cost(create_model(f"cifar_{kind}{depth}"), (3, 32, 32)) for kind in ("plain", "resnet"))
    assert (ours.trainable, ours.macs) == (residual.trainable, residual.macs)


@pytest.mark.parametrize("depth", [18, 34])
def test_plain_networks_are_smaller_by_their_projections(depth: int) -> None:
    with without_numbers():
        ours, residual = (cost(create_model(f"{kind}{depth}"), (3, 224, 224)) for kind in ("plain", "resnet"))
    pairs = ((64, 128), (128, 256), (256, 512))
    assert residual.trainable - ours.trainable == sum(a * b + 2 * b for a, b in pairs)
    assert residual.macs - ours.macs == sum(
        a * b * side * side for (a, b), side in zip(pairs, (28, 14, 7), strict=True)
    )


@pytest.mark.parametrize(
    ("k", "depths", "name", "channels"),  # (block, transition) of table 1
    [
        (32, (6, 12, 24, 16), "densenet121", [(256, 128), (512, 256), (1024, 512), (1024,)]),
        (32, (6, 12, 64, 48), "densenet264", [(256, 128), (512, 256), (2304, 1152), (2688,)]),
        (48, (6, 12, 36, 24), "densenet161", [(384, 192), (768, 384), (2112, 1056), (2208,)]),
    ],
)
def test_the_blocks_of_a_densenet_have_the_channels_of_the_table(
    k: int, depths: tuple[int, ...], name: str, channels: list[tuple[int, ...]]
) -> None:
    shapes = {}
    with without_numbers():
        model = create_model(name).eval()
    for key, layer in model.named_modules():
        layer.register_forward_hook(lambda _, x, y, key=key: shapes.__setitem__(key, tuple(y.shape[1:])))
    model(torch.zeros(1, 3, 224, 224, device="meta"))
    for number, (wide, *halved) in enumerate(channels, start=1):
        side = 112 >> number
        assert shapes[f"features.denseblock{number}"] == (wide, side, side)
        if halved:
            assert shapes[f"features.transition{number}"] == (*halved, side // 2, side // 2)


SMALL = {  # every kind of block, once a stage
    "resnet.paper": partial(resnet, bottleneck_2015, 4, (1, 1, 1, 1)),
    "cifar_plain": partial(cifar_resnet, plain, 8),
    "cifar_resnet with stochastic depth": partial(cifar_resnet, basic, 20, survival=0.8),
    "stochastic_depth": partial(stochastic_depth_resnet, 14, survival=0.8),
    "resnext": partial(resnext, (1, 1, 1, 1), 8, 4),
    "wide_resnet": partial(wide_resnet, (1, 1, 1, 1), 2),
    "wrn": partial(wrn, 10, 2),
    "resnet_v2": partial(resnet_v2, (1, 1, 1, 1)),
    "se_resnet": partial(se_resnet, se_resnet_block, (1, 1, 1, 1)),
    "se_resnext": partial(se_resnet, se_resnext_block, (1, 1, 1, 1)),
    "senet154": partial(se_resnet, senet154_block, (1, 1, 1, 1)),  # its blocks behind the small stem
    "densenet": partial(densenet, 12, (1, 2, 2, 1)),
    "densenet_bc": partial(densenet_bc, 12, 22),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_on_four_images_bring_the_loss_near_zero(name: str) -> None:
    torch.manual_seed(0)
    model = SMALL[name](4, 3).train()
    images, labels = torch.randn(4, 3, 40, 40), torch.arange(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    losses: list[float] = []
    while len(losses) < 60 and (not losses or losses[-1] > 0.03):
        loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    print(f"{losses[0]:.2f} -> {losses[-1]:.4f} in {len(losses)} steps")
    assert losses[0] > 0.7
    assert losses[-1] <= 0.03
