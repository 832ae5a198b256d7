"""SENet: each block looks at its channels as a whole, and says how much of each is to pass.

Hu, Shen, Albanie, Sun & Wu, "Squeeze-and-Excitation Networks", 2017, arXiv:1709.01507: table 1 and figure 3 for
SE-ResNet and SE-ResNeXt, the appendix for SENet-154.
Differs: nothing; as the authors' networks these pool behind the stem without padding, and SE-ResNet strides on the
first 1×1 (timm's `seresnet50` and `seresnext50_32x4d` do neither). Names are those of timm's `legacy_` networks; their
weights load. First weights: He normal by fan-out; the head as torch makes it.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Gate, Residual
from striate.models.registry import Entry, register

Block = Callable[[int, int, int], Residual]  # c_in, c, stride; it gives 4c channels
ABOUT = "A small gate in each block weighs the channels by what the whole image shows."


def squeeze_excite(c: int) -> Gate:
    """One weight between 0 and 1 for each channel.  (N, c, H, W) -> (N, c, H, W)"""
    return Gate(
        squeeze=nn.AdaptiveAvgPool2d(1),
        fc1=nn.Conv2d(c, c // 16, 1), relu=nn.ReLU(),
        fc2=nn.Conv2d(c // 16, c, 1), sigmoid=nn.Sigmoid())  # fmt: skip


def shortcut(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Identity or, where F changes the shape, a 1×1 projection."""
    same = c_in == c_out and stride == 1
    return nn.Identity() if same else Chain(conv(c_in, c_out, 1, stride), norm(c_out))


def shortcut_154(c_in: int, c_out: int, stride: int) -> nn.Module:
    """The same, but what skips pixels is a 3×3, so that it sees all of them."""
    if stride == 1:
        return shortcut(c_in, c_out, 1)
    return Chain(conv(c_in, c_out, 3, stride), norm(c_out))


def se_resnet_block(c_in: int, c: int, stride: int) -> Residual:
    """F = 1×1, 3×3, 1×1, gate.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, c, 1, stride), bn1=norm(c), relu1=nn.ReLU(),
        conv2=conv(c, c, 3),            bn2=norm(c), relu2=nn.ReLU(),
        conv3=conv(c, 4 * c, 1),        bn3=norm(4 * c),
        se_module=squeeze_excite(4 * c))  # fmt: skip


def se_resnext_block(c_in: int, c: int, stride: int) -> Residual:
    """F = 1×1, 3×3 in 32 groups, 1×1, gate.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, 2 * c, 1),              bn1=norm(2 * c), relu1=nn.ReLU(),
        conv2=conv(2 * c, 2 * c, 3, stride, 32), bn2=norm(2 * c), relu2=nn.ReLU(),
        conv3=conv(2 * c, 4 * c, 1),             bn3=norm(4 * c),
        se_module=squeeze_excite(4 * c))  # fmt: skip


def senet154_block(c_in: int, c: int, stride: int) -> Residual:
    """F = 1×1 at half the width, 3×3 in 64 groups, 1×1, gate.  (N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Residual(shortcut_154(c_in, 4 * c, stride), nn.ReLU(),
        conv1=conv(c_in, 2 * c, 1),              bn1=norm(2 * c), relu1=nn.ReLU(),
        conv2=conv(2 * c, 4 * c, 3, stride, 64), bn2=norm(4 * c), relu2=nn.ReLU(),
        conv3=conv(4 * c, 4 * c, 1),             bn3=norm(4 * c),
        se_module=squeeze_excite(4 * c))  # fmt: skip


def stage(block: Block, c_in: int, c: int, depth: int, stride: int) -> Chain:
    """(N, c_in, H, W) -> (N, 4c, H/stride, W/stride)"""
    return Chain(block(c_in, c, stride), *(block(4 * c, c, 1) for _ in range(depth - 1)))


def se_resnet(
    block: Block, depths: tuple[int, ...], num_classes: int, in_chans: int, *, survival: float = 1.0
) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    return survive(he_normal(Chain(
        layer0=Chain(conv1=conv(in_chans, 64, 7, stride=2), bn1=norm(64), relu1=nn.ReLU()),
        pool0=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        layer1=stage(block, 64, 64, depths[0], stride=1),
        layer2=stage(block, 256, 128, depths[1], stride=2),
        layer3=stage(block, 512, 256, depths[2], stride=2),
        layer4=stage(block, 1024, 512, depths[3], stride=2),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        last_linear=nn.Linear(2048, num_classes))), survival)  # fmt: skip


def senet154(num_classes: int, in_chans: int, *, survival: float = 1.0) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times; the stem is three 3×3."""
    return survive(he_normal(Chain(
        layer0=Chain(
            conv1=conv(in_chans, 64, 3, stride=2), bn1=norm(64),  relu1=nn.ReLU(),
            conv2=conv(64, 64, 3),                 bn2=norm(64),  relu2=nn.ReLU(),
            conv3=conv(64, 128, 3),                bn3=norm(128), relu3=nn.ReLU()),
        pool0=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        layer1=stage(senet154_block, 128, 64, 3, stride=1),
        layer2=stage(senet154_block, 256, 128, 8, stride=2),
        layer3=stage(senet154_block, 512, 256, 36, stride=2),
        layer4=stage(senet154_block, 1024, 512, 3, stride=2),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.2),
        last_linear=nn.Linear(2048, num_classes))), survival)  # fmt: skip


for name, build in [
    ("resnet50",        partial(se_resnet, se_resnet_block, (3, 4, 6, 3))),
    ("resnet101",       partial(se_resnet, se_resnet_block, (3, 4, 23, 3))),
    ("resnet152",       partial(se_resnet, se_resnet_block, (3, 8, 36, 3))),
    ("resnext50_32x4d", partial(se_resnet, se_resnext_block, (3, 4, 6, 3))),
]:  # fmt: skip
    register(Entry(f"se_{name}", build, year=2017, paper="arXiv:1709.01507", about=ABOUT,
        input=(3, 224, 224), classes=1000, head="last_linear", stem="layer0.conv1", look="layer4",
        smallest=3, aliases=(f"legacy_se{name}",)))  # fmt: skip
register(Entry("senet154", senet154, year=2017, paper="arXiv:1709.01507", about=ABOUT,
    input=(3, 224, 224), classes=1000, head="last_linear", stem="layer0.conv1", look="layer4",
    smallest=3, aliases=("legacy_senet154",)))  # fmt: skip
