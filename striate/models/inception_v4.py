"""Inception v4: the Inception blocks made uniform, and a stem that is built of them, too.

Szegedy, Ioffe, Vanhoucke & Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning", 2016, arXiv:1602.07261, figures 3 to 9.
Differs: average pooling does not count the zeros of the padding, as in TensorFlow. Names are timm's; its weights load.
First weights: normal, deviation 0.1, as for Inception v3; the paper gives none.
"""

from torch import nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Branches, Chain, Paths
from striate.models.registry import Entry, register


def unit(c_in: int, c: int, k: int, stride: int = 1) -> Chain:
    """Convolution without padding (the figures' V), norm, ReLU."""
    return Chain(conv=nn.Conv2d(c_in, c, k, stride, bias=False), bn=norm(c, 0.001), relu=nn.ReLU())


def same(c_in: int, c: int, k: int | tuple[int, int]) -> Chain:
    """The same with padding, so that height and width stay."""
    return Chain(conv=conv(c_in, c, k), bn=norm(c, 0.001), relu=nn.ReLU())


def pooled(c_in: int, c: int) -> Chain:
    return Chain(nn.AvgPool2d(3, 1, 1, count_include_pad=False), unit(c_in, c, 1))


def stem(in_chans: int) -> tuple[nn.Module, ...]:
    """Figure 3.  (N, 3, 299, 299) -> (N, 384, 35, 35)"""
    return (
        unit(in_chans, 32, 3, stride=2), unit(32, 32, 3), same(32, 64, 3),
        Branches(maxpool=nn.MaxPool2d(3, 2), conv=unit(64, 96, 3, stride=2)),
        Branches(
            branch0=Chain(unit(160, 64, 1), unit(64, 96, 3)),
            branch1=Chain(unit(160, 64, 1), same(64, 64, (1, 7)), same(64, 64, (7, 1)), unit(64, 96, 3))),
        Branches(conv=unit(192, 192, 3, stride=2), maxpool=nn.MaxPool2d(3, 2)),
    )  # fmt: skip


def inception_a() -> Branches:
    """35×35, figure 4.  (N, 384, H, W) -> (N, 384, H, W)"""
    return Branches(
        branch0=unit(384, 96, 1),
        branch1=Chain(unit(384, 64, 1), same(64, 96, 3)),
        branch2=Chain(unit(384, 64, 1), same(64, 96, 3), same(96, 96, 3)),
        branch3=pooled(384, 96))  # fmt: skip


def reduction_a() -> Branches:
    """35×35 to 17×17, figure 7.  (N, 384, H, W) -> (N, 1024, (H-1)//2, (W-1)//2)"""
    return Branches(
        branch0=unit(384, 384, 3, stride=2),
        branch1=Chain(unit(384, 192, 1), same(192, 224, 3), unit(224, 256, 3, stride=2)),
        branch2=nn.MaxPool2d(3, 2))  # fmt: skip


def inception_b() -> Branches:
    """17×17, figure 5.  (N, 1024, H, W) -> (N, 1024, H, W)"""
    return Branches(
        branch0=unit(1024, 384, 1),
        branch1=Chain(unit(1024, 192, 1), same(192, 224, (1, 7)), same(224, 256, (7, 1))),
        branch2=Chain(unit(1024, 192, 1), same(192, 192, (7, 1)), same(192, 224, (1, 7)),
                      same(224, 224, (7, 1)), same(224, 256, (1, 7))),
        branch3=pooled(1024, 128))  # fmt: skip


def reduction_b() -> Branches:
    """17×17 to 8×8, figure 8.  (N, 1024, H, W) -> (N, 1536, (H-1)//2, (W-1)//2)"""
    return Branches(
        branch0=Chain(unit(1024, 192, 1), unit(192, 192, 3, stride=2)),
        branch1=Chain(unit(1024, 256, 1), same(256, 256, (1, 7)), same(256, 320, (7, 1)), unit(320, 320, 3, stride=2)),
        branch2=nn.MaxPool2d(3, 2))  # fmt: skip


def inception_c() -> Paths:
    """8×8, figure 6: branches that fork.  (N, 1536, H, W) -> (N, 1536, H, W)"""
    return Paths(
        dict(branch0=unit(1536, 256, 1)),
        (dict(branch1_0=unit(1536, 384, 1)),
         dict(branch1_1a=same(384, 256, (1, 3))),
         dict(branch1_1b=same(384, 256, (3, 1)))),
        (dict(branch2_0=unit(1536, 384, 1), branch2_1=same(384, 448, (3, 1)), branch2_2=same(448, 512, (1, 3))),
         dict(branch2_3a=same(512, 256, (1, 3))),
         dict(branch2_3b=same(512, 256, (3, 1)))),
        dict(branch3=pooled(1536, 256)))  # fmt: skip


def inception_v4(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper, figure 9."""
    return truncated_normal(Chain(
        features=Chain(
            *stem(in_chans),
            *(inception_a() for _ in range(4)), reduction_a(),
            *(inception_b() for _ in range(7)), reduction_b(),
            *(inception_c() for _ in range(3))),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.2),
        last_linear=nn.Linear(1536, num_classes)), 0.1)  # fmt: skip


register(Entry("inception_v4", inception_v4, year=2016, paper="arXiv:1602.07261",
    about="Uniform Inception blocks in larger number, behind a stem that branches, too.",
    input=(3, 299, 299), classes=1000, head="last_linear", stem="features.0.conv", look="features.21",
    smallest=75))  # fmt: skip
