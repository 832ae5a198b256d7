"""NASNet-B and NASNet-C: two more of the searched networks, whose cells are printed as drawings alone.

Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition", 2017,
arXiv:1707.07012, appendix B and figures 8 and 9. No code or weights were published. The text says: B has four blocks
and reads four states, those that the cell before made, and does not concatenate; C concatenates as NASNet-A does; in
both a sum can be followed by layer normalisation or instance normalisation.
Differs: the cells are guessed; the paper's have not been read off the drawings. Guessed are: which operations a block
has and which states it reads; which sums are normalised, and the norms' eps; that each cell begins with a 1×1 on
every state, as NASNet-A's do; what the classifier of B reads (the eight states of the last two cells, 8 · 192 being the
printed 1,536: of four states of 384 there would be room for about one separable convolution a cell); that C has four
blocks, whose sums and the state p are concatenated (5 · 192 is the printed 960); the widths of the stems. They were
chosen so that the networks cost what table 3 prints: B 5.31 million parameters and 488.4 million multiply-adds (printed
5.3 and 488), C 4.93 and 557.9 (4.9 and 558). Other cells do so, too, and these are not the paper's: in the forms of
table 1, for CIFAR-10, they would have 2.2 and 2.4 million parameters, where 2.6 and 3.1 are printed. As in NASNet-A
here, no scheduled drop path and no auxiliary head. One image so small that its last maps have one position can't be
normalised alone. The name `nasnet_b_c` builds B.
First weights: as for NASNet-A, normal, deviation 0.1; the paper gives none.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import truncated_normal
from striate.blocks.layers import conv, norm
from striate.blocks.same import SameAvgPool2d, SameMaxPool2d, conv_same
from striate.blocks.wiring import Add, Chain, Concat, Graph, Share
from striate.models.registry import Entry, register

Steps = dict[str, tuple[object, ...]]  # of a graph: name -> (step, *names that it reads)
Side = tuple[object, str] | str  # a step and the state that it reads, or a state as it is
STATES = tuple(f"state_{i}" for i in range(4))
SUMS = tuple(f"comb_iter_{i}" for i in range(4))


def average() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def layer_norm(c: int) -> nn.GroupNorm:
    return nn.GroupNorm(1, c)


def instance_norm(c: int) -> nn.GroupNorm:
    return nn.GroupNorm(c, c)


def sep(c: int, k: int, stride: int = 1) -> Chain:
    """A separable convolution, twice; only the first may halve.  (N, c, H, W) -> (N, c, H/stride, W/stride)"""
    return Chain(
        act_1=nn.ReLU(), depthwise_1=conv_same(c, c, k, stride, groups=c), pointwise_1=conv(c, c, 1),
        bn_sep_1=norm(c, 0.001),
        act_2=nn.ReLU(), depthwise_2=conv(c, c, k, groups=c),              pointwise_2=conv(c, c, 1),
        bn_sep_2=norm(c, 0.001))  # fmt: skip


def fit(c_in: int, c: int) -> dict[str, nn.Module]:
    """A state with the cell's number of channels."""
    return dict(act=nn.ReLU(), conv=conv(c_in, c, 1), bn=norm(c, 0.001))


def fit_halved(c_in: int, c: int) -> Steps:
    """The state before, twice as large: every second pixel, and those between, each to half of the channels."""
    return dict(
        act=(nn.ReLU(), "before"),
        path_1=(Chain(avgpool=nn.AvgPool2d(1, 2), conv=conv(c_in, c // 2, 1)), "act"),
        path_2=(Chain(pad=nn.ZeroPad2d((-1, 1, -1, 1)), avgpool=nn.AvgPool2d(1, 2), conv=conv(c_in, c // 2, 1)), "act"),
        paths=(Concat(), "path_1", "path_2"),
        p=(norm(c, 0.001), "paths"))  # fmt: skip


def sums(*blocks: tuple[Side, Side, nn.Module | None]) -> Steps:
    """The sums of a cell, comb_iter_0 and so on: left + right, and a norm of it."""
    steps: Steps = {}
    for name, (left, right, normalised) in zip(SUMS, blocks, strict=True):
        terms = []
        for side, term in (("left", left), ("right", right)):
            if isinstance(term, str):
                terms.append(term)
            else:
                steps[f"{name}_{side}"] = term
                terms.append(f"{name}_{side}")
        if normalised is None:
            steps[name] = (Add(), *terms)
        else:
            steps[f"{name}_sum"], steps[name] = (Add(), *terms), (normalised, f"{name}_sum")
    return steps


def four(c_in: int, c: int) -> Steps:
    """The four states that the cell before put out side by side, each with c channels."""
    return {name: (Chain(share=Share(i, 4), **fit(c_in, c)), "x") for i, name in enumerate(STATES)}


def normal_b(c_in: int, c: int) -> Graph:
    """(N, 4 c_in, H, W) -> (N, 4c, H, W), four states side by side."""
    h0, h1, h2, h3 = STATES
    return Graph("x", **four(c_in, c), **sums(
        ((sep(c, 5), h0), (sep(c, 3), h1), layer_norm(c)),
        ((sep(c, 7), h1), (average(), h2), None),
        ((sep(c, 5), h2), h3,              None),
        ((sep(c, 5), h3), SUMS[0],         instance_norm(c))),
        cell=(Concat(), *SUMS))  # fmt: skip


def reduction_b(c: int, fitted: Steps, h0: str, h1: str, h2: str, h3: str) -> Graph:
    """(N, ., H, W) -> (N, 4c, ceil(H/2), ceil(W/2)), four states side by side."""
    return Graph("x", **fitted, **sums(
        ((sep(c, 7, 2), h0), (SameMaxPool2d(3, 2), h1), layer_norm(c)),
        ((sep(c, 7, 2), h1), (SameAvgPool2d(3, 2), h2), None),
        ((sep(c, 5, 2), h2), (SameMaxPool2d(3, 2), h3), None),
        ((sep(c, 3, 2), h3), (sep(c, 3), SUMS[0]),      instance_norm(c))),
        cell=(Concat(), *SUMS))  # fmt: skip


def nasnet_b(n: int, last: int, stem: int, num_classes: int, in_chans: int) -> Graph:
    """NASNet-B (n @ last) for ImageNet.  (N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    c = last // 32
    steps: Steps = dict(
        conv0=(Chain(conv=nn.Conv2d(in_chans, stem, 3, 2, bias=False), bn=norm(stem, 0.001)), "images"),
        cell_stem_0=(reduction_b(c // 4, dict(state=(Chain(**fit(stem, c // 4)), "x")), *["state"] * 4), "conv0"),
        cell_stem_1=(reduction_b(c // 2, four(c // 4, c // 2), *STATES), "cell_stem_0"))  # fmt: skip
    h, c_h = "cell_stem_1", c // 2
    for stage in range(3):
        if stage:
            c *= 2
            name = f"reduction_cell_{stage - 1}"
            steps[name] = (reduction_b(c, four(c_h, c), *STATES), h)
            h, c_h = name, c
        for i in range(n * stage, n * stage + n):
            steps[f"cell_{i}"] = (normal_b(c_h, c), h)
            h, c_h = f"cell_{i}", c
    steps["states"] = (Concat(), *[*steps][-2:])
    return classified(steps, last, num_classes)


def normal_c(c: int, fitted: Steps) -> Graph:
    """(N, ., H, W), before -> (N, 5c, H, W)"""
    return Graph("x", "before", **fitted, **sums(
        ((sep(c, 7), "h"), (sep(c, 3), "p"), layer_norm(c)),
        ((sep(c, 7), "p"), (average(), "h"), None),
        ((sep(c, 7), "h"), "p",              None),
        ((sep(c, 7), "p"), "h",              instance_norm(c))),
        cell=(Concat(), "p", *SUMS))  # fmt: skip


def reduction_c(c: int, fitted: Steps, p: str = "p", inputs: tuple[str, ...] = ("x", "before")) -> Graph:
    """(N, ., H, W), before -> (N, 4c, ceil(H/2), ceil(W/2))"""
    return Graph(*inputs, **fitted, **sums(
        ((sep(c, 7, 2), "h"),         (sep(c, 7, 2), p), layer_norm(c)),
        ((SameMaxPool2d(3, 2), "h"),  (sep(c, 7, 2), p), None),
        ((SameAvgPool2d(3, 2), "h"),  (sep(c, 7, 2), p), None),
        ((SameMaxPool2d(3, 2), p),    (sep(c, 5, 2), "h"), instance_norm(c))),
        cell=(Concat(), *SUMS))  # fmt: skip


def nasnet_c(n: int, last: int, stem: int, num_classes: int, in_chans: int) -> Graph:
    """NASNet-C (n @ last) for ImageNet.  (N, 3, H, W) -> (N, 1000) logits.  H and W are halved five times."""
    c = last // 20
    steps: Steps = dict(
        conv0=(Chain(conv=nn.Conv2d(in_chans, stem, 3, 2, bias=False), bn=norm(stem, 0.001)), "images"),
        cell_stem_0=(reduction_c(c // 4, last_state(stem, c // 4), "h", ("x",)), "conv0"),
        cell_stem_1=(reduction_c(c // 2, last_state(c, c // 2) | fit_halved(stem, c // 2)),
                     "cell_stem_0", "conv0"))  # fmt: skip
    width = {"cell_stem_0": c, "cell_stem_1": 2 * c}
    for stage in range(3):
        if stage:
            c *= 2
            p, h = [*width][-2:]
            name = f"reduction_cell_{stage - 1}"
            steps[name] = (reduction_c(c, last_state(width[h], c) | same_size(width[p], c)), h, p)
            width[name] = 4 * c
        for i in range(n * stage, n * stage + n):
            p, h = [*width][-2:]
            before = fit_halved if i == n * stage else same_size  # behind a reduction it is twice as large
            steps[f"cell_{i}"] = (normal_c(c, last_state(width[h], c) | before(width[p], c)), h, p)
            width[f"cell_{i}"] = 5 * c
    return classified(steps, last, num_classes)


def last_state(c_in: int, c: int) -> Steps:
    return dict(h=(Chain(**fit(c_in, c)), "x"))


def same_size(c_in: int, c: int) -> Steps:
    return dict(p=(Chain(**fit(c_in, c)), "before"))


def classified(steps: Steps, last: int, num_classes: int) -> Graph:
    """The whole network: the last step's maps (N, last, H, W), averaged and classified."""
    return truncated_normal(Graph("images", **steps,
        act=(nn.ReLU(), [*steps][-1]), global_pool=(nn.AdaptiveAvgPool2d(1), "act"),
        flatten=(nn.Flatten(), "global_pool"), dropout=(nn.Dropout(0.5), "flatten"),
        last_linear=(nn.Linear(last, num_classes), "dropout")), 0.1)  # fmt: skip


for name, build, aliases, about in [  # the paper's table 3; nasnet_b_c is what lists that have one line for both say
    ("nasnet_b", partial(nasnet_b, 4, 1536, 32), ("nasnet_b_c",), "Cells that hand on four states; a guess at them."),
    ("nasnet_c", partial(nasnet_c, 3, 960, 48),  (),              "Cells that normalise some sums; a guess at them."),
]:  # fmt: skip
    register(Entry(name, build, year=2017, paper="arXiv:1707.07012", about=about, input=(3, 224, 224), classes=1000,
        head="last_linear", stem="conv0.conv", look="act", smallest=3, aliases=aliases))  # fmt: skip
