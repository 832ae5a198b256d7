"""DenseNet: every layer reads what all layers before it have made.

Huang, Liu, van der Maaten & Weinberger, "Densely Connected Convolutional Networks", 2016, arXiv:1608.06993: table 1 for
ImageNet, section 4.2 and table 2 for CIFAR (DenseNet-BC: 1×1 bottlenecks, and transitions that halve the channels).
Differs: no dropout (the paper has it on CIFAR without augmentation). 161 is an earlier version's.
Names are torchvision's; its weights load. It has no 264, but its class, built so, has these names too.
First weights: He normal by fan-out; the head as torch makes it.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Append, Chain
from striate.models.registry import Entry, register

ABOUT = "Every layer reads the outputs of all layers before it, so that few channels are enough."


def layer(c_in: int, k: int) -> Append:
    """Puts k new channels behind the c_in that there are.  (N, c_in, H, W) -> (N, c_in + k, H, W)"""
    return Append(
        norm1=norm(c_in),  relu1=nn.ReLU(), conv1=conv(c_in, 4 * k, 1),
        norm2=norm(4 * k), relu2=nn.ReLU(), conv2=conv(4 * k, k, 3))  # fmt: skip


def block(c_in: int, k: int, depth: int) -> Chain:
    """(N, c_in, H, W) -> (N, c_in + depth·k, H, W)"""
    return Chain(**{f"denselayer{i + 1}": layer(c_in + i * k, k) for i in range(depth)})


def transition(c: int) -> Chain:
    """(N, c, H, W) -> (N, c/2, H/2, W/2)"""
    return Chain(norm=norm(c), relu=nn.ReLU(), conv=conv(c, c // 2, 1), pool=nn.AvgPool2d(2))


def densenet(k: int, depths: tuple[int, int, int, int], num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    c1 = 2 * k + depths[0] * k  # channels at the end of each block
    c2 = c1 // 2 + depths[1] * k
    c3 = c2 // 2 + depths[2] * k
    c4 = c3 // 2 + depths[3] * k
    return he_normal(Chain(
        features=Chain(
            conv0=conv(in_chans, 2 * k, 7, stride=2), norm0=norm(2 * k), relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
            denseblock1=block(2 * k, k, depths[0]),   transition1=transition(c1),
            denseblock2=block(c1 // 2, k, depths[1]), transition2=transition(c2),
            denseblock3=block(c2 // 2, k, depths[2]), transition3=transition(c3),
            denseblock4=block(c3 // 2, k, depths[3]), norm5=norm(c4)),
        relu=nn.ReLU(), avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=nn.Linear(c4, num_classes)))  # fmt: skip


def densenet_bc(k: int, depth: int, num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 10) logits.  H and W are halved twice."""
    n = (depth - 4) // 6  # layers of two convolutions in a block
    c1 = 2 * k + n * k
    c2 = c1 // 2 + n * k
    c3 = c2 // 2 + n * k
    return he_normal(Chain(
        features=Chain(
            conv0=conv(in_chans, 2 * k, 3),
            denseblock1=block(2 * k, k, n),   transition1=transition(c1),
            denseblock2=block(c1 // 2, k, n), transition2=transition(c2),
            denseblock3=block(c2 // 2, k, n), norm5=norm(c3)),
        relu=nn.ReLU(), avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        classifier=nn.Linear(c3, num_classes)))  # fmt: skip


for depth, k, depths in [  # the paper's table 1
    (121, 32, (6, 12, 24, 16)),
    (169, 32, (6, 12, 32, 32)),
    (201, 32, (6, 12, 48, 32)),
    (264, 32, (6, 12, 64, 48)),
    (161, 48, (6, 12, 36, 24)),
]:
    register(Entry(f"densenet{depth}", partial(densenet, k, depths), year=2016, paper="arXiv:1608.06993", about=ABOUT,
        input=(3, 224, 224), classes=1000, head="classifier", stem="features.conv0", look="relu", smallest=29,
        aliases=(f"DenseNet{depth}",) if depth in (121, 169, 201) else ()))  # Keras  # fmt: skip
for depth, k in [(100, 12), (250, 24), (190, 40)]:  # table 2
    register(Entry(f"cifar_densenet_bc{depth}", partial(densenet_bc, k, depth), year=2016, paper="arXiv:1608.06993",
        about=ABOUT, input=(3, 32, 32), classes=10, head="classifier", stem="features.conv0", look="relu",
        smallest=4))  # fmt: skip
