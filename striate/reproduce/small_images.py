"""Networks for images of 32×32 pixels that the zoo lacks: each is one of its networks, changed where it has to be.

    small_alexnet       AlexNet with another stem: at 32×32 nothing is left behind the paper's
    small_mobilenet     MobileNet v1 whose first convolution halves nothing; or its twin with full convolutions
    gated_resnet        the residual network for CIFAR-10, with or without squeeze and excitation
    small_densenet_bc   DenseNet-BC of any depth

Options are given by keyword. They are for recipes, which change one of them at a time: the zoo has what papers print.
"""

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from typing import Any, Literal

from torch import nn

from striate.blocks.initial import he_normal, normal
from striate.blocks.layers import conv, norm
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.wiring import Chain, Gate, Residual
from striate.errors import RecipeError, suggest
from striate.models.alexnet import overlap, respond
from striate.models.cifar_resnet import basic, cifar_resnet
from striate.models.densenet import densenet_bc
from striate.models.mobilenet_v1 import TABLE, full, mobilenet_v1, separable

Norm = Literal["lrn", "batch", "none"]


def small_alexnet(
    num_classes: int, in_chans: int, side: int, *,
    stem: Literal["small", "paper"] = "small", norm: Norm = "lrn", dropout: float = 0.5, width: float = 1.0,
    initial: Literal["he", "paper"] = "he",
) -> Chain:  # fmt: skip
    """(N, in_chans, side, side) -> (N, num_classes) logits.

    The small stem is a 5×5 that moves one pixel at a time, padded; the paper's an 11×11 that moves four, not padded.
    `width` multiplies all channels and hidden units. `norm` is that behind the first two convolutions; batch norm
    stands behind all five, in front of their ReLUs. `initial="paper"` draws all weights with a deviation of 0.01.

    Source: Krizhevsky, Sutskever & Hinton 2012, doi:10.1145/3065386, sections 3 to 5.
    """
    c1, c2, c3, c5, hidden = (round(c * width) for c in (96, 256, 384, 256, 4096))
    steps: dict[str, nn.Module] = {}

    def convolve(i: int, c_in: int, c: int, k: int, stride: int, padding: int, *, pooled: bool) -> None:
        steps[f"conv{i}"] = nn.Conv2d(c_in, c, k, stride, padding, bias=norm != "batch")
        if norm == "batch":
            steps[f"bn{i}"] = nn.BatchNorm2d(c)
        steps[f"relu{i}"] = nn.ReLU()
        if norm == "lrn" and i < 3:
            steps[f"norm{i}"] = respond()
        if pooled:
            steps[f"pool{i}"] = overlap()

    k, stride, padding = (5, 1, 2) if stem == "small" else (11, 4, 0)
    convolve(1, in_chans, c1, k, stride, padding, pooled=True)
    convolve(2, c1, c2, 5, 1, 2, pooled=True)
    convolve(3, c2, c3, 3, 1, 1, pooled=False)
    convolve(4, c3, c3, 3, 1, 1, pooled=False)
    convolve(5, c3, c5, 3, 1, 1, pooled=True)
    left = (side + 2 * padding - k) // stride + 1
    for _ in range(3):
        left = (left - 3) // 2 + 1
    if left < 1:
        raise RecipeError(f"of {side}×{side} pixels nothing is left behind the stem {stem!r} and three poolings")
    net = Chain(
        **steps, flatten=nn.Flatten(),
        fc6=nn.Linear(c5 * left * left, hidden), relu6=nn.ReLU(), drop6=nn.Dropout(dropout),
        fc7=nn.Linear(hidden, hidden),           relu7=nn.ReLU(), drop7=nn.Dropout(dropout),
        fc8=nn.Linear(hidden, num_classes))  # fmt: skip
    if initial == "paper":
        normal(net, 0.01, nn.Conv2d, nn.Linear)
        for name in (*(() if norm == "batch" else ("conv2", "conv4", "conv5")), "fc6", "fc7"):
            nn.init.ones_(net.get_parameter(f"{name}.bias"))
        return net
    he_normal(net)
    for name in ("fc6", "fc7"):
        nn.init.kaiming_normal_(net.get_parameter(f"{name}.weight"), nonlinearity="relu")
        nn.init.zeros_(net.get_parameter(f"{name}.bias"))
    return net


def small_mobilenet(
    num_classes: int, in_chans: int, side: int, *, separated: bool = True, width: float = 1.0
) -> Chain:  # fmt: skip
    """(N, in_chans, side, side) -> (N, num_classes) logits.  H and W are halved four times: 32 pixels become 2.

    Source: Howard et al. 2017, arXiv:1704.04861, table 1; its twin with full convolutions: table 4.
    """
    net = mobilenet_v1(separable if separated else full, TABLE, width, num_classes, in_chans)
    net.conv_stem = he_normal(conv(in_chans, int(32 * width), 3))
    return net


def se_basic(c_in: int, c: int, stride: int) -> Residual:
    """F = 3×3, 3×3, gate.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Residual(nn.Identity() if c_in == c else PaddedShortcut(c_in, c), nn.ReLU(),
        conv1=conv(c_in, c, 3, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c),
        se_module=Gate(
            squeeze=nn.AdaptiveAvgPool2d(1),
            fc1=nn.Conv2d(c, c // 16, 1), relu=nn.ReLU(),
            fc2=nn.Conv2d(c // 16, c, 1), sigmoid=nn.Sigmoid()))  # fmt: skip


def gated_resnet(num_classes: int, in_chans: int, side: int, *, gate: bool = True, depth: int = 20) -> Chain:
    """(N, in_chans, side, side) -> (N, num_classes) logits.  H and W are halved twice.

    Source: Hu, Shen & Sun 2017, arXiv:1709.01507, figure 3; reduction 16.
    """
    return cifar_resnet(se_basic if gate else basic, depth, num_classes, in_chans)


def small_densenet_bc(num_classes: int, in_chans: int, side: int, *, depth: int = 100, k: int = 12) -> Chain:
    """(N, in_chans, side, side) -> (N, num_classes) logits.  H and W are halved twice; depth is 4 and a multiple of 6.

    Source: Huang et al. 2016, arXiv:1608.06993, section 3.
    """
    return densenet_bc(k, depth, num_classes, in_chans)


NETWORKS: dict[str, Callable[..., Chain]] = {
    "small_alexnet": small_alexnet,
    "small_mobilenet": small_mobilenet,
    "gated_resnet": gated_resnet,
    "small_densenet_bc": small_densenet_bc,
}


def small_network_named(name: str, options: dict[str, Any]) -> Callable[[int, int, int], Chain]:
    """The network of that name with its options, as a function of classes, channels and side.

    Raises: RecipeError for an option that it does not have.
    """
    build = NETWORKS[name]
    known = [p.name for p in signature(build).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise RecipeError(f"{name} has no option {option!r}{suggest(option, known, 'it has ' + ', '.join(known))}")
    return partial(build, **options)
