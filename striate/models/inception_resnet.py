"""Inception-ResNet v1 and v2: Inception branches whose output, made small, is added to their input.

Szegedy, Ioffe, Vanhoucke & Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning", 2016, arXiv:1602.07261, figures 10 to 20.
Differs: v2 is the graph that was published with the paper: v3's stem and a 35×35 block of average pooling before the
residual ones, twice as many of these, and widths that differ from the figures. v1 has, in front of the logits, the
512 normalised features of FaceNet's implementations, the only ones there are (the paper: 1792 -> 1000). The last
residual block of both is not scaled and has no ReLU. Names are timm's (v2) and facenet-pytorch's (v1).
First weights: normal, deviation 0.1, as for Inception v3; the paper gives none.
"""

from torch import Tensor, nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Branches, Chain, ResidualPaths
from striate.models.registry import Entry, register


class Scale(nn.Module):
    """y = factor · x: small residuals keep the training of wide blocks stable (section 3.3)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def extra_repr(self) -> str:
        return str(self.factor)


def unit(c_in: int, c: int, k: int, stride: int = 1) -> Chain:
    """Convolution without padding (the figures' V), norm, ReLU."""
    return Chain(conv=nn.Conv2d(c_in, c, k, stride, bias=False), bn=norm(c, 0.001), relu=nn.ReLU())


def same(c_in: int, c: int, k: int | tuple[int, int]) -> Chain:
    """The same with padding, so that height and width stay."""
    return Chain(conv=conv(c_in, c, k), bn=norm(c, 0.001), relu=nn.ReLU())


def residual(c: int, made: int, scale: float, **branches: nn.Module) -> ResidualPaths:
    """Branches, a 1×1, and y = relu(x + scale · F(x)).  (N, c, H, W) -> (N, c, H, W)"""
    paths = ({name: branch} for name, branch in branches.items())
    last: nn.Module = nn.ReLU() if scale < 1 else nn.Identity()
    return ResidualPaths(nn.Identity(), last, *paths, conv2d=nn.Conv2d(made, c, 1), scale=Scale(scale))


def block35(c: int, c2: int, c3: int) -> ResidualPaths:
    """35×35, figures 10 and 16."""
    return residual(c, 64 + c3, 0.17,
        branch0=unit(c, 32, 1),
        branch1=Chain(unit(c, 32, 1), same(32, 32, 3)),
        branch2=Chain(unit(c, 32, 1), same(32, c2, 3), same(c2, c3, 3)))  # fmt: skip


def block17(c: int, c1: int, c2: int, c3: int) -> ResidualPaths:
    """17×17, figures 11 and 17."""
    return residual(c, c1 + c3, 0.1,
        branch0=unit(c, c1, 1),
        branch1=Chain(unit(c, 128, 1), same(128, c2, (1, 7)), same(c2, c3, (7, 1))))  # fmt: skip


def block8(c: int, c2: int, c3: int, scale: float = 0.2) -> ResidualPaths:
    """8×8, figures 13 and 19."""
    return residual(c, 192 + c3, scale,
        branch0=unit(c, 192, 1),
        branch1=Chain(unit(c, 192, 1), same(192, c2, (1, 3)), same(c2, c3, (3, 1))))  # fmt: skip


def mixed_5b() -> Branches:
    """35×35, as in Inception v3.  (N, 192, H, W) -> (N, 320, H, W)"""
    return Branches(
        branch0=unit(192, 96, 1),
        branch1=Chain(unit(192, 48, 1), same(48, 64, 5)),
        branch2=Chain(unit(192, 64, 1), same(64, 96, 3), same(96, 96, 3)),
        branch3=Chain(nn.AvgPool2d(3, 1, 1, count_include_pad=False), unit(192, 64, 1)))  # fmt: skip


def mixed_6a(c: int, k: int, m: int) -> Branches:
    """35×35 to 17×17, figure 7, n = 384.  (N, c, H, W) -> (N, c + 384 + m, (H-1)//2, (W-1)//2)"""
    return Branches(
        branch0=unit(c, 384, 3, stride=2),
        branch1=Chain(unit(c, k, 1), same(k, k, 3), unit(k, m, 3, stride=2)),
        branch2=nn.MaxPool2d(3, 2))  # fmt: skip


def mixed_7a(c: int, c1: int, c2: int) -> Branches:
    """17×17 to 8×8, figures 12 and 18.  (N, c, H, W) -> (N, c + 384 + c1 + c2, (H-1)//2, (W-1)//2)"""
    return Branches(
        branch0=Chain(unit(c, 256, 1), unit(256, 384, 3, stride=2)),
        branch1=Chain(unit(c, 256, 1), unit(256, c1, 3, stride=2)),
        branch2=Chain(unit(c, 256, 1), same(256, c1, 3), unit(c1, c2, 3, stride=2)),
        branch3=nn.MaxPool2d(3, 2))  # fmt: skip


def inception_resnet_v1(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper, figures 14 and 15."""
    return truncated_normal(Chain(
        conv2d_1a=unit(in_chans, 32, 3, stride=2), conv2d_2a=unit(32, 32, 3), conv2d_2b=same(32, 64, 3),
        maxpool_3a=nn.MaxPool2d(3, 2),
        conv2d_3b=unit(64, 80, 1), conv2d_4a=unit(80, 192, 3), conv2d_4b=unit(192, 256, 3, stride=2),
        repeat_1=Chain(*(block35(256, 32, 32) for _ in range(5))),
        mixed_6a=mixed_6a(256, 192, 256),
        repeat_2=Chain(*(block17(896, 128, 128, 128) for _ in range(10))),
        mixed_7a=mixed_7a(896, 256, 256),
        repeat_3=Chain(*(block8(1792, 192, 192) for _ in range(5))),
        block8=block8(1792, 192, 192, scale=1.0),
        avgpool_1a=nn.AdaptiveAvgPool2d(1), dropout=nn.Dropout(0.2), flatten=nn.Flatten(),
        last_linear=nn.Linear(1792, 512, bias=False), last_bn=nn.BatchNorm1d(512, 0.001),
        logits=nn.Linear(512, num_classes)), 0.1)  # fmt: skip


def inception_resnet_v2(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper, figure 15."""
    return truncated_normal(Chain(
        conv2d_1a=unit(in_chans, 32, 3, stride=2), conv2d_2a=unit(32, 32, 3), conv2d_2b=same(32, 64, 3),
        maxpool_3a=nn.MaxPool2d(3, 2),
        conv2d_3b=unit(64, 80, 1), conv2d_4a=unit(80, 192, 3),
        maxpool_5a=nn.MaxPool2d(3, 2),
        mixed_5b=mixed_5b(),
        repeat=Chain(*(block35(320, 48, 64) for _ in range(10))),
        mixed_6a=mixed_6a(320, 256, 384),
        repeat_1=Chain(*(block17(1088, 192, 160, 192) for _ in range(20))),
        mixed_7a=mixed_7a(1088, 288, 320),
        repeat_2=Chain(*(block8(2080, 224, 256) for _ in range(9))),
        block8=block8(2080, 224, 256, scale=1.0),
        conv2d_7b=unit(2080, 1536, 1),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.2),
        classif=nn.Linear(1536, num_classes)), 0.1)  # fmt: skip


PAPER = "arXiv:1602.07261"
register(Entry("inception_resnet_v1", inception_resnet_v1, year=2016, paper=PAPER,
    about="Inception blocks with residual connections, at the cost of Inception v3.",
    input=(3, 299, 299), classes=1000, head="logits", stem="conv2d_1a.conv", look="block8", smallest=75))  # fmt: skip
register(Entry("inception_resnet_v2", inception_resnet_v2, year=2016, paper=PAPER,
    about="Inception blocks with scaled residual connections, at the cost of Inception v4.",
    input=(3, 299, 299), classes=1000, head="classif", stem="conv2d_1a.conv", look="conv2d_7b",
    smallest=75))  # fmt: skip
