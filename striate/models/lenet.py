"""LeNet-5: convolutions that share weights, pooling that halves, and features that are learnt.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998,
doi:10.1109/5.726791, section II.B and figure 2.
Differs: this is the plain form of the lecture table: C3 sees all maps of S2, pooling has no weights, tanh is not
scaled, and the output is linear (the paper: a partial table, trainable pooling, 1.7159 tanh(2x/3), RBF units).
First weights: Glorot uniform, zero bias. MNIST's test set after 5 epochs of Adam without augmentation (n=1, one CPU
core, 2026-11-21): 99.17 %; with torch's own first weights 98.92 %; with the paper's, uniform in ±2.4/fan-in, 98.84 %.
"""

from torch import nn

from striate.blocks.initial import glorot_uniform
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def lenet5(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 1, 32, 32) -> (N, 10) logits; 61,706 parameters."""
    h, w = ((((side - 4) // 2) - 4) // 2 - 4 for side in input_size)  # what is left after C5: 1×1 for 32×32
    return glorot_uniform(Chain(
        C1=nn.Conv2d(in_chans, 6, 5), tanh1=nn.Tanh(),
        S2=nn.AvgPool2d(2),           tanh2=nn.Tanh(),
        C3=nn.Conv2d(6, 16, 5),       tanh3=nn.Tanh(),
        S4=nn.AvgPool2d(2),           tanh4=nn.Tanh(),
        C5=nn.Conv2d(16, 120, 5),     tanh5=nn.Tanh(),
        flatten=nn.Flatten(),
        F6=nn.Linear(120 * h * w, 84), tanh6=nn.Tanh(),
        output=nn.Linear(84, num_classes)))  # fmt: skip


register(Entry("lenet5", lenet5, year=1998, paper="doi:10.1109/5.726791",
    about="Convolution, pooling and fully connected layers, trained end to end by gradient descent.",
    input=(1, 32, 32), classes=10, head="output", stem="C1", look="tanh4",
    smallest=32, fixed_size=True, aliases=("lenet5_deck",)))  # fmt: skip
