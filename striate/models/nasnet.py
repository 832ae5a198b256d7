"""NASNet-A: cells that were found by search on CIFAR-10 and are stacked for larger images.

Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition", 2017,
arXiv:1707.07012, figures 2 and 4; what the figures leave open is as in the code that was published with it.
A cell reads two earlier states, h (the last) and p (the one before), and makes five sums of two.
Differs: no scheduled drop path and no auxiliary head. Windows that halve are padded as in TensorFlow, at the far end
first; `tensorflow=True` is for Keras' weights, whose largest of a window may be a zero of the padding. Names are
timm's; its weights load (`nasnet_a_large`).
`nasnet_a_cifar` is the form for CIFAR-10 (6 @ 768), 3.3 million parameters as printed. NASNet-B and C are in
nasnet_b_c.py: a guess.
First weights: normal, deviation 0.1, as for Inception v3; the paper gives none.
"""

from functools import partial
from math import inf

from torch import nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.same import SameAvgPool2d, SameMaxPool2d, conv_same
from striate.blocks.wiring import Add, Chain, Concat, Graph
from striate.models.registry import Entry, register

Steps = dict[str, tuple[object, ...]]  # of a graph: name -> (step, *names that it reads)
Side = tuple[object, str] | str  # a step and the state that it reads, or a state as it is


def average() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def separable(c_in: int, c: int, k: int, stride: int) -> Chain:
    return Chain(depthwise_conv2d=conv_same(c_in, c_in, k, stride, groups=c_in), pointwise_conv2d=conv(c_in, c, 1))


def sep(c: int, k: int, stride: int = 1, c_in: int | None = None) -> Chain:
    """A separable convolution, twice; only the first may halve.  (N, c_in or c, H, W) -> (N, c, H/stride, W/stride)"""
    return Chain(
        act_1=nn.ReLU(), separable_1=separable(c_in or c, c, k, stride), bn_sep_1=norm(c, 0.001),
        act_2=nn.ReLU(), separable_2=separable(c, c, k, 1),              bn_sep_2=norm(c, 0.001))  # fmt: skip


def fit(c_in: int, c: int) -> Chain:
    """A state with the cell's number of channels."""
    return Chain(act=nn.ReLU(), conv=conv(c_in, c, 1), bn=norm(c, 0.001))


def fit_halved(source: str, c_in: int, c: int) -> Steps:
    """A state that is twice as large: every second pixel, and those between, each to half of the channels."""
    return dict(
        act=(nn.ReLU(), source),
        path_1=(Chain(avgpool=nn.AvgPool2d(1, 2), conv=conv(c_in, c // 2, 1)), "act"),
        path_2=(Chain(pad=nn.ZeroPad2d((-1, 1, -1, 1)), avgpool=nn.AvgPool2d(1, 2), conv=conv(c_in, c // 2, 1)), "act"),
        paths=(Concat(), "path_1", "path_2"),
        final_path_bn=(norm(c, 0.001), "paths"))  # fmt: skip


def sums(*pairs: tuple[Side, Side]) -> Steps:
    """The sums of a cell, comb_iter_0 and so on: left + right."""
    steps: Steps = {}
    for i, pair in enumerate(pairs):
        name, terms = f"comb_iter_{i}", []
        for side, term in zip(("left", "right"), pair, strict=True):
            if isinstance(term, str):
                terms.append(term)
            else:
                steps[f"{name}_{side}"] = term
                terms.append(f"{name}_{side}")
        steps[name] = (Add(), *terms)
    return steps


def normal(c: int, fitted: Steps, h: str, p: str) -> Graph:
    """Figure 4, left.  (N, ., H, W), before -> (N, 6c, H, W)"""
    return Graph("x", "before", **fitted, **sums(
        ((sep(c, 5), h),   (sep(c, 3), p)),
        ((sep(c, 5), p),   (sep(c, 3), p)),
        ((average(), h),   p),
        ((average(), p),   (average(), p)),
        ((sep(c, 3), h),   h)),
        cell=(Concat(), p, *(f"comb_iter_{i}" for i in range(5))))  # fmt: skip


def reduction(
    c: int, fitted: Steps, h: str, p: str, c_p: int | None = None, inputs: tuple[str, ...] = ("x", "before")
) -> Graph:
    """Figure 4, right.  (N, ., H, W), before -> (N, 4c, ceil(H/2), ceil(W/2))"""
    return Graph(*inputs, **fitted, **sums(
        ((sep(c, 5, 2), h),             (sep(c, 7, 2, c_p), p)),
        ((SameMaxPool2d(3, 2), h),         (sep(c, 7, 2, c_p), p)),
        ((SameAvgPool2d(3, 2), h),         (sep(c, 5, 2, c_p), p)),
        ("comb_iter_1",                 (average(), "comb_iter_0")),
        ((sep(c, 3), "comb_iter_0"),    (SameMaxPool2d(3, 2), h))),
        cell=(Concat(), *(f"comb_iter_{i}" for i in range(1, 5))))  # fmt: skip


def both(c_h: int, c_p: int, c: int) -> Steps:
    """Two states of one size."""
    return dict(conv_prev_1x1=(fit(c_p, c), "before"), conv_1x1=(fit(c_h, c), "x"))


def stack(n: int, c: int, steps: Steps, width: dict[str, int], around: bool, num_classes: int) -> Graph:
    """Three stages of n normal cells of c, 2c and 4c channels upon a stem, of which the last two states are in width.

    `around` tells what the first cell after a reduction reads as p: the state that the reduction cell read as p,
    or the one that it read as h.
    """
    states = [*width][-2:]
    for stage in range(3):
        if stage:
            h, p, c = states[-1], states[-2], 2 * c
            name = f"reduction_cell_{stage - 1}"
            cell = reduction(c, both(width[h], width[p], c), "conv_1x1", "conv_prev_1x1")
            steps[name], width[name] = (cell, h, p), 4 * c
            states = [*states[: -1 if around else None], name]
        for i in range(n):
            h, p, name = states[-1], states[-2 if len(states) > 1 else -1], f"cell_{6 * stage + i}"
            if i == 0 and len(states) > 1:  # p is twice as large
                fitted = dict(conv_1x1=(fit(width[h], c), "x")) | fit_halved("before", width[p], c)
                cell = normal(c, fitted, "conv_1x1", "final_path_bn")
            else:
                cell = normal(c, both(width[h], width[p], c), "conv_1x1", "conv_prev_1x1")
            steps[name], width[name] = (cell, h, p), 6 * c
            states.append(name)
    return truncated_normal(Graph("images", **steps,
        act=(nn.ReLU(), states[-1]), global_pool=(nn.AdaptiveAvgPool2d(1), "act"),
        flatten=(nn.Flatten(), "global_pool"), dropout=(nn.Dropout(0.5), "flatten"),
        last_linear=(nn.Linear(6 * c, num_classes), "dropout")), 0.1)  # fmt: skip


def nasnet(
    n: int, last: int, stem: int, around: bool, num_classes: int, in_chans: int, *, tensorflow: bool = False
) -> Graph:
    """NASNet-A (n @ last) for ImageNet.  (N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    c = last // 24
    steps: Steps = dict(
        conv0=(Chain(conv=nn.Conv2d(in_chans, stem, 3, 2, bias=False), bn=norm(stem, 0.001)), "images"),
        cell_stem_0=(reduction(c // 4, dict(conv_1x1=(fit(stem, c // 4), "x")),
                               "conv_1x1", "x", stem, ("x",)), "conv0"),
        cell_stem_1=(reduction(c // 2, dict(conv_1x1=(fit(c, c // 2), "x")) | fit_halved("before", stem, c // 2),
                               "conv_1x1", "final_path_bn"), "cell_stem_0", "conv0"))  # fmt: skip
    return padded(stack(n, c, steps, {"cell_stem_0": c, "cell_stem_1": 2 * c}, around, num_classes), tensorflow)


def nasnet_cifar(n: int, last: int, num_classes: int, in_chans: int, *, tensorflow: bool = False) -> Graph:
    """NASNet-A (n @ last) for CIFAR-10.  (N, 3, H, W) -> (N, 10) logits.  H and W are halved twice."""
    c = last // 24
    steps: Steps = dict(conv0=(Chain(conv=conv(in_chans, 3 * c, 3), bn=norm(3 * c, 0.001)), "images"))
    return padded(stack(n, c, steps, {"conv0": 3 * c}, False, num_classes), tensorflow)


def padded(net: Graph, tensorflow: bool) -> Graph:
    """Whether a zero of the padding can be the largest of a window."""
    for layer in net.modules():
        if isinstance(layer, SameMaxPool2d):
            layer.padded_with = 0.0 if tensorflow else -inf
    return net


for name, n, last, stem, around, side, aliases in [  # the paper's tables 2 and 3
    ("nasnet_a_mobile", 4, 1056, 32, False, 224, ()),
    ("nasnet_a_large",  6, 4032, 96, True,  331, ("nasnetalarge",)),
]:  # fmt: skip
    register(Entry(name, partial(nasnet, n, last, stem, around), year=2017, paper="arXiv:1707.07012",
        about="Cells that were found by search on small images, and stacked for large ones.",
        input=(3, side, side), classes=1000, head="last_linear", stem="conv0.conv", look="act",
        smallest=3, aliases=aliases))  # fmt: skip

register(Entry("nasnet_a_cifar", partial(nasnet_cifar, 6, 768), year=2017, paper="arXiv:1707.07012",  # table 1
    about="The network of the search itself: its cells, six times in each of three stages.",
    input=(3, 32, 32), classes=10, head="last_linear", stem="conv0.conv", look="act", smallest=1))  # fmt: skip
