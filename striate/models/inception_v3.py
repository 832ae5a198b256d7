"""Inception v2 and v3: large windows become several small or flat ones, n×n as n×1 after 1×n.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, "Rethinking the Inception Architecture for Computer Vision", 2015,
arXiv:1512.00567, table 1 and figures 5 to 7 and 10.
Differs: the widths are not in the paper; v3's are those of the graph that was published with it (where table 1 has a
3×3 for the 1×1 of `Conv2d_3b_1x1`). `inception_v2_table1` is that table and a reading of it: its sizes are printed;
that its widths are v3's, and that its counts of blocks (3, 5, 2) include the two that halve, is guessed. It takes 5.7
billion multiply-adds, as v3 does; the paper prints 3.8 and, with the 7×7 factorised, 4.8. Average pooling counts the
zeros of the padding, which TensorFlow does not: `tensorflow=True` is for the weights that were trained there (Keras'
have no scale in their norms: 1). Names are torchvision's; its weights load.
First weights: normal, deviation 0.1; the auxiliary head's 0.01 and 0.001.
"""

from typing import NamedTuple

from torch import Tensor, nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Chain, Paths, Taps
from striate.models.registry import Entry, register


class InceptionOutputs(NamedTuple):
    """What the network gives in training when it has its auxiliary head."""

    logits: Tensor
    aux_logits: Tensor

    @property
    def share(self) -> float:
        """The weight of the auxiliary loss beside the main one.  Source: TF-Slim; the paper prints none."""
        return 0.4


def unit(c_in: int, c: int, k: int, stride: int = 1) -> Chain:
    """Convolution without padding, norm, ReLU."""
    return Chain(conv=nn.Conv2d(c_in, c, k, stride, bias=False), bn=norm(c, 0.001), relu=nn.ReLU())


def same(c_in: int, c: int, k: int | tuple[int, int]) -> Chain:
    """The same with padding, so that height and width stay."""
    return Chain(conv=conv(c_in, c, k), bn=norm(c, 0.001), relu=nn.ReLU())


def mixed_a(c_in: int, pooled: int) -> Paths:
    """35×35, figure 5: the 5×5 of GoogLeNet as two 3×3.  (N, c_in, H, W) -> (N, 224 + pooled, H, W)"""
    return Paths(
        dict(branch1x1=unit(c_in, 64, 1)),
        dict(branch5x5_1=unit(c_in, 48, 1), branch5x5_2=same(48, 64, 5)),
        dict(branch3x3dbl_1=unit(c_in, 64, 1), branch3x3dbl_2=same(64, 96, 3),
             branch3x3dbl_3=same(96, 96, 3)),
        dict(pool=nn.AvgPool2d(3, 1, 1), branch_pool=unit(c_in, pooled, 1)))  # fmt: skip


def mixed_b(c_in: int) -> Paths:
    """35×35 to 17×17, figure 10.  (N, c_in, H, W) -> (N, c_in + 480, (H-1)//2, (W-1)//2)"""
    return Paths(
        dict(branch3x3=unit(c_in, 384, 3, stride=2)),
        dict(branch3x3dbl_1=unit(c_in, 64, 1), branch3x3dbl_2=same(64, 96, 3),
             branch3x3dbl_3=unit(96, 96, 3, stride=2)),
        dict(pool=nn.MaxPool2d(3, 2)))  # fmt: skip


def mixed_c(c: int) -> Paths:
    """17×17, figure 6, n = 7.  (N, 768, H, W) -> (N, 768, H, W)"""
    wide, tall = (1, 7), (7, 1)
    return Paths(
        dict(branch1x1=unit(768, 192, 1)),
        dict(branch7x7_1=unit(768, c, 1), branch7x7_2=same(c, c, wide), branch7x7_3=same(c, 192, tall)),
        dict(branch7x7dbl_1=unit(768, c, 1), branch7x7dbl_2=same(c, c, tall), branch7x7dbl_3=same(c, c, wide),
             branch7x7dbl_4=same(c, c, tall), branch7x7dbl_5=same(c, 192, wide)),
        dict(pool=nn.AvgPool2d(3, 1, 1), branch_pool=unit(768, 192, 1)))  # fmt: skip


def mixed_d() -> Paths:
    """17×17 to 8×8.  (N, 768, H, W) -> (N, 1280, (H-1)//2, (W-1)//2)"""
    return Paths(
        dict(branch3x3_1=unit(768, 192, 1), branch3x3_2=unit(192, 320, 3, stride=2)),
        dict(branch7x7x3_1=unit(768, 192, 1), branch7x7x3_2=same(192, 192, (1, 7)),
             branch7x7x3_3=same(192, 192, (7, 1)), branch7x7x3_4=unit(192, 192, 3, stride=2)),
        dict(pool=nn.MaxPool2d(3, 2)))  # fmt: skip


def mixed_e(c_in: int) -> Paths:
    """8×8, figure 7: branches that fork.  (N, c_in, H, W) -> (N, 2048, H, W)"""
    wide, tall = (1, 3), (3, 1)
    return Paths(
        dict(branch1x1=unit(c_in, 320, 1)),
        (dict(branch3x3_1=unit(c_in, 384, 1)),
         dict(branch3x3_2a=same(384, 384, wide)),
         dict(branch3x3_2b=same(384, 384, tall))),
        (dict(branch3x3dbl_1=unit(c_in, 448, 1), branch3x3dbl_2=same(448, 384, 3)),
         dict(branch3x3dbl_3a=same(384, 384, wide)),
         dict(branch3x3dbl_3b=same(384, 384, tall))),
        dict(pool=nn.AvgPool2d(3, 1, 1), branch_pool=unit(c_in, 192, 1)))  # fmt: skip


def auxiliary(num_classes: int) -> Chain:
    """The head on the last 17×17 map.  (N, 768, 17, 17) -> (N, 1000); larger maps, too"""
    return Chain(
        pool=nn.AvgPool2d(5, 3), conv0=unit(768, 128, 1), conv1=unit(128, 768, 5),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(768, num_classes))  # fmt: skip


def inception_v3(num_classes: int, in_chans: int, *, aux: bool = False, tensorflow: bool = False) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper."""
    net = _inception_v3(num_classes, in_chans, aux)
    for layer in net.modules():
        if isinstance(layer, nn.AvgPool2d):
            layer.count_include_pad = not tensorflow
    return net


def _inception_v3(num_classes: int, in_chans: int, aux: bool) -> Chain:
    before = dict(
        Conv2d_1a_3x3=unit(in_chans, 32, 3, stride=2),
        Conv2d_2a_3x3=unit(32, 32, 3),
        Conv2d_2b_3x3=same(32, 64, 3),
        maxpool1=nn.MaxPool2d(3, 2),
        Conv2d_3b_1x1=unit(64, 80, 1),
        Conv2d_4a_3x3=unit(80, 192, 3),
        maxpool2=nn.MaxPool2d(3, 2),
        Mixed_5b=mixed_a(192, 32), Mixed_5c=mixed_a(256, 64), Mixed_5d=mixed_a(288, 64),
        Mixed_6a=mixed_b(288),
        Mixed_6b=mixed_c(128), Mixed_6c=mixed_c(160), Mixed_6d=mixed_c(160), Mixed_6e=mixed_c(192))  # fmt: skip
    after = dict(
        Mixed_7a=mixed_d(),
        Mixed_7b=mixed_e(1280), Mixed_7c=mixed_e(2048),
        avgpool=nn.AdaptiveAvgPool2d(1), dropout=nn.Dropout(0.5), flatten=nn.Flatten(),
        fc=nn.Linear(2048, num_classes))  # fmt: skip
    if not aux:
        return truncated_normal(Chain(**before, **after), 0.1)
    head = auxiliary(num_classes)
    net = Taps(InceptionOutputs, {"AuxLogits": "aux_logits"}, **before, AuxLogits=head, **after)
    truncated_normal(net, 0.1)
    truncated_normal(head.get_submodule("conv1"), 0.01)
    truncated_normal(head.get_submodule("fc"), 0.001)
    return net


def inception_v2_table1(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper: one line a row of table 1.

    Printed: the kernel, the stride and the output of each row. Guessed: the widths within the blocks (v3's), that the
    3, 5 and 2 blocks include the two that halve, norms and ReLUs behind all convolutions, and no auxiliary head.
    """
    return truncated_normal(Chain(
        conv1=unit(in_chans, 32, 3, stride=2),
        conv2=unit(32, 32, 3),
        conv3=same(32, 64, 3),
        pool1=nn.MaxPool2d(3, 2),
        conv4=unit(64, 80, 3),
        conv5=unit(80, 192, 3, stride=2),
        conv6=same(192, 288, 3),
        inception1=Chain(mixed_a(288, 64), mixed_a(288, 64), mixed_b(288)),
        inception2=Chain(mixed_c(128), mixed_c(160), mixed_c(160), mixed_c(192), mixed_d()),
        inception3=Chain(mixed_e(1280), mixed_e(2048)),
        pool2=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        logits=nn.Linear(2048, num_classes)), 0.1)  # fmt: skip


PAPER = "arXiv:1512.00567"
register(Entry("inception_v2_table1", inception_v2_table1, year=2015, paper=PAPER,
    about="Inception v2 as its table outlines it: the 7×7 and 5×5 windows as 3×3, the others flat.",
    input=(3, 299, 299), classes=1000, head="logits", stem="conv1.conv", look="inception3", smallest=75))  # fmt: skip
register(Entry("inception_v3", inception_v3, year=2015, paper=PAPER,
    about="Windows are factorised: 5×5 into two 3×3, 7×7 into 1×7 and 7×1.",
    input=(3, 299, 299), classes=1000, head="fc", stem="Conv2d_1a_3x3.conv", look="Mixed_7c",
    smallest=75))  # fmt: skip
