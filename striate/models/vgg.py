"""VGG: nothing but 3×3 windows, and a lot of them: two see as far as one 5×5, with fewer weights and one more ReLU.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, arXiv:1409.1556,
table 1; A is VGG-11, B 13, D 16 and E 19.
Differs: images of other sizes are brought to the 7×7 that the first linear layer needs by averaging, as in torchvision;
at 224×224 that does nothing. The forms with batch normalisation are not in the paper. Names are torchvision's; its
weights load. First weights: He normal by fan-out, linear layers normal, deviation 0.01 (the paper trained the deeper
networks from the shallower ones).
"""

from functools import partial

from torch import nn

from striate.blocks.initial import he_normal, normal
from striate.blocks.layers import norm
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def convolutions(table: str, with_norm: bool, c: int) -> Chain:
    """The rows of one column of table 1: `64` is a 3×3 to 64 channels, `256:1` a 1×1 to 256."""
    steps: list[nn.Module] = []
    for row in table.split():
        match row.split(":"):
            case ["pool"]:
                steps += [nn.MaxPool2d(2)]
            case ["lrn"]:
                # The paper's alpha multiplies the sum over 5 channels, torch's their mean.
                steps += [nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)]
            case [width, *k]:
                size = int(k[0]) if k else 3
                steps += [nn.Conv2d(c, int(width), size, padding=size // 2)]
                steps += [norm(int(width)), nn.ReLU()] if with_norm else [nn.ReLU()]
                c = int(width)
    return Chain(*steps)


def vgg(table: str, with_norm: bool, num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    return normal(he_normal(Chain(
        features=convolutions(table, with_norm, in_chans),
        avgpool=nn.AdaptiveAvgPool2d(7), flatten=nn.Flatten(),
        classifier=Chain(
            nn.Linear(512 * 7 * 7, 4096),   nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096),          nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, num_classes)))), 0.01, nn.Linear)  # fmt: skip


A      = "64 pool      128 pool     256 256 pool           512 512 pool           512 512 pool"  # fmt: skip
A_LRN  = "64 lrn pool  128 pool     256 256 pool           512 512 pool           512 512 pool"  # fmt: skip
B      = "64 64 pool   128 128 pool 256 256 pool           512 512 pool           512 512 pool"  # fmt: skip
C      = "64 64 pool   128 128 pool 256 256 256:1 pool     512 512 512:1 pool     512 512 512:1 pool"  # fmt: skip
D      = "64 64 pool   128 128 pool 256 256 256 pool       512 512 512 pool       512 512 512 pool"  # fmt: skip
E      = "64 64 pool   128 128 pool 256 256 256 256 pool   512 512 512 512 pool   512 512 512 512 pool"  # fmt: skip

for name, table, convs, about in [
    ("vgg11",    A,     8,  "Configuration A: eight 3×3 convolutions, three linear layers."),
    ("vgg_alrn", A_LRN, 8,  "Configuration A-LRN: A with response normalisation, which did not help."),
    ("vgg13",    B,     10, "Configuration B: two 3×3 convolutions at each size see as far as one 5×5."),
    ("vgg_c",    C,     13, "Configuration C: 1×1 convolutions add depth without seeing farther."),
    ("vgg16",    D,     13, "Configuration D: depth from small windows alone; features that served a decade."),
    ("vgg19",    E,     16, "Configuration E: the deepest, 19 layers with weights; no better than 16."),
]:  # fmt: skip
    last = len(table.split()) + convs - 2  # the ReLU before the last pooling
    register(Entry(name, partial(vgg, table, False), year=2014, paper="arXiv:1409.1556", about=about,
        input=(3, 224, 224), classes=1000, head="classifier.6", stem="features.0", look=f"features.{last}",
        smallest=32))  # fmt: skip
    if table != A_LRN:
        register(Entry(f"{name}_bn", partial(vgg, table, True), year=2014, paper="arXiv:1409.1556",
            about=f"{about.partition(':')[0]} with batch normalisation, added when that was known.",
            input=(3, 224, 224), classes=1000, head="classifier.6", stem="features.0", look=f"features.{last + convs}",
            smallest=32))  # fmt: skip
