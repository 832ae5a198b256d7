"""ResNet for CIFAR-10: 6n + 2 layers in three stages of 16, 32 and 64 channels; and the same without shortcuts.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385, section 4.2 and table 6;
the plain networks are those of figure 6.
Parameters are named as in the weights that are published for it; they load. First weights: He normal by fan-out.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Residual
from striate.models.registry import Entry, register


def basic(c_in: int, c: int, stride: int) -> Residual:
    """F = 3×3, 3×3.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Residual(nn.Identity() if c_in == c else PaddedShortcut(c_in, c), nn.ReLU(),
        conv1=conv(c_in, c, 3, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c))  # fmt: skip


def plain(c_in: int, c: int, stride: int) -> Chain:
    """The same layers, nothing added.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Chain(
        conv1=conv(c_in, c, 3, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c), relu2=nn.ReLU())  # fmt: skip


def cifar_resnet(
    block: Callable[[int, int, int], Chain], depth: int, num_classes: int, in_chans: int, *, survival: float = 1.0
) -> Chain:
    """(N, 3, H, W) -> (N, 10) logits.  H and W are halved twice."""

    def stage(c_in: int, c: int, stride: int) -> Chain:
        return Chain(block(c_in, c, stride), *(block(c, c, 1) for _ in range((depth - 2) // 6 - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 16, 3), bn1=norm(16), relu=nn.ReLU(),
        layer1=stage(16, 16, stride=1),
        layer2=stage(16, 32, stride=2),
        layer3=stage(32, 64, stride=2),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        linear=nn.Linear(64, num_classes))), survival)  # fmt: skip


for depth in (20, 32, 44, 56, 110, 1202):
    register(Entry(f"cifar_resnet{depth}", partial(cifar_resnet, basic, depth), year=2015, paper="arXiv:1512.03385",
        about="The residual network in small, for 32×32 images; shortcuts without weights.",
        input=(3, 32, 32), classes=10, head="linear", stem="conv1", look="layer3",
        aliases=(f"resnet{depth}",)))  # fmt: skip
for depth in (20, 32, 44, 56, 110):
    register(Entry(f"cifar_plain{depth}", partial(cifar_resnet, plain, depth), year=2015, paper="arXiv:1512.03385",
        about="The small residual network without its shortcuts: it learns worse the deeper it is.",
        input=(3, 32, 32), classes=10, head="linear", stem="conv1", look="layer3"))  # fmt: skip
