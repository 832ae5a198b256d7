"""EfficientNet: one network, scaled in width, depth and resolution at once.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019, arXiv:1905.11946,
table 1 for B0 and table 2 for its scaled forms.
Differs: padding is symmetric, as in torchvision (the authors': TensorFlow's). Norms have torchvision's constants: eps
1e-5, from B5 on 1e-3 and momentum 0.01 (the paper: momentum 0.99, which is 0.01 here). The counts of B4 and B5 are
4.39 and 10.27 billion multiply-adds where table 2 prints 4.2 and 9.9.
`tensorflow=True` pads and normalises as the authors' and Keras' weights were trained; they fit nothing else.
Names are torchvision's; its weights load. First weights: He normal by fan-out, zero bias; the head uniform within
±1/sqrt(classes). Blocks are left out by stochastic depth, up to 0.2 in the last, as in section 5.2.
"""

from functools import partial
from math import ceil

from torch import nn

from striate.blocks import same
from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, whole8
from striate.blocks.stochastic import StochasticDepth
from striate.blocks.wiring import Chain, Gate, Residual
from striate.models.registry import Entry, register

# expand, k, stride of the first, channels, blocks: stages 2 to 8 of the paper's table 1
STAGES = [(1, 3, 1,  16, 1),
          (6, 3, 2,  24, 2),
          (6, 5, 2,  40, 2),
          (6, 3, 2,  80, 3),
          (6, 5, 1, 112, 3),
          (6, 5, 2, 192, 4),
          (6, 3, 1, 320, 1)]  # fmt: skip


def squeeze_excite(c: int, c_mid: int) -> Gate:
    """Each channel is multiplied by a number in 0…1 that depends on the means of all of them."""
    return Gate(
        avgpool=nn.AdaptiveAvgPool2d(1),
        fc1=nn.Conv2d(c, c_mid, 1), activation=nn.SiLU(),
        fc2=nn.Conv2d(c_mid, c, 1), scale_activation=nn.Sigmoid())  # fmt: skip


def efficientnet(
    width: float, depth: float, dropout: float, eps: float, momentum: float, num_classes: int, in_chans: int,
    *, tensorflow: bool = False,
) -> Chain:  # fmt: skip
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    conv_, eps = (same.conv_same, 1e-3) if tensorflow else (conv, eps)

    def linear(c_in: int, c: int, k: int, stride: int = 1, groups: int = 1) -> Chain:
        return Chain(conv_(c_in, c, k, stride, groups), nn.BatchNorm2d(c, eps, momentum))

    def unit(c_in: int, c: int, k: int, stride: int = 1, groups: int = 1) -> Chain:
        return Chain(*linear(c_in, c, k, stride, groups).children(), nn.SiLU())

    def mbconv(c_in: int, c: int, expand: int, k: int, stride: int, p: float) -> Chain:
        """1×1 to `expand` times the channels, k×k on each channel, squeeze and excite, 1×1 back, which is linear."""
        inner = c_in * expand
        block = Chain(
            *([] if expand == 1 else [unit(c_in, inner, 1)]),
            unit(inner, inner, k, stride, groups=inner),
            squeeze_excite(inner, max(1, c_in // 4)),
            linear(inner, c, 1))  # fmt: skip
        if stride != 1 or c_in != c:
            return Chain(block=block)
        return Residual(nn.Identity(), nn.Identity(), block=block, stochastic_depth=StochasticDepth(p))

    c = whole8(32 * width)
    features = [unit(in_chans, c, 3, stride=2)]
    done, blocks = 0, sum(ceil(n * depth) for *_, n in STAGES)
    for expand, k, stride, channels, n in STAGES:
        stage = []
        for i in range(ceil(n * depth)):
            c_in, c = c, whole8(channels * width)
            stage.append(mbconv(c_in, c, expand, k, stride if i == 0 else 1, p=0.2 * done / blocks))
            done += 1
        features.append(Chain(*stage))
    model = he_normal(Chain(
        features=Chain(*features, unit(c, 4 * c, 1)),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=Chain(nn.Dropout(dropout), head := nn.Linear(4 * c, num_classes))))  # fmt: skip
    nn.init.uniform_(head.weight, -(num_classes**-0.5), num_classes**-0.5)
    nn.init.zeros_(head.bias)
    return model


for name, width, depth, side, dropout, eps, momentum in [
    ("efficientnet_b0", 1.0, 1.0, 224, 0.2, 1e-5, 0.1),
    ("efficientnet_b1", 1.0, 1.1, 240, 0.2, 1e-5, 0.1),
    ("efficientnet_b2", 1.1, 1.2, 260, 0.3, 1e-5, 0.1),
    ("efficientnet_b3", 1.2, 1.4, 300, 0.3, 1e-5, 0.1),
    ("efficientnet_b4", 1.4, 1.8, 380, 0.4, 1e-5, 0.1),
    ("efficientnet_b5", 1.6, 2.2, 456, 0.4, 1e-3, 0.01),
    ("efficientnet_b6", 1.8, 2.6, 528, 0.5, 1e-3, 0.01),
    ("efficientnet_b7", 2.0, 3.1, 600, 0.5, 1e-3, 0.01),
]:
    register(Entry(name, partial(efficientnet, width, depth, dropout, eps, momentum), year=2019,
        paper="arXiv:1905.11946", about="Width, depth and resolution are scaled together, from one searched base.",
        input=(3, side, side), classes=1000, head="classifier.1", stem="features.0.0", look="features"))  # fmt: skip
