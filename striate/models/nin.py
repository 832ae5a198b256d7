"""Network in Network: behind each window a small multilayer perceptron, which is 1×1 convolutions; no linear layers.

Lin, Chen & Yan, "Network In Network", 2013, arXiv:1312.4400, figure 2. It introduced 1×1 convolutions and the mean of
each class's map as its logit (global average pooling).
Differs: the paper prints no widths. Those for CIFAR-10 are of the authors' configuration files, those for ImageNet of
the network in Caffe's model zoo, made later. The last 1×1 has a ReLU, as there. Names are Caffe's.
First weights (the paper prints none): He normal by fan-out; the last layer normal, deviation 0.01, with bias 1, so
that no class begins closed behind its ReLU.
"""

from torch import nn

from striate.blocks.initial import he_normal, normal
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def first_weights(net: Chain) -> Chain:
    """He normal, and a last layer whose maps are all open."""
    *_, last = (layer for layer in he_normal(net).modules() if isinstance(layer, nn.Conv2d))
    normal(last, 0.01, nn.Conv2d)
    if last.bias is not None:
        nn.init.ones_(last.bias)
    return net


def nin_cifar10(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 10) logits; 32×32."""
    return first_weights(Chain(
        conv1=nn.Conv2d(in_chans, 192, 5, padding=2), relu1=nn.ReLU(),
        cccp1=nn.Conv2d(192, 160, 1),                 relu_cccp1=nn.ReLU(),
        cccp2=nn.Conv2d(160, 96, 1),                  relu_cccp2=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),     drop3=nn.Dropout(0.5),
        conv2=nn.Conv2d(96, 192, 5, padding=2),       relu2=nn.ReLU(),
        cccp3=nn.Conv2d(192, 192, 1),                 relu_cccp3=nn.ReLU(),
        cccp4=nn.Conv2d(192, 192, 1),                 relu_cccp4=nn.ReLU(),
        pool2=nn.AvgPool2d(3, 2, ceil_mode=True),     drop6=nn.Dropout(0.5),
        conv3=nn.Conv2d(192, 192, 3, padding=1),      relu3=nn.ReLU(),
        cccp5=nn.Conv2d(192, 192, 1),                 relu_cccp5=nn.ReLU(),
        cccp6=nn.Conv2d(192, num_classes, 1),         relu_cccp6=nn.ReLU(),
        pool3=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))  # fmt: skip


def nin_imagenet(num_classes: int, in_chans: int) -> Chain:
    """(N, 3, H, W) -> (N, 1000) logits; 224×224."""
    return first_weights(Chain(
        conv1=nn.Conv2d(in_chans, 96, 11, stride=4),  relu0=nn.ReLU(),
        cccp1=nn.Conv2d(96, 96, 1),                   relu1=nn.ReLU(),
        cccp2=nn.Conv2d(96, 96, 1),                   relu2=nn.ReLU(),
        pool0=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2=nn.Conv2d(96, 256, 5, padding=2),       relu3=nn.ReLU(),
        cccp3=nn.Conv2d(256, 256, 1),                 relu5=nn.ReLU(),
        cccp4=nn.Conv2d(256, 256, 1),                 relu6=nn.ReLU(),
        pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv3=nn.Conv2d(256, 384, 3, padding=1),      relu7=nn.ReLU(),
        cccp5=nn.Conv2d(384, 384, 1),                 relu8=nn.ReLU(),
        cccp6=nn.Conv2d(384, 384, 1),                 relu9=nn.ReLU(),
        pool3=nn.MaxPool2d(3, 2, ceil_mode=True),     drop=nn.Dropout(0.5),
        conv4=nn.Conv2d(384, 1024, 3, padding=1),     relu10=nn.ReLU(),
        cccp7=nn.Conv2d(1024, 1024, 1),               relu11=nn.ReLU(),
        cccp8=nn.Conv2d(1024, num_classes, 1),        relu12=nn.ReLU(),
        pool4=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))  # fmt: skip


register(Entry("nin_cifar10", nin_cifar10, year=2013, paper="arXiv:1312.4400",
    about="1×1 convolutions behind each window, and the mean of a map as a class's logit.",
    input=(3, 32, 32), classes=10, head="cccp6", stem="conv1", look="relu3", smallest=4))  # fmt: skip
register(Entry("nin_imagenet", nin_imagenet, year=2014, paper="arXiv:1312.4400",
    about="Network in Network at ImageNet's size, as in Caffe's model zoo.",
    input=(3, 224, 224), classes=1000, head="cccp8", stem="conv1", look="relu10", smallest=39))  # fmt: skip
