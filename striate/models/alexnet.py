"""AlexNet: ReLU, dropout and two GPUs make a large convolutional network trainable on ImageNet.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
doi:10.1145/3065386, sections 3 to 5 and figure 2. torchvision's form is after Krizhevsky, "One weird trick for
parallelizing convolutional neural networks", 2014, arXiv:1404.5997.
Differs: the paper prints images of 224×224, but its 55×55 needs 227×227. `alexnet_2gpu` is the paper's: layers 2, 4
and 5 see only the maps of their own GPU (groups). `alexnet_onetower` is the lectures' table, without GPUs;
`alexnet_deck_table` is the same taken literally, with no pooling between C7 and F8, which triples the weights: for
comparison, not for use. `alexnet_torchvision` is narrower, without response normalisation, and takes any size.
Names are Caffe's, and torchvision's in its form: published weights load (Caffe's networks had 1 in place of the 2 of
the response normalisation). First weights: normal, deviation 0.01; bias 1 in layers 2, 4, 5 and the hidden linear
ones, so that the ReLUs begin open, else 0; torchvision's form as torch makes them.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import normal
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def overlap() -> nn.MaxPool2d:
    """Overlapping pooling: windows of 3×3, two apart (section 3.4)."""
    return nn.MaxPool2d(3, stride=2)


def respond() -> nn.LocalResponseNorm:
    """Section 3.3: y = x / (2 + 1e-4 · sum over 5 channels of x²)^0.75; torch's alpha multiplies the mean: 5e-4."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def alexnet(gpus: int, pooled: bool, num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 3, 227, 227) -> (N, 1000) logits."""
    h, w = (_left(side, pooled) for side in input_size)
    last = dict(pool5=overlap()) if pooled else {}
    net = normal(Chain(
        conv1=nn.Conv2d(in_chans, 96, 11, stride=4),             relu1=nn.ReLU(), norm1=respond(), pool1=overlap(),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=gpus),     relu2=nn.ReLU(), norm2=respond(), pool2=overlap(),
        conv3=nn.Conv2d(256, 384, 3, padding=1),                 relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=gpus),    relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=gpus),    relu5=nn.ReLU(), **last,
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * h * w, 4096), relu6=nn.ReLU(), drop6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096),        relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, num_classes)), 0.01, nn.Conv2d, nn.Linear)  # fmt: skip
    for name in ("conv2", "conv4", "conv5", "fc6", "fc7"):
        nn.init.ones_(net.get_parameter(f"{name}.bias"))
    return net


def _left(side: int, pooled: bool) -> int:
    """Positions along one side of the last map: 6 of 227, or 13."""
    conv1 = (side - 11) // 4 + 1
    conv5 = ((conv1 - 3) // 2 + 1 - 3) // 2 + 1
    return (conv5 - 3) // 2 + 1 if pooled else conv5


def alexnet_torchvision(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 224×224."""
    return Chain(
        features=Chain(
            nn.Conv2d(in_chans, 64, 11, stride=4, padding=2), nn.ReLU(), overlap(),
            nn.Conv2d(64, 192, 5, padding=2),                 nn.ReLU(), overlap(),
            nn.Conv2d(192, 384, 3, padding=1),                nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),                nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),                nn.ReLU(), overlap()),
        avgpool=nn.AdaptiveAvgPool2d(6), flatten=nn.Flatten(),
        classifier=Chain(
            nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(4096, 4096),        nn.ReLU(),
            nn.Linear(4096, num_classes)))  # fmt: skip


for name, gpus, pooled, smallest, about in [
    ("alexnet_2gpu",       2, True,  67, "ReLU, dropout and two GPUs: the network that won ImageNet in 2012."),
    ("alexnet_onetower",   1, True,  67, "AlexNet as the lectures' table has it: one tower, no groups."),
    ("alexnet_deck_table", 1, False, 35, "The lectures' table literally, the last pooling left out: 201.8 M weights."),
]:  # fmt: skip
    register(Entry(name, partial(alexnet, gpus, pooled), year=2012, paper="doi:10.1145/3065386", about=about,
        input=(3, 227, 227), classes=1000, head="fc8", stem="conv1", look="relu5",
        smallest=smallest, fixed_size=True))  # fmt: skip

register(Entry("alexnet_torchvision", alexnet_torchvision, year=2014, paper="arXiv:1404.5997",
    about="AlexNet as most know it: one narrow tower without response normalisation.",
    input=(3, 224, 224), classes=1000, head="classifier.6", stem="features.0", look="features.11",
    smallest=63, aliases=("alexnet",)))  # fmt: skip
