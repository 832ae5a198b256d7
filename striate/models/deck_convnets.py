"""The small convnets of the lectures: digits at 28×28, twice, and cats against dogs at 150×150.

Chollet, "Deep Learning with Python", 2017, sections 5.1 and 5.2; the lectures print both as Keras code. Of the other
network for digits, lecture 4 prints the first convolution and its pooling; the rest is the usual continuation.
Differs: the models return logits, since softmax and sigmoid belong to the loss; and they flatten channels first, so
that `dense1` of a Keras file has to be permuted (Keras: H, W, C).
First weights: Keras' default, Glorot uniform and zero bias.
"""

from torch import nn

from striate.blocks.initial import glorot_uniform
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def mnist_convnet(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 1, 28, 28) -> (N, 10) logits; 93,322 parameters."""
    h, w = (((side - 2) // 2 - 2) // 2 - 2 for side in input_size)  # 3×3 for 28×28
    return glorot_uniform(Chain(
        conv1=nn.Conv2d(in_chans, 32, 3), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3),       relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(64, 64, 3),       relu3=nn.ReLU(),
        flatten=nn.Flatten(),
        dense1=nn.Linear(64 * h * w, 64), relu4=nn.ReLU(),
        dense2=nn.Linear(64, num_classes)))  # fmt: skip


def cats_dogs_convnet(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 3, 150, 150) -> (N, 1) logit of a sigmoid; 3,453,121 parameters."""
    h, w = ((((((side - 2) // 2 - 2) // 2) - 2) // 2 - 2) // 2 for side in input_size)  # 7×7 for 150×150
    return glorot_uniform(Chain(
        conv1=nn.Conv2d(in_chans, 32, 3),   relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3),         relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(64, 128, 3),        relu3=nn.ReLU(), pool3=nn.MaxPool2d(2),
        conv4=nn.Conv2d(128, 128, 3),       relu4=nn.ReLU(), pool4=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(128 * h * w, 512), relu5=nn.ReLU(),
        dense2=nn.Linear(512, num_classes)))  # fmt: skip


def deck4_convnet(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> Chain:
    """(N, 1, 28, 28) -> (N, 10) logits; 137,660 parameters."""
    h, w = (((side - 2) // 2 - 2) // 2 for side in input_size)  # 5×5 for 28×28
    return glorot_uniform(Chain(
        conv1=nn.Conv2d(in_chans, 25, 3), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(25, 50, 3),       relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(50 * h * w, 100), relu3=nn.ReLU(),
        dense2=nn.Linear(100, num_classes)))  # fmt: skip


register(Entry("deck_mnist_convnet", mnist_convnet, year=2017, paper="Deep Learning with Python, section 5.1",
    about="A first convnet: three convolutions and two dense layers read handwritten digits.",
    input=(1, 28, 28), classes=10, head="dense2", stem="conv1", look="relu3",
    smallest=18, fixed_size=True, aliases=("mnist_convnet",)))  # fmt: skip
register(Entry("deck_cats_dogs", cats_dogs_convnet, year=2017, paper="Deep Learning with Python, section 5.2",
    about="A convnet from scratch for two classes, one sigmoid output, from a few thousand photographs.",
    input=(3, 150, 150), classes=1, head="dense2", stem="conv1", look="relu4",
    smallest=46, fixed_size=True, aliases=("cats_dogs_convnet",)))  # fmt: skip
register(Entry("deck4_keras_convnet", deck4_convnet, year=2016, paper="lecture 4",
    about="The lectures' other convnet for digits: two convolutions and two dense layers.",
    input=(1, 28, 28), classes=10, head="dense2", stem="conv1", look="relu2",
    smallest=10, fixed_size=True))  # fmt: skip
