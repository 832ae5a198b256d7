"""Xception: "extreme Inception", where every channel is a branch: depthwise convolutions, then 1×1 across channels.

Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2016, arXiv:1610.02357, figure 5.
Differs: pooling is padded by one on all sides; TensorFlow pads even maps on one side only. `tensorflow=True` pads and
normalises as Keras' weights were trained; they fit nothing else. Names are timm's, which calls it `legacy_xception`;
its weights load.
First weights: Glorot uniform, Keras' default.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import glorot_uniform
from striate.blocks.layers import conv, norm
from striate.blocks.same import SameMaxPool2d
from striate.blocks.wiring import Chain, Path, Sum
from striate.models.registry import Entry, register


def separable(c_in: int, c: int) -> Chain:
    """3×3 in each channel, then 1×1 across them; nothing between."""
    return Chain(conv1=conv(c_in, c_in, 3, groups=c_in), pointwise=conv(c_in, c, 1))


def block(c_in: int, *widths: int, stride: int = 1, relu: bool = True, tensorflow: bool = False) -> Sum:
    """Separable convolutions, each behind a ReLU, and a shortcut around them.

    (N, c_in, H, W) -> (N, widths[-1], ceil(H/stride), ceil(W/stride))
    """
    steps: list[nn.Module] = []
    eps = 1e-3 if tensorflow else 1e-5
    for before, c in zip((c_in, *widths), widths, strict=False):
        steps += [nn.ReLU(), separable(before, c), norm(c, eps)]
    if stride > 1:
        steps.append(SameMaxPool2d(3, stride) if tensorflow else nn.MaxPool2d(3, stride, 1))
    rep = Chain(*steps[0 if relu else 1 :])
    skip: Path = {} if stride == 1 else dict(skip=conv(c_in, widths[-1], 1, stride), skipbn=norm(widths[-1], eps))
    return Sum(dict(rep=rep), skip)


def xception(num_classes: int, in_chans: int, *, tensorflow: bool = False) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 299×299 in the paper."""
    mixed, eps = partial(block, tensorflow=tensorflow), 1e-3 if tensorflow else 1e-5
    return glorot_uniform(Chain(
        conv1=nn.Conv2d(in_chans, 32, 3, 2, bias=False), bn1=norm(32, eps), act1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3, bias=False), bn2=norm(64, eps), act2=nn.ReLU(),
        block1=mixed(64, 128, 128, stride=2, relu=False),
        block2=mixed(128, 256, 256, stride=2),
        block3=mixed(256, 728, 728, stride=2),
        **{f"block{i}": mixed(728, 728, 728, 728) for i in range(4, 12)},
        block12=mixed(728, 728, 1024, stride=2),
        conv3=separable(1024, 1536), bn3=norm(1536, eps), act3=nn.ReLU(),
        conv4=separable(1536, 2048), bn4=norm(2048, eps), act4=nn.ReLU(),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), dropout=nn.Dropout(0.5),
        fc=nn.Linear(2048, num_classes)))  # fmt: skip


register(Entry("xception", xception, year=2016, paper="arXiv:1610.02357",
    about="Depthwise separable convolutions with residual connections replace Inception blocks.",
    input=(3, 299, 299), classes=1000, head="fc", stem="conv1", look="act4", smallest=7,
    aliases=("legacy_xception",)))  # fmt: skip
