"""LeNet-5 as printed in 1998: a partial connection table, trainable sub-sampling, scaled tanh, bitmaps as targets.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998,
doi:10.1109/5.726791, section II.B, figure 2 and table I; 60,000 trainable parameters.
Differs: the output is -y, so that the likeliest class is largest; `map_loss` is the paper's loss on it (section II.C).
The bitmaps of the digits are drawn anew after figure 3; for other numbers of classes the prototypes are random signs,
which the paper names as the usual choice. First weights: uniform in ±2.4 / fan-in, biases included.
"""

from math import prod
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.wiring import Branches, Chain
from striate.models.registry import Entry, register

# Table I: the maps of S2 that each map of C3 sees.
TABLE = [
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
]  # fmt: skip

# Figure 3: the digits, each on 7×12 pixels; the lowest rows are for letters that descend.
DIGITS = """
    .......  .......  .......  .......  .......  .......  .......  .......  .......  .......
    .#####.  ...#...  .#####.  #######  .....#.  #######  ..####.  #######  .#####.  .#####.
    #.....#  ..##...  #.....#  .....#.  ....##.  #......  .#.....  ......#  #.....#  #.....#
    #.....#  .#.#...  ......#  ....#..  ...#.#.  #......  #......  .....#.  #.....#  #.....#
    #.....#  ...#...  ......#  ...#...  ..#..#.  ######.  #.####.  .....#.  #.....#  #.....#
    #.....#  ...#...  .....#.  ..####.  .#...#.  ......#  ##....#  ....#..  .#####.  .######
    #.....#  ...#...  ...##..  ......#  #....#.  ......#  #.....#  ....#..  #.....#  ......#
    #.....#  ...#...  ..#....  ......#  #######  ......#  #.....#  ...#...  #.....#  ......#
    #.....#  ...#...  .#.....  #.....#  .....#.  #.....#  #.....#  ...#...  #.....#  .....#.
    .#####.  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ...#...  .#####.  .####..
    .......  .......  .......  .......  .......  .......  .......  .......  .......  .......
    .......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


class ScaledTanh(nn.Module):
    """y = 1.7159 tanh(2x/3), which has f(±1) = ±1 (appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Pick(nn.Module):
    """Some of the maps, in this order.  (N, C, H, W) -> (N, len(maps), H, W)"""

    def __init__(self, maps: tuple[int, ...]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, i : i + 1] for i in self.maps], dim=1)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.maps))


class SumPool(nn.AvgPool2d):
    """Sums of k×k positions.  (N, C, H, W) -> (N, C, H/k, W/k)

    It is torch's average with divisor_override=1, which torch 2.13 leaves out of an ONNX file: there it was the mean.
    """

    def __init__(self, k: int) -> None:
        super().__init__(k, divisor_override=1)
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        return self.k**2 * functional.avg_pool2d(x, self.k)


class SubSampling(nn.Module):
    """y = w_c · x + b_c: what a map of sums is multiplied with and added to, learnt.  (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class RadialBasis(nn.Module):
    """-y_i = -Σ_j (x_j - w_ij)², w being fixed prototypes of -1 and 1.  (N, c_in) -> (N, c_out)

    Source: eq. 7.
    """

    weight: Tensor

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = prototypes.shape
        self.register_buffer("weight", prototypes)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.weight).square().sum(-1)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


def prototypes(num_classes: int) -> Tensor:
    """Bitmaps of the digits for up to ten classes, else random signs: (num_classes, 84) of -1 and 1."""
    if num_classes > 10:
        signs = Random(1998)
        return torch.tensor([[signs.choice((-1.0, 1.0)) for _ in range(84)] for _ in range(num_classes)])
    rows = [row.split() for row in DIGITS.strip().splitlines()]
    drawn = ("".join(row[digit] for row in rows) for digit in range(num_classes))
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in bitmap] for bitmap in drawn])


def sample(c: int) -> Chain:
    """Sums of 2×2 positions, a coefficient and a bias for each map.  (N, c, H, W) -> (N, c, H/2, W/2)"""
    return Chain(sum=SumPool(2), scale=SubSampling(c))


def lenet5_1998(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 1, 32, 32) -> (N, 10), the negative distances to the bitmaps; 60,000 parameters."""
    h, w = ((((side - 4) // 2) - 4) // 2 - 4 for side in input_size)  # what is left after C5: 1×1 for 32×32
    return uniform_by_fan_in(Chain(
        C1=nn.Conv2d(in_chans, 6, 5),  tanh1=ScaledTanh(),
        S2=sample(6),                  tanh2=ScaledTanh(),
        C3=Branches(*(Chain(pick=Pick(maps), conv=nn.Conv2d(len(maps), 1, 5)) for maps in TABLE)),
        tanh3=ScaledTanh(),
        S4=sample(16),                 tanh4=ScaledTanh(),
        C5=nn.Conv2d(16, 120, 5),      tanh5=ScaledTanh(),
        flatten=nn.Flatten(),
        F6=nn.Linear(120 * h * w, 84), tanh6=ScaledTanh(),
        output=RadialBasis(prototypes(num_classes))))  # fmt: skip


def uniform_by_fan_in(net: Chain) -> Chain:
    """Uniform in ±2.4 / (inputs of a unit); a unit of a sub-sampling layer has four.  Source: appendix A."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | SubSampling):
            inputs = 4 if isinstance(layer, SubSampling) else prod(layer.weight.shape[1:])
            nn.init.uniform_(layer.weight, -2.4 / inputs, 2.4 / inputs)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -2.4 / inputs, 2.4 / inputs)
    return net


def map_loss(logits: Tensor, labels: Tensor, j: float = 0.1) -> Tensor:
    """y_D + log(e^-j + Σ_i e^-y_i), the mean over images, of logits -y and the right classes D: maximum a posteriori.

    The constant j > 0 stands for images of no class: penalties that are larger than it already are not pushed on.
    Never below log(1 + e^-j).

    Source: eq. 9; j is not printed.

    >>> round(map_loss(torch.tensor([[0.0, -50.0]]), torch.tensor([0]), j=50.0).item(), 4)
    0.0
    """
    rubbish = torch.full_like(logits[:, :1], -j)
    return functional.cross_entropy(torch.cat([logits, rubbish], dim=1), labels)


register(Entry("lenet5_1998", lenet5_1998, year=1998, paper="doi:10.1109/5.726791",
    about="LeNet-5 as printed: partial connections, trained sub-sampling, bitmaps as targets.",
    input=(1, 32, 32), classes=10, head="output", stem="C1", look="tanh4",
    smallest=32, fixed_size=True))  # fmt: skip
