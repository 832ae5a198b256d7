"""ResNeXt: a residual block of many narrow paths side by side, written as one grouped convolution.

Xie, Girshick, Dollár, Tu & He, "Aggregated Residual Transformations for Deep Neural Networks", 2016,
arXiv:1611.05431, table 1 and figure 3 (c). 32×4d is 32 paths that are 4 channels wide in the first stage.
Differs: nothing; the authors stride on the 3×3, too. Names are torchvision's; its weights load.
First weights: He normal by fan-out; the head as torch makes it.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Residual
from striate.models.registry import Entry, register


def shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Identity or, where F changes the shape, a 1×1 projection."""
    same = c_in == c_out and stride == 1
    return nn.Identity() if same else Chain(conv(c_in, c_out, 1, stride), norm(c_out))


def aggregated(c_in: int, width: int, paths: int, c_out: int, stride: int) -> Residual:
    """F = 1×1, 3×3 in groups, 1×1.  (N, c_in, H, W) -> (N, c_out, H/stride, W/stride)"""
    return Residual(shortcut(c_in, c_out, stride), nn.ReLU(),
        conv1=conv(c_in, width, 1),                 bn1=norm(width), relu1=nn.ReLU(),
        conv2=conv(width, width, 3, stride, paths), bn2=norm(width), relu2=nn.ReLU(),
        conv3=conv(width, c_out, 1),                bn3=norm(c_out))  # fmt: skip


def resnext(
    depths: tuple[int, ...], paths: int, d: int, num_classes: int, in_chans: int, *, survival: float = 1.0
) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""

    def stage(c_in: int, c_out: int, depth: int, stride: int) -> Chain:
        width = paths * d * c_out // 256
        first = aggregated(c_in, width, paths, c_out, stride)
        return Chain(first, *(aggregated(c_out, width, paths, c_out, 1) for _ in range(depth - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 64, 7, stride=2), bn1=norm(64), relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
        layer1=stage(64, 256, depths[0], stride=1),
        layer2=stage(256, 512, depths[1], stride=2),
        layer3=stage(512, 1024, depths[2], stride=2),
        layer4=stage(1024, 2048, depths[3], stride=2),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        fc=nn.Linear(2048, num_classes))), survival)  # fmt: skip


for name, depths, paths, d in [  # 32×8d: Facebook's later weights
    ("resnext50_32x4d",  (3, 4, 6, 3),  32, 4),
    ("resnext101_32x4d", (3, 4, 23, 3), 32, 4),
    ("resnext101_64x4d", (3, 4, 23, 3), 64, 4),
    ("resnext101_32x8d", (3, 4, 23, 3), 32, 8),
]:  # fmt: skip
    register(Entry(name, partial(resnext, depths, paths, d), year=2016, paper="arXiv:1611.05431",
        about="Many narrow paths side by side (cardinality) do more than wider or deeper blocks.",
        input=(3, 224, 224), classes=1000, head="fc", stem="conv1", look="layer4"))  # fmt: skip
