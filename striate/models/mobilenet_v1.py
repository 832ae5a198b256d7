"""MobileNet v1: a 3×3 on each channel by itself, then a 1×1 across channels, for a ninth of the multiply-adds.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto & Adam, "MobileNets: Efficient Convolutional Neural Networks
for Mobile Vision Applications", 2017, arXiv:1704.04861, table 1; the two networks it is compared with, tables 4 and 5.
Differs: ReLU6, with which all published weights were trained (the paper: ReLU); the last block has stride 1, as its
output of 7×7 requires (table 1 prints 2). Table 4 counts full convolutions at 4,866 million, without the classifier.
`tensorflow=True` pads and normalises as the weights of TF-Slim and Keras were trained; they fit nothing else.
Names are timm's; its weights load. First weights: He normal by fan-out; the head as torch makes it.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.blocks import same
from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register

Conv = Callable[..., nn.Conv2d]

# channels, blocks, stride of the first
TABLE   = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]  # fmt: skip
SHALLOW = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 1, 2), (1024, 2, 2)]


def separable(c_in: int, c: int, stride: int, conv: Conv, eps: float) -> Chain:
    """(N, c_in, H, W) -> (N, c, H/stride, W/stride), in c_in·9 + c_in·c multiply-adds a position."""
    return Chain(
        conv_dw=conv(c_in, c_in, 3, stride, groups=c_in), bn1=norm(c_in, eps), relu1=nn.ReLU6(),
        conv_pw=conv(c_in, c, 1),                         bn2=norm(c, eps),    relu2=nn.ReLU6())  # fmt: skip


def full(c_in: int, c: int, stride: int, conv: Conv, eps: float) -> Chain:
    """The same shapes in 9·c_in·c multiply-adds a position."""
    return Chain(conv=conv(c_in, c, 3, stride), bn=norm(c, eps), relu=nn.ReLU6())


def mobilenet_v1(
    block: Callable[[int, int, int, Conv, float], Chain], table: list[tuple[int, int, int]], width: float,
    num_classes: int, in_chans: int, *, tensorflow: bool = False,
) -> Chain:  # fmt: skip
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    conv_, eps = (same.conv_same, 1e-3) if tensorflow else (conv, 1e-5)
    c, stages = (stem := int(32 * width)), []
    for channels, depth, stride in table:
        c_in, c = c, int(channels * width)
        stages.append(Chain(
            block(c_in, c, stride, conv_, eps), *(block(c, c, 1, conv_, eps) for _ in range(depth - 1))))  # fmt: skip
    return he_normal(Chain(
        conv_stem=conv_(in_chans, stem, 3, stride=2), bn1=norm(stem, eps), relu1=nn.ReLU6(),
        blocks=Chain(*stages),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=nn.Linear(c, num_classes)))  # fmt: skip


def add(name: str, build: Callable[..., Chain], about: str, side: int = 224, aliases: tuple[str, ...] = ()) -> None:
    register(Entry(name, build, year=2017, paper="arXiv:1704.04861", about=about,
        input=(3, side, side), classes=1000, head="classifier", stem="conv_stem", look="blocks",
        aliases=aliases))  # fmt: skip


for width in (1, 0.75, 0.5, 0.25):
    for side in (224, 192, 160, 128):
        add(f"mobilenet_v1_{width}_{side}", partial(mobilenet_v1, separable, TABLE, width),
            "Depthwise separable convolutions, with multipliers for width and resolution.",
            side, ("mobilenetv1_100",) if (width, side) == (1, 224) else ())  # fmt: skip
add("mobilenet_v1_shallow", partial(mobilenet_v1, separable, SHALLOW, 1),
    "MobileNet without five blocks of 512 channels: thin is better than shallow.")  # fmt: skip
add("mobilenet_v1_fullconv", partial(mobilenet_v1, full, TABLE, 1),
    "MobileNet with full convolutions: what its separable ones save, and what they cost.")  # fmt: skip
