"""Stochastic depth: in each training step some residual blocks are left out, the later the more often.

Huang, Sun, Liu, Sedra & Weinberger, "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382: ResNet-110 and
ResNet-1202 for CIFAR, linear decay of the probability to survive from 1 to 0.5 (equation 4).
Differs: the authors' code pools in the shortcut and has biases before its norms; here the networks are those of the
paper they come from (He et al., arXiv:1512.03385), whose weights fit. First weights: He normal by fan-out.
"""

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


def stochastic_depth_resnet(depth: int, num_classes: int, in_chans: int, *, survival: float = 0.5) -> Chain:
    """(N, 3, H, W) -> (N, 10) logits.  H and W are halved twice; `survival` is that of the last block."""

    def stage(c_in: int, c: int, stride: int) -> Chain:
        return Chain(basic(c_in, c, stride), *(basic(c, c, 1) for _ in range((depth - 2) // 6 - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 16, 3), bn1=norm(16), relu=nn.ReLU(),
        layer1=stage(16, 16, stride=1),
        layer2=stage(16, 32, stride=2),
        layer3=stage(32, 64, stride=2),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        linear=nn.Linear(64, num_classes))), survival)  # fmt: skip


for depth in (110, 1202):
    register(Entry(f"stochastic_depth_resnet{depth}", partial(stochastic_depth_resnet, depth), year=2016,
        paper="arXiv:1603.09382",
        about="Blocks are left out at random in training, so that depth costs less and helps more.",
        input=(3, 32, 32), classes=10, head="linear", stem="conv1", look="layer3"))  # fmt: skip
