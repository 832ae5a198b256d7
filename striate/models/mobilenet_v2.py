"""MobileNet v2: residual blocks turned inside out, thin between blocks, wide inside, and linear at the thin ends.

Sandler, Howard, Zhu, Zhmoginov & Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018,
arXiv:1801.04381, table 2.
Differs: the paper prints 3.4 and 6.9 million parameters for widths 1 and 1.4; its table has 3,504,872 and 6,108,776,
and so has every implementation. A width multiplier below 1 leaves the last 1280 channels as they are, as in the paper.
`tensorflow=True` pads and normalises as the weights of TF-Slim and Keras were trained; they fit nothing else.
Names are torchvision's; its weights load. First weights: He normal by fan-out; the head normal, deviation 0.01.
"""

from functools import partial

from torch import nn

from striate.blocks import same
from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm, whole8
from striate.blocks.wiring import Chain, Residual
from striate.models.registry import Entry, register

# expand, channels, blocks, stride of the first
TABLE = [(1,  16, 1, 1),
         (6,  24, 2, 2),
         (6,  32, 3, 2),
         (6,  64, 4, 2),
         (6,  96, 3, 1),
         (6, 160, 3, 2),
         (6, 320, 1, 1)]  # fmt: skip


def mobilenet_v2(width: float, num_classes: int, in_chans: int, *, tensorflow: bool = False) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    conv_, eps = (same.conv_same, 1e-3) if tensorflow else (conv, 1e-5)

    def unit(c_in: int, c: int, k: int, stride: int = 1, groups: int = 1) -> Chain:
        return Chain(conv_(c_in, c, k, stride, groups), norm(c, eps), nn.ReLU6())

    def inverted(c_in: int, c: int, expand: int, stride: int) -> Chain:
        """1×1 to `expand` times the channels, 3×3 on each channel, 1×1 back, which is linear."""
        inner = c_in * expand
        steps = Chain(
            *([] if expand == 1 else [unit(c_in, inner, 1)]),
            unit(inner, inner, 3, stride, groups=inner),
            conv_(inner, c, 1), norm(c, eps))  # fmt: skip
        same_shape = stride == 1 and c_in == c
        return Residual(nn.Identity(), nn.Identity(), conv=steps) if same_shape else Chain(conv=steps)

    c, last = whole8(32 * width), whole8(1280 * max(1.0, width))
    features = [unit(in_chans, c, 3, stride=2)]
    for expand, channels, depth, stride in TABLE:
        for i in range(depth):
            c_in, c = c, whole8(channels * width)
            features.append(inverted(c_in, c, expand, stride if i == 0 else 1))
    model = he_normal(Chain(
        features=Chain(*features, unit(c, last, 1)),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=Chain(nn.Dropout(0.2), head := nn.Linear(last, num_classes))))  # fmt: skip
    nn.init.normal_(head.weight, 0, 0.01)
    nn.init.zeros_(head.bias)
    return model


for name, width, aliases in [
    ("mobilenet_v2",      1.0,  ("mobilenetv2_100",)),
    ("mobilenet_v2_0.35", 0.35, ("mobilenetv2_035",)),
    ("mobilenet_v2_0.5",  0.5,  ("mobilenetv2_050",)),
    ("mobilenet_v2_0.75", 0.75, ("mobilenetv2_075",)),
    ("mobilenet_v2_1.3",  1.3,  ()),
    ("mobilenet_v2_1.4",  1.4,  ("mobilenetv2_140",)),
]:  # fmt: skip
    register(Entry(name, partial(mobilenet_v2, width), year=2018, paper="arXiv:1801.04381",
        about="Inverted residuals: thin linear ends are added, a depthwise 3×3 works wide in between.",
        input=(3, 224, 224), classes=1000, head="classifier.1", stem="features.0.0", look="features",
        aliases=aliases))  # fmt: skip
