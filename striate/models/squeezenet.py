"""SqueezeNet: AlexNet's accuracy with 50 times fewer weights.

Most windows are 1×1, few channels reach each 3×3, and pooling comes late.

Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size", 2016, arXiv:1602.07360, table 1 and figure 2; 1.1 is the authors' later, cheaper form.
Differs: at 224×224 the first map is 109×109; the 111×111 of table 1 needs 227×227. The authors' Caffe file also pads
the last 1×1 convolution by a pixel; here, as in table 1 and in torchvision, it does not. Bypasses add behind the
ReLUs, as the authors' Caffe file does. The 7.7 MB printed for the complex bypass are 6.4 MB by our count.
Names are torchvision's; its weights load, and those of 1.0 fit the simple bypass. First weights: He uniform by fan-in,
zero bias; the last convolution normal, deviation 0.01.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from striate.blocks.wiring import Chain, Paths, ResidualPaths
from striate.models.registry import Entry, register

Fire = tuple[dict[str, nn.Module], dict[str, nn.Module], dict[str, nn.Module]]


def squeeze_expand(c_in: int, c: int) -> Fire:
    """A 1×1 to c / 8 channels, then half of c from a 1×1 and half from a 3×3 side by side."""
    few, half = c // 8, c // 2
    return (dict(squeeze=nn.Conv2d(c_in, few, 1), squeeze_activation=nn.ReLU()),
            dict(expand1x1=nn.Conv2d(few, half, 1), expand1x1_activation=nn.ReLU()),
            dict(expand3x3=nn.Conv2d(few, half, 3, padding=1), expand3x3_activation=nn.ReLU()))  # fmt: skip


def fire(c_in: int, c: int) -> nn.Module:
    """(N, c_in, H, W) -> (N, c, H, W)"""
    return Paths(squeeze_expand(c_in, c))


def simple(c_in: int, c: int) -> nn.Module:
    """With x added where the number of channels stays.  (N, c_in, H, W) -> (N, c, H, W)"""
    return ResidualPaths(nn.Identity(), nn.Identity(), squeeze_expand(c_in, c)) if c_in == c else fire(c_in, c)


def projected(c_in: int, c: int) -> nn.Module:
    """With x added, through a 1×1 where the number of channels grows.  (N, c_in, H, W) -> (N, c, H, W)"""
    shortcut = nn.Identity() if c_in == c else nn.Conv2d(c_in, c, 1)
    return ResidualPaths(shortcut, nn.Identity(), squeeze_expand(c_in, c))


def pool() -> nn.MaxPool2d:
    """3×3, stride 2; a last window may hang over the edge, as in Caffe."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def network(features: Chain, num_classes: int) -> Chain:
    """A last convolution makes one map for each class; the mean of the map is the logit."""
    last = nn.Conv2d(512, num_classes, 1)
    net = Chain(
        features=features,
        classifier=Chain(nn.Dropout(0.5), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        flatten=nn.Flatten())  # fmt: skip
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(last.weight, 0.0, 0.01)
    return net


def squeezenet1_0(block: Callable[[int, int], nn.Module], num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; table 1."""
    return network(Chain(
        nn.Conv2d(in_chans, 96, 7, stride=2), nn.ReLU(), pool(),
        block(96, 128), block(128, 128), block(128, 256), pool(),
        block(256, 256), block(256, 384), block(384, 384), block(384, 512), pool(),
        block(512, 512)), num_classes)  # fmt: skip


def squeezenet1_1(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 2.4 times cheaper: a smaller first window, and pooling earlier."""
    return network(Chain(
        nn.Conv2d(in_chans, 64, 3, stride=2), nn.ReLU(), pool(),
        fire(64, 128), fire(128, 128), pool(),
        fire(128, 256), fire(256, 256), pool(),
        fire(256, 384), fire(384, 384), fire(384, 512), fire(512, 512)), num_classes)  # fmt: skip


FORMS: list[tuple[str, int, Callable[..., nn.Module], str]] = [
    ("squeezenet1_0", 21, partial(squeezenet1_0, fire),
     "Few, mostly 1×1 filters reach AlexNet's accuracy with 50 times fewer weights."),
    ("squeezenet1_1", 17, squeezenet1_1,
     "SqueezeNet with a smaller first window and earlier pooling: 2.4 times fewer operations."),
    ("squeezenet_simple_bypass", 21, partial(squeezenet1_0, simple),
     "SqueezeNet with every second Fire module's input added to its output."),
    ("squeezenet_complex_bypass", 21, partial(squeezenet1_0, projected),
     "SqueezeNet with every Fire module bypassed, by a 1×1 convolution where channels grow."),
]  # fmt: skip
for name, smallest, build, about in FORMS:
    register(Entry(name, build, year=2016, paper="arXiv:1602.07360", about=about,
        input=(3, 224, 224), classes=1000, head="classifier.1", stem="features.0", look="features",
        smallest=smallest))  # fmt: skip
