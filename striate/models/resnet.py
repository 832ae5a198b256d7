"""ResNet: a block learns what to add to its input, y = relu(F(x) + x); and the same networks without it.

He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385, table 1.
Differs: a bottleneck strides on its 3×3, not its 1×1 ("v1.5"); `resnet50.paper` and the like are the paper's form.
The plain networks of figure 3 (`plain18`, `plain34`) lack the shortcuts. Names are torchvision's; its weights load.
First weights: He normal by fan-out; the head as torch makes it.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Residual
from striate.models.registry import Entry, register


def shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Identity or, where F changes the shape, a 1×1 projection (the paper's option B)."""
    same = c_in == c_out and stride == 1
    return nn.Identity() if same else Chain(conv(c_in, c_out, 1, stride), norm(c_out))


def basic(c_in: int, c: int, stride: int) -> Residual:
    """F = 3×3, 3×3.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, c, stride), nn.ReLU(),
        conv1=conv(c_in, c, 3, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c))  # fmt: skip


def bottleneck(c_in: int, c: int, stride: int) -> Residual:
    """F = 1×1, 3×3, 1×1.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, c, 1),         bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3, stride),    bn2=norm(c), relu2=nn.ReLU(),
        conv3=conv(c, 4 * c, 1),        bn3=norm(4 * c))  # fmt: skip


def bottleneck_2015(c_in: int, c: int, stride: int) -> Residual:
    """The paper's form, whose first 1×1 skips pixels.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, c, 1, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c), relu2=nn.ReLU(),
        conv3=conv(c, 4 * c, 1),        bn3=norm(4 * c))  # fmt: skip


def plain(c_in: int, c: int, stride: int) -> Chain:
    """The layers of `basic`, nothing added.  (N, c_in, H, W) -> (N, c, H/stride, W/stride)"""
    return Chain(
        conv1=conv(c_in, c, 3, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c), relu2=nn.ReLU())  # fmt: skip


def resnet(
    block: Callable[[int, int, int], Chain],
    widen: int,
    depths: tuple[int, ...],
    num_classes: int,
    in_chans: int,
    *,
    survival: float = 1.0,
) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""

    def stage(c_in: int, c: int, depth: int, stride: int) -> Chain:
        return Chain(block(c_in, c, stride), *(block(widen * c, c, 1) for _ in range(depth - 1)))

    return survive(he_normal(Chain(
        conv1=conv(in_chans, 64, 7, stride=2), bn1=norm(64), relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
        layer1=stage(64, 64, depths[0], stride=1),
        layer2=stage(widen * 64, 128, depths[1], stride=2),
        layer3=stage(widen * 128, 256, depths[2], stride=2),
        layer4=stage(widen * 256, 512, depths[3], stride=2),
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        fc=nn.Linear(widen * 512, num_classes))), survival)  # fmt: skip


ABOUT = "Blocks learn what to add to their input, so that very deep networks can be trained."
PLAIN = "ResNet without its shortcuts: the deeper network has the higher error, in training, too."

for name, block, widen, depths, about in [  # the paper's table 1
    ("resnet18",        basic,           1, (2, 2, 2, 2),  ABOUT),
    ("resnet34",        basic,           1, (3, 4, 6, 3),  ABOUT),
    ("resnet50",        bottleneck,      4, (3, 4, 6, 3),  ABOUT),
    ("resnet101",       bottleneck,      4, (3, 4, 23, 3), ABOUT),
    ("resnet152",       bottleneck,      4, (3, 8, 36, 3), ABOUT),
    ("resnet50.paper",  bottleneck_2015, 4, (3, 4, 6, 3),  ABOUT),
    ("resnet101.paper", bottleneck_2015, 4, (3, 4, 23, 3), ABOUT),
    ("resnet152.paper", bottleneck_2015, 4, (3, 8, 36, 3), ABOUT),
    ("plain18",         plain,           1, (2, 2, 2, 2),  PLAIN),
    ("plain34",         plain,           1, (3, 4, 6, 3),  PLAIN),
]:  # fmt: skip
    register(Entry(name, partial(resnet, block, widen, depths), year=2015, paper="arXiv:1512.03385", about=about,
        input=(3, 224, 224), classes=1000, head="fc", stem="conv1", look="layer4"))  # fmt: skip
