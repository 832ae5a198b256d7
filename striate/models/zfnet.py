"""ZFNet: AlexNet with a smaller first window and stride, chosen by looking at what its filters respond to.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2013, arXiv:1311.2901, figure 3; form b, with
512, 1024 and 512 maps in layers 3 to 5, is the widest of table 2.
Differs: padding and the constants of the response normalisation are not printed; here as in AlexNet and so that the
maps are those of the figure (110, 55, 26, 13, 6). First weights: normal, deviation 0.01, zero bias (section 3),
for pixels of 0 to 255 less their mean, not for images normalised to deviation 1.
"""

from functools import partial

from torch import nn

from striate.blocks.initial import normal
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def overlap(ceil: bool) -> nn.MaxPool2d:
    """3×3, stride 2; ceil: a last window may hang over the edge."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=ceil)


def respond() -> nn.LocalResponseNorm:
    """AlexNet's: y = x / (2 + 1e-4 · sum over 5 channels of x²)^0.75; torch's alpha multiplies the mean: 5e-4."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def zfnet(c3: int, c4: int, c5: int, num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 3, 224, 224) -> (N, 1000) logits."""
    h, w = (_left(side) for side in input_size)
    return normal(Chain(
        conv1=nn.Conv2d(in_chans, 96, 7, stride=2, padding=1), relu1=nn.ReLU(), pool1=overlap(True), norm1=respond(),
        conv2=nn.Conv2d(96, 256, 5, stride=2),                 relu2=nn.ReLU(), pool2=overlap(True), norm2=respond(),
        conv3=nn.Conv2d(256, c3, 3, padding=1),                relu3=nn.ReLU(),
        conv4=nn.Conv2d(c3, c4, 3, padding=1),                 relu4=nn.ReLU(),
        conv5=nn.Conv2d(c4, c5, 3, padding=1),                 relu5=nn.ReLU(), pool5=overlap(False),
        flatten=nn.Flatten(),
        fc6=nn.Linear(c5 * h * w, 4096),                       relu6=nn.ReLU(), drop6=nn.Dropout(0.5),
        fc7=nn.Linear(4096, 4096),                             relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
        fc8=nn.Linear(4096, num_classes)), 0.01, nn.Conv2d, nn.Linear)  # fmt: skip


def _left(side: int) -> int:
    """Positions along one side of pool5: 6 of 224."""
    conv1 = (side + 2 - 7) // 2 + 1
    conv2 = (conv1 // 2 - 5) // 2 + 1
    return (conv2 // 2 - 3) // 2 + 1


for name, widths, about in [
    ("zfnet",   (384, 384, 256),  "AlexNet, repaired where looking at its filters showed them aliased or dead."),
    ("zfnet_b", (512, 1024, 512), "ZFNet with more maps in its last three convolutions."),
]:  # fmt: skip
    register(Entry(name, partial(zfnet, *widths), year=2013, paper="arXiv:1311.2901", about=about,
        input=(3, 224, 224), classes=1000, head="fc8", stem="conv1", look="relu5",
        smallest=63, fixed_size=True))  # fmt: skip
