"""What a layer is called where there is little room: `3×3 conv /2`, `2×2 max pool`, `dropout 0.5`."""

from math import prod

from torch import nn

from striate.blocks.wiring import Share
from striate.models.shapes import pair

# Layers whose name says all; of the others what is said depends on their numbers.
PLAIN: dict[str, str] = {
    "BatchNorm1d": "batch norm", "BatchNorm2d": "batch norm", "LocalResponseNorm": "response norm",
    "GroupNorm": "group norm", "LayerNorm": "layer norm", "InstanceNorm2d": "instance norm",
    "ReLU": "ReLU", "ReLU6": "ReLU6", "LeakyReLU": "leaky ReLU", "PReLU": "PReLU", "ELU": "ELU", "GELU": "GELU",
    "SiLU": "SiLU", "Hardswish": "hard swish", "Hardsigmoid": "hard sigmoid", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "ScaledTanh": "scaled tanh", "Softmax": "softmax", "LogSoftmax": "log softmax",
    "Flatten": "flatten", "Identity": "identity", "ChannelShuffle": "shuffle", "ZeroPad2d": "pad",
    "Pick": "some maps", "Scale": "scaled",
    "Add": "sum", "Concat": "concat", "SubSampling": "scale, shift", "RadialBasis": "radial basis",
    "PaddedShortcut": "padded shortcut", "PrimaryCapsules": "capsules", "DigitCapsules": "routing",
    "Presence": "lengths", "StochasticDepth": "stochastic depth",
}  # fmt: skip
NORMS = {"batch norm", "response norm", "group norm", "layer norm", "instance norm"}
ACTIVATIONS = {
    "ReLU", "ReLU6", "leaky ReLU", "PReLU", "ELU", "GELU", "SiLU", "hard swish", "hard sigmoid", "sigmoid", "tanh",
    "scaled tanh", "softmax", "log softmax",
}  # fmt: skip


def label(layer: nn.Module) -> str:
    """The layer in a few words, its outputs left out.

    >>> label(nn.Conv2d(3, 8, 3, stride=2, padding=1)), label(nn.Conv2d(8, 8, 3, groups=8)), label(nn.Linear(8, 4))
    ('3×3 conv /2', '3×3 depthwise', 'linear')
    """
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer)
    if isinstance(layer, nn.Linear):
        return "linear"
    if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return _adaptive(layer)
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        how = "max pool" if isinstance(layer, nn.MaxPool2d) else "mean pool"
        kernel = pair(layer.kernel_size)
        stride = pair(layer.stride or layer.kernel_size)
        return f"{_window(kernel)} {how}{_step(stride, usual=kernel)}"
    if isinstance(layer, nn.GroupNorm) and layer.num_groups in (1, layer.num_channels):
        return "layer norm" if layer.num_groups == 1 else "instance norm"
    if isinstance(layer, Share):
        return f"share {layer.i + 1} of {layer.n}"
    if isinstance(layer, nn.Dropout | nn.Dropout2d):
        return f"dropout {layer.p:g}"
    kind = type(layer).__name__
    return PLAIN.get(kind, kind)


def channels(layer: nn.Module) -> int | None:
    """The outputs that a layer with weights makes, None for one that keeps what it is given."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels
    return layer.out_features if isinstance(layer, nn.Linear) else None


def own_parameters(layer: nn.Module) -> int:
    """Numbers that are trained, of the layer and of what is in it; a parameter that is used twice counts once."""
    return sum(prod(weight.shape) for weight in layer.parameters())


def _convolution(layer: nn.Conv2d) -> str:
    kernel, stride = pair(layer.kernel_size), pair(layer.stride)
    depthwise = 1 < layer.groups == layer.in_channels and layer.out_channels % layer.groups == 0
    groups = "" if depthwise or layer.groups == 1 else f" {layer.groups} groups"
    dilation = "" if pair(layer.dilation) == (1, 1) else f" dilated {_window(pair(layer.dilation))}"
    return f"{_window(kernel)} {'depthwise' if depthwise else 'conv'}{_step(stride)}{groups}{dilation}"


def _adaptive(layer: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) -> str:
    how = "mean" if isinstance(layer, nn.AdaptiveAvgPool2d) else "max"
    size = layer.output_size
    sides = (size, size) if isinstance(size, int) or size is None else (size[0], size[1])
    if sides == (1, 1):
        return f"global {how}"
    return f"{how} to {'×'.join('.' if side is None else str(side) for side in sides)}"


def _window(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _step(stride: tuple[int, int], usual: tuple[int, int] = (1, 1)) -> str:
    if stride == usual:
        return ""
    return f" /{stride[0]}" if stride[0] == stride[1] else f" /{_window(stride)}"
