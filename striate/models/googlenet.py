"""GoogLeNet (Inception v1): four branches side by side, 1×1, 3×3, 5×5 and pooling, each made narrow by a 1×1.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich, "Going Deeper with Convolutions", 2014,
arXiv:1409.4842, table 1 and figures 2b and 3.
Differs: `googlenet` has the biases and the local response norms of the network that was published, pools whatever
part of a window is left at the border, and averages over all positions. `googlenet_bn` is torchvision's, after
TensorFlow's: batch norms, 3×3 in place of 5×5, 2×2 in place of the last pooling's 3×3. `aux=True` adds the paper's
two more classifiers, and `googlenet_aux` has them from the start; maps of other sizes than that of a 224×224 image are
brought to their 4×4 by averaging. Names are torchvision's; its weights load into `googlenet_bn`.
First weights: Glorot uniform; with batch norms normal, deviation 0.01.
"""

from functools import partial
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from striate.blocks.initial import glorot_uniform, truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.wiring import Branches, Chain, Taps
from striate.models.registry import Entry, register


class GoogLeNetOutputs(NamedTuple):
    """What the network gives in training when it has its auxiliary heads; the second stands deeper."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor

    @property
    def share(self) -> float:
        """The weight of each auxiliary loss beside the main one.  Source: section 5."""
        return 0.3


class Unit(Protocol):
    """A padded convolution and what follows it: `plain` or `normed`."""

    def __call__(self, c_in: int, c: int, k: int, stride: int = 1) -> Chain: ...


def plain(c_in: int, c: int, k: int, stride: int = 1) -> Chain:
    return Chain(conv=nn.Conv2d(c_in, c, k, stride, k // 2), relu=nn.ReLU())


def normed(c_in: int, c: int, k: int, stride: int = 1) -> Chain:
    return Chain(conv=conv(c_in, c, k, stride), bn=norm(c, 0.001), relu=nn.ReLU())


def pool(k: int, stride: int, padding: int = 0) -> nn.MaxPool2d:
    return nn.MaxPool2d(k, stride, padding, ceil_mode=True)


def inception(unit: Unit, large: int, c_in: int, c1: int, r3: int, c3: int, r5: int, c5: int, proj: int) -> Branches:
    """One row of table 1, its columns in order.  (N, c_in, H, W) -> (N, c1 + c3 + c5 + proj, H, W)"""
    return Branches(
        branch1=unit(c_in, c1, 1),
        branch2=Chain(unit(c_in, r3, 1), unit(r3, c3, 3)),
        branch3=Chain(unit(c_in, r5, 1), unit(r5, c5, large)),
        branch4=Chain(pool(3, 1, 1), unit(c_in, proj, 1)))  # fmt: skip


def auxiliary(unit: Unit, average: nn.AvgPool2d | None, c_in: int, num_classes: int) -> Chain:
    """A classifier on a 14×14 map.  (N, c_in, H, W) -> (N, 1000)"""
    pooled = dict(avgpool=average, fit=nn.AdaptiveAvgPool2d(4)) if average else dict(avgpool=nn.AdaptiveAvgPool2d(4))
    return Chain(
        **pooled, conv=unit(c_in, 128, 1), flatten=nn.Flatten(),
        fc1=nn.Linear(128 * 4 * 4, 1024), relu=nn.ReLU(), dropout=nn.Dropout(0.7),
        fc2=nn.Linear(1024, num_classes))  # fmt: skip


def googlenet(bn: bool, num_classes: int, in_chans: int, *, aux: bool = False) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    unit: Unit = normed if bn else plain
    mixed = partial(inception, unit, 3 if bn else 5)
    steps: dict[str, nn.Module] = dict(
        conv1=unit(in_chans, 64, 7, stride=2),
        maxpool1=pool(3, 2), norm1=nn.LocalResponseNorm(5, 1e-4, 0.75),
        conv2=unit(64, 64, 1),
        conv3=unit(64, 192, 3),
        norm2=nn.LocalResponseNorm(5, 1e-4, 0.75), maxpool2=pool(3, 2),
        #                      1×1   3×3      5×5      pooled
        inception3a=mixed(192,  64,  96, 128, 16,  32,  32),
        inception3b=mixed(256, 128, 128, 192, 32,  96,  64),
        maxpool3=pool(3, 2),
        inception4a=mixed(480, 192,  96, 208, 16,  48,  64),
        aux1=auxiliary(unit, None if bn else nn.AvgPool2d(5, 3), 512, num_classes),
        inception4b=mixed(512, 160, 112, 224, 24,  64,  64),
        inception4c=mixed(512, 128, 128, 256, 24,  64,  64),
        inception4d=mixed(512, 112, 144, 288, 32,  64,  64),
        aux2=auxiliary(unit, None if bn else nn.AvgPool2d(5, 3), 528, num_classes),
        inception4e=mixed(528, 256, 160, 320, 32, 128, 128),
        maxpool4=pool(2 if bn else 3, 2),
        inception5a=mixed(832, 256, 160, 320, 32, 128, 128),
        inception5b=mixed(832, 384, 192, 384, 48, 128, 128),
        avgpool=nn.AdaptiveAvgPool2d(1), dropout=nn.Dropout(0.2 if bn else 0.4), flatten=nn.Flatten(),
        fc=nn.Linear(1024, num_classes))  # fmt: skip
    for name in (*(["norm1", "norm2"] if bn else []), *([] if aux else ["aux1", "aux2"])):
        del steps[name]
    fields = {"aux1": "aux_logits1", "aux2": "aux_logits2"}
    net = Taps(GoogLeNetOutputs, fields, **steps) if aux else Chain(**steps)
    return truncated_normal(net, 0.01) if bn else glorot_uniform(net)


PAPER = "arXiv:1409.4842"
ABOUT = "Windows of several sizes side by side, each behind a 1×1 that makes it cheap."
register(Entry("googlenet", partial(googlenet, False), year=2014, paper=PAPER, about=ABOUT,
    input=(3, 224, 224), classes=1000, head="fc", stem="conv1.conv", look="inception5b", smallest=31))  # fmt: skip
register(Entry("googlenet_aux", partial(googlenet, False, aux=True), year=2014, paper=PAPER,
    about="GoogLeNet with the two classifiers in its middle that help to train it.",
    input=(3, 224, 224), classes=1000, head="fc", stem="conv1.conv", look="inception5b", smallest=31))  # fmt: skip
register(Entry("googlenet_bn", partial(googlenet, True), year=2016, paper=PAPER,
    about="GoogLeNet with batch normalisation and 3×3 windows only, as its weights are published.",
    input=(3, 224, 224), classes=1000, head="fc", stem="conv1.conv", look="inception5b", smallest=15))  # fmt: skip
