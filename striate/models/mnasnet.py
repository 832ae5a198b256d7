"""MnasNet: the blocks of MobileNet v2, their sizes and repeats found by a search that timed them on a phone.

Tan, Chen, Pang, Vasudevan, Sandler, Howard & Le, "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
2018, arXiv:1807.11626.
Differs: this is the authors' network B1, without squeeze and excite, as torchvision has it (the paper draws A1, with
it, in figure 7). The running statistics of a norm move by 0.0003 a step, as torchvision's (the authors' 0.9997).
Names are torchvision's; its weights load. First weights: He normal by fan-out; the head He uniform by fan-out.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, whole8
from striate.blocks.wiring import Chain, Residual
from striate.models.registry import Entry, register

# expand, k, stride of the first, channels, blocks
STACKS = [(3, 3, 2,  24, 3),
          (3, 5, 2,  40, 3),
          (6, 5, 2,  80, 3),
          (6, 3, 1,  96, 2),
          (6, 5, 2, 192, 4),
          (6, 3, 1, 320, 1)]  # fmt: skip


def norm(c: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(c, momentum=1 - 0.9997)


def inverted(c_in: int, c: int, expand: int, k: int, stride: int) -> Chain:
    """1×1 to `expand` times the channels, k×k on each channel, 1×1 back, which is linear."""
    inner = c_in * expand
    layers = Chain(
        conv(c_in, inner, 1),                           norm(inner), nn.ReLU(),
        conv(inner, inner, k, stride, groups=inner),    norm(inner), nn.ReLU(),
        conv(inner, c, 1),                              norm(c))  # fmt: skip
    same_shape = stride == 1 and c_in == c
    return Residual(nn.Identity(), nn.Identity(), layers=layers) if same_shape else Chain(layers=layers)


def mnasnet(width: float, num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    stem, c = whole8(32 * width), whole8(16 * width)
    separable = [
        conv(in_chans, stem, 3, stride=2),   norm(stem), nn.ReLU(),
        conv(stem, stem, 3, groups=stem),    norm(stem), nn.ReLU(),
        conv(stem, c, 1),                    norm(c)]  # fmt: skip
    stacks = []
    for expand, k, stride, channels, depth in STACKS:
        stack = []
        for i in range(depth):
            c_in, c = c, whole8(channels * width)
            stack.append(inverted(c_in, c, expand, k, stride if i == 0 else 1))
        stacks.append(Chain(*stack))
    model = he_normal(Chain(
        layers=Chain(*separable, *stacks, conv(c, 1280, 1), norm(1280), nn.ReLU()),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=Chain(nn.Dropout(0.2), head := nn.Linear(1280, num_classes))))  # fmt: skip
    nn.init.kaiming_uniform_(head.weight, mode="fan_out", nonlinearity="sigmoid")
    nn.init.zeros_(head.bias)
    return model


for name, width, aliases in [
    ("mnasnet0_5",  0.5,  ("mnasnet_050",)),
    ("mnasnet0_75", 0.75, ("mnasnet_075",)),
    ("mnasnet1_0",  1.0,  ("mnasnet_100", "mnasnet_b1")),
    ("mnasnet1_3",  1.3,  ()),
]:  # fmt: skip
    register(Entry(name, partial(mnasnet, width), year=2018, paper="arXiv:1807.11626",
        about="Each stage's kernel, width and depth are searched, with the time on a phone in the goal.",
        input=(3, 224, 224), classes=1000, head="classifier.1", stem="layers.0", look="layers",
        aliases=aliases))  # fmt: skip
