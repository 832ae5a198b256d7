"""BN-Inception (Inception v2): batch normalisation behind every convolution, and two 3×3 for GoogLeNet's 5×5.

Ioffe & Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015,
arXiv:1502.03167, figure 5 (appendix).
Differs: this is the network whose weights were published for Caffe, 11.3 million parameters where the paper prints
13.6: its 7×7 is not separable, its convolutions keep a bias before the norm, and its first poolings take whatever part
of a window is left at the border. Those weights fit no image whose maps get odd sides before they are halved; here,
such maps are pooled from one pixel outside on.
Names are those weights': `inception_3a_1x1.weight` is `inception_3a.1x1.weight` here.
First weights: normal, deviation 0.1, as for Inception v3; the paper gives none.
"""

from torch import nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import norm
from striate.blocks.same import SameMaxPool2d
from striate.blocks.wiring import Chain, Path, Paths
from striate.models.registry import Entry, register


def unit(name: str, c_in: int, c: int, k: int, stride: int = 1) -> dict[str, nn.Module]:
    """Convolution, norm, ReLU."""
    return {name: nn.Conv2d(c_in, c, k, stride, k // 2), f"{name}_bn": norm(c), f"relu_{name}": nn.ReLU()}


def inception(
    c_in: int, c1: int, r3: int, c3: int, r5: int, c5: int, pooling: str, proj: int, stride: int = 1
) -> Paths:
    """One row of figure 5, its columns in order; with stride 2 there is no 1×1, and what is pooled passes as it is.

    (N, c_in, H, W) -> (N, c1 + c3 + c5 + (proj or c_in), H/stride, W/stride)
    """
    pooled: nn.Module = nn.MaxPool2d(3, 1, 1) if pooling == "max" else nn.AvgPool2d(3, 1, 1)
    if stride == 2:
        pooled = SameMaxPool2d(3, 2)
    paths: list[Path] = [
        unit("1x1", c_in, c1, 1) if c1 else {},
        unit("3x3_reduce", c_in, r3, 1) | unit("3x3", r3, c3, 3, stride),
        unit("double_3x3_reduce", c_in, r5, 1)
        | unit("double_3x3_1", r5, c5, 3) | unit("double_3x3_2", c5, c5, 3, stride),
        {"pool": pooled} | (unit("pool_proj", c_in, proj, 1) if proj else {}),
    ]  # fmt: skip
    return Paths(*paths[0 if c1 else 1 :])


def bn_inception(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    return truncated_normal(Chain(
        conv1_7x7_s2=nn.Conv2d(in_chans, 64, 7, 2, 3), conv1_7x7_s2_bn=norm(64), conv1_relu_7x7=nn.ReLU(),
        pool1_3x3_s2=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2_3x3_reduce=nn.Conv2d(64, 64, 1), conv2_3x3_reduce_bn=norm(64), conv2_relu_3x3_reduce=nn.ReLU(),
        conv2_3x3=nn.Conv2d(64, 192, 3, 1, 1), conv2_3x3_bn=norm(192), conv2_relu_3x3=nn.ReLU(),
        pool2_3x3_s2=nn.MaxPool2d(3, 2, ceil_mode=True),
        #                       1×1   3×3       3×3 twice  pooled
        inception_3a=inception( 192,  64,  64,  64,  64,  96, "avg",  32),
        inception_3b=inception( 256,  64,  64,  96,  64,  96, "avg",  64),
        inception_3c=inception( 320,   0, 128, 160,  64,  96, "max",   0, stride=2),
        inception_4a=inception( 576, 224,  64,  96,  96, 128, "avg", 128),
        inception_4b=inception( 576, 192,  96, 128,  96, 128, "avg", 128),
        inception_4c=inception( 576, 160, 128, 160, 128, 160, "avg", 128),
        inception_4d=inception( 608,  96, 128, 192, 160, 192, "avg", 128),
        inception_4e=inception( 608,   0, 128, 192, 192, 256, "max",   0, stride=2),
        inception_5a=inception(1056, 352, 192, 320, 160, 224, "avg", 128),
        inception_5b=inception(1024, 352, 192, 320, 192, 224, "max", 128),
        global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        last_linear=nn.Linear(1024, num_classes)), 0.1)  # fmt: skip


register(Entry("bn_inception", bn_inception, year=2015, paper="arXiv:1502.03167",
    about="Batch normalisation: layers see values of one scale, and training takes fewer steps.",
    input=(3, 224, 224), classes=1000, head="last_linear", stem="conv1_7x7_s2", look="inception_5b",
    smallest=7))  # fmt: skip
