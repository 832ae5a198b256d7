"""The networks of the fastest roads.

Their first filters are fixed: they make small patches of the images uncorrelated, which training need not learn then.
Batch norms have a bias and no scale. Convolutions begin by passing their inputs on. All activations are hard swish,
which on a processor costs as much as ReLU (bf16, 1024 x 64 x 15 x 15: 3.5 ms there and back; GELU 9.7, SiLU 6.6) and
is nearly as smooth as GELU.

Source:  Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3 (network, whitening, first weights);
         Page 2018, "How to train your ResNet" (whitening by patches, fast batch norms).
Differs: hard swish in place of GELU; the network for digits is ours.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.blocks.wiring import Chain


class Scale(nn.Module):
    """y = x * factor"""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with a bias and no scale, whose running statistics follow within a few steps."""
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def passing(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution whose first outputs are its inputs, until it is trained."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:inputs])
    return conv


def whitening(images: Tensor, size: int, filters: int | None = None, least: float = 5e-4) -> Tensor:
    """Filters (F, C, size, size) that make patches of images (N, C, H, W) uncorrelated and of variance 1.

    Half of them are the directions of the largest variance among patches, each divided by its deviation; the other
    half are these with the other sign. If `filters` is not given, F = 2 C size^2 is all of them. `least` is added to
    each variance, so that a direction of noise is not blown up.
    """
    patches = nn.functional.unfold(images.float(), size).transpose(1, 2).flatten(0, 1)  # (patches, C size^2)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))  # rising
    kept = (filters or 2 * len(values)) // 2
    half = (vectors / (values + least).sqrt()).T.flip(0)[:kept].reshape(kept, images.shape[1], size, size)
    return torch.cat([half, -half])


def whitened(images: Tensor, size: int, stride: int = 1, filters: int | None = None) -> nn.Conv2d:
    """A convolution with fixed whitening filters; only its bias is trained."""
    weights = whitening(images, size, filters)
    conv = nn.Conv2d(images.shape[1], len(weights), size, stride)
    conv.weight = nn.Parameter(weights, requires_grad=False)
    return conv


def photographs(images: Tensor, classes: int) -> Chain:
    """(N, C, 32, 32) -> (N, classes) logits; for 3 channels 118.1 million multiply-adds.

    images: some of the training images as the network will see them; they decide the first filters.
    """
    first = 8 * images.shape[1]
    return Chain(
        whiten=whitened(images, 2),   act=nn.Hardswish(),
        conv1a=passing(first, 64), pool1=nn.MaxPool2d(2), norm1a=norm(64),  act1a=nn.Hardswish(),
        conv1b=passing(64, 64),                           norm1b=norm(64),  act1b=nn.Hardswish(),
        conv2a=passing(64, 256),   pool2=nn.MaxPool2d(2), norm2a=norm(256), act2a=nn.Hardswish(),
        conv2b=passing(256, 256),                         norm2b=norm(256), act2b=nn.Hardswish(),
        conv3a=passing(256, 256),  pool3=nn.MaxPool2d(2), norm3a=norm(256), act3a=nn.Hardswish(),
        conv3b=passing(256, 256),                         norm3b=norm(256), act3b=nn.Hardswish(),
        pool4=nn.MaxPool2d(3), flatten=nn.Flatten(),
        dense=nn.Linear(256, classes, bias=False), scale=Scale(1 / 9))  # fmt: skip


def digits(images: Tensor, classes: int) -> Chain:
    """(N, 1, 28, 28) -> (N, classes) logits; 3.6 million multiply-adds.

    images: as for `photographs`. Its first filters step over two pixels: most of the time of a small network is spent
    on its largest images.
    """
    return Chain(
        whiten=whitened(images, 4, stride=2, filters=32), act=nn.Hardswish(),
        conv1=passing(32, 32), norm1=norm(32), act1=nn.Hardswish(), pool1=nn.MaxPool2d(2),
        conv2=passing(32, 64), norm2=norm(64), act2=nn.Hardswish(),
        conv3=passing(64, 64), norm3=norm(64), act3=nn.Hardswish(), pool3=nn.MaxPool2d(6), flatten=nn.Flatten(),
        dense=nn.Linear(64, classes, bias=False), scale=Scale(1 / 9))  # fmt: skip


Build = Callable[[Tensor, int], Chain]
NETWORKS: dict[str, Build] = {"photographs": photographs, "digits": digits}
