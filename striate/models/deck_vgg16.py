"""VGG-16's convolutions with a small dense head: the lectures' example of transfer learning, cats against dogs.

Chollet, "Deep Learning with Python", 2017, section 5.3; the convolutions are configuration D of Simonyan & Zisserman,
arXiv:1409.1556. The lectures freeze `features` (2,097,665 parameters are left to train), then free its last block.
Differs: the model returns a logit, since the sigmoid belongs to the loss; and it flattens channels first, so that
`dense1` of a Keras file has to be permuted. `features` is named as in torchvision's VGG-16, so that its weights load.
First weights: Keras' default, Glorot uniform and zero bias.
"""

from torch import nn

from striate.blocks.initial import glorot_uniform
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def convolutions(c: int) -> Chain:
    """Configuration D without its head.  (N, c, H, W) -> (N, 512, H/32, W/32)"""
    steps: list[nn.Module] = []
    for depth, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(depth):
            steps += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()]
            c = width
        steps += [nn.MaxPool2d(2)]
    return Chain(*steps)


def vgg16_dense(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 3, 150, 150) -> (N, 1) logit of a sigmoid; 16,812,353 parameters."""
    h, w = (side // 32 for side in input_size)  # 4×4 for 150×150
    return glorot_uniform(Chain(
        features=convolutions(in_chans), flatten=nn.Flatten(),
        dense1=nn.Linear(512 * h * w, 256), relu=nn.ReLU(),
        dense2=nn.Linear(256, num_classes)))  # fmt: skip


register(Entry("deck_vgg16_dense", vgg16_dense, year=2017, paper="Deep Learning with Python, section 5.3",
    about="Convolutions learnt on ImageNet, and a small head of one's own on top.",
    input=(3, 150, 150), classes=1, head="dense2", stem="features.0", look="features.29",
    smallest=32, fixed_size=True))  # fmt: skip
