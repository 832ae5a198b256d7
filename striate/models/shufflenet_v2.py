"""ShuffleNet v2: half of the channels pass through a block untouched; a shuffle then mixes the halves.

Ma, Zhang, Zheng & Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", 2018,
arXiv:1807.11164, table 5 and figure 3 (c) and (d).
Differs: nothing known. The widths are those of the authors' code and of torchvision, 48 to 244 channels in stage 2.
Names are torchvision's; its weights load. First weights: as torch makes them, which is what torchvision's are.
"""

from functools import partial

from torch import nn

from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Chain, Paths, Split
from striate.models.registry import Entry, register


def right(c_in: int, c: int, stride: int) -> Chain:
    """1×1, 3×3 on each channel (linear), 1×1.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Chain(
        conv(c_in, c, 1),               norm(c), nn.ReLU(),
        conv(c, c, 3, stride, groups=c), norm(c),
        conv(c, c, 1),                  norm(c), nn.ReLU())  # fmt: skip


def basic(c: int) -> Split:
    """(N, c, H, W) -> (N, c, H, W); half of it is x's."""
    return Split(nn.ChannelShuffle(2), branch1=nn.Identity(), branch2=right(c // 2, c // 2, stride=1))


def down(c_in: int, c: int) -> Paths:
    """(N, c_in, H, W) -> (N, c, H/2, W/2): nothing is split, so that channels double."""
    left = Chain(
        conv(c_in, c_in, 3, stride=2, groups=c_in), norm(c_in),
        conv(c_in, c // 2, 1),                      norm(c // 2), nn.ReLU())  # fmt: skip
    return Paths({"branch1": left}, {"branch2": right(c_in, c // 2, stride=2)}, last=nn.ChannelShuffle(2))


def stage(c_in: int, c: int, depth: int) -> Chain:
    """(N, c_in, H, W) -> (N, c, H/2, W/2)"""
    return Chain(down(c_in, c), *(basic(c) for _ in range(depth - 1)))


def shufflenet_v2(c: int, last: int, num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    return Chain(
        conv1=Chain(conv(in_chans, 24, 3, stride=2), norm(24), nn.ReLU()),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
        stage2=stage(24, c, 4),
        stage3=stage(c, 2 * c, 8),
        stage4=stage(2 * c, 4 * c, 4),
        conv5=Chain(conv(4 * c, last, 1), norm(last), nn.ReLU()),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        fc=nn.Linear(last, num_classes))  # fmt: skip


for name, c, last in [  # channels of stage 2 and of conv5
    ("shufflenet_v2_x0_5", 48,  1024),
    ("shufflenet_v2_x1_0", 116, 1024),
    ("shufflenet_v2_x1_5", 176, 1024),
    ("shufflenet_v2_x2_0", 244, 2048),
]:  # fmt: skip
    register(Entry(name, partial(shufflenet_v2, c, last), year=2018, paper="arXiv:1807.11164",
        about="Channels are split, half are worked on and a shuffle mixes them: fast, not only small.",
        input=(3, 224, 224), classes=1000, head="fc", stem="conv1.0", look="conv5"))  # fmt: skip
