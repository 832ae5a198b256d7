"""ResNet v2: norm and ReLU before each convolution, so that nothing stands in the way of the sum.

He, Zhang, Ren & Sun, "Identity Mappings in Deep Residual Networks", 2016, arXiv:1603.05027, figure 4 (e).
A block that changes the shape activates its input once, for both paths (the paper's appendix).
Differs: a bottleneck strides on its 3×3, not its 1×1, and no norm follows the stem, as in timm's `resnetv2_50`. Names
are timm's; its weights load, its head (a 1×1 convolution there) as a matrix. Keras' networks of this name are another
graph: biases, strides in the last block of a stage. First weights: He normal by fan-out; the head as torch makes it.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Preactivated, Residual
from striate.models.registry import Entry, register


def bottleneck(c_in: int, c: int, stride: int) -> Residual:
    """F = 1×1, 3×3, 1×1, each behind a norm and a ReLU.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    steps: dict[str, nn.Module] = dict(
        norm1=norm(c_in), relu1=nn.ReLU(), conv1=conv(c_in, c, 1),
        norm2=norm(c),    relu2=nn.ReLU(), conv2=conv(c, c, 3, stride),
        norm3=norm(c),    relu3=nn.ReLU(), conv3=conv(c, 4 * c, 1))  # fmt: skip
    if c_in == 4 * c and stride == 1:
        return Residual(nn.Identity(), nn.Identity(), **steps)
    return Preactivated(Chain(conv=conv(c_in, 4 * c, 1, stride)), nn.Identity(), shared=2, **steps)


def resnet_v2(depths: tuple[int, ...], num_classes: int, in_chans: int, *, survival: float = 1.0) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""

    def stage(c_in: int, c: int, depth: int, stride: int) -> Chain:
        return Chain(blocks=Chain(bottleneck(c_in, c, stride), *(bottleneck(4 * c, c, 1) for _ in range(depth - 1))))

    return survive(he_normal(Chain(
        stem=Chain(
            conv=conv(in_chans, 64, 7, stride=2),
            pool=nn.MaxPool2d(3, stride=2, padding=1)),
        stages=Chain(
            stage(64, 64, depths[0], stride=1),
            stage(256, 128, depths[1], stride=2),
            stage(512, 256, depths[2], stride=2),
            stage(1024, 512, depths[3], stride=2)),
        norm=norm(2048), relu=nn.ReLU(),
        head=Chain(
            global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
            fc=nn.Linear(2048, num_classes)))), survival)  # fmt: skip


for depth, depths in [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))]:
    register(Entry(f"resnet{depth}v2", partial(resnet_v2, depths), year=2016, paper="arXiv:1603.05027",
        about="Activation before convolution leaves a clean path from each block to every other.",
        input=(3, 224, 224), classes=1000, head="head.fc", stem="stem.conv", look="relu",
        aliases=(f"resnetv2_{depth}",)))  # fmt: skip
