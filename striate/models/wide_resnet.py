"""Wide ResNet: fewer layers, each with many more channels.

Zagoruyko & Komodakis, "Wide Residual Networks", 2016, arXiv:1605.07146: table 1 for CIFAR (WRN-28-10: 28 layers, ten
times as wide), section 3 and table 8 for ImageNet (ResNet-50 whose 3×3 are twice as wide, "bottleneck").
Differs: the ImageNet networks stride on the 3×3, not the first 1×1, as torchvision's; its names are used, and its
weights load. The CIFAR network has no dropout between its convolutions (the paper reports both).
First weights: He normal by fan-out; the head as torch makes it.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Preactivated, Residual
from striate.models.registry import Entry, register

ABOUT = "Wide residual networks of few layers beat thin and very deep ones, and are faster."


def shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Identity or, where F changes the shape, a 1×1 projection."""
    same = c_in == c_out and stride == 1
    return nn.Identity() if same else Chain(conv(c_in, c_out, 1, stride), norm(c_out))


def bottleneck(c_in: int, c: int, k: int, stride: int) -> Residual:
    """F = 1×1, k times as wide a 3×3, 1×1.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, k * c, 1),          bn1=norm(k * c), relu1=nn.ReLU(),
        conv2=conv(k * c, k * c, 3, stride), bn2=norm(k * c), relu2=nn.ReLU(),
        conv3=conv(k * c, 4 * c, 1),         bn3=norm(4 * c))  # fmt: skip


def wide_resnet(depths: tuple[int, ...], k: int, num_classes: int, in_chans: int, *, survival: float = 1.0) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""

    def stage(c_in: int, c: int, depth: int, stride: int) -> Chain:
        return Chain(bottleneck(c_in, c, k, stride), *(bottleneck(4 * c, c, k, 1) for _ in range(depth - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 64, 7, stride=2), bn1=norm(64), relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
        layer1=stage(64, 64, depths[0], stride=1),
        layer2=stage(256, 128, depths[1], stride=2),
        layer3=stage(512, 256, depths[2], stride=2),
        layer4=stage(1024, 512, depths[3], stride=2),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        fc=nn.Linear(2048, num_classes))), survival)  # fmt: skip


def basic(c_in: int, c: int, stride: int) -> Residual:
    """F = 3×3, 3×3, each behind a norm and a ReLU.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)

    Where F changes the shape, the projection reads what the first norm and ReLU have made.
    """
    steps: dict[str, nn.Module] = dict(
        bn1=norm(c_in), relu1=nn.ReLU(), conv1=conv(c_in, c, 3, stride),
        bn2=norm(c),    relu2=nn.ReLU(), conv2=conv(c, c, 3))  # fmt: skip
    if c_in == c:
        return Residual(nn.Identity(), nn.Identity(), **steps)
    return Preactivated(conv(c_in, c, 1, stride), nn.Identity(), shared=2, **steps)


def wrn(depth: int, k: int, num_classes: int, in_chans: int, *, survival: float = 1.0) -> Chain:
    """(N, 3, H, W) -> (N, 10) logits.  H and W are halved twice."""

    def stage(c_in: int, c: int, stride: int) -> Chain:
        return Chain(basic(c_in, c, stride), *(basic(c, c, 1) for _ in range((depth - 4) // 6 - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 16, 3),
        layer1=stage(16, 16 * k, stride=1),
        layer2=stage(16 * k, 32 * k, stride=2),
        layer3=stage(32 * k, 64 * k, stride=2),
        bn1=norm(64 * k), relu=nn.ReLU(),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        linear=nn.Linear(64 * k, num_classes))), survival)  # fmt: skip


for name, depths in [("wide_resnet50_2", (3, 4, 6, 3)), ("wide_resnet101_2", (3, 4, 23, 3))]:
    register(Entry(name, partial(wide_resnet, depths, 2), year=2016, paper="arXiv:1605.07146", about=ABOUT,
        input=(3, 224, 224), classes=1000, head="fc", stem="conv1", look="layer4"))  # fmt: skip
register(Entry("wrn28_10", partial(wrn, 28, 10), year=2016, paper="arXiv:1605.07146", about=ABOUT,
    input=(3, 32, 32), classes=10, head="linear", stem="conv1", look="relu"))  # fmt: skip
