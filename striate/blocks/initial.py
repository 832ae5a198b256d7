"""First weights, as papers state them. Each function fills a model in place and gives it back."""

from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def he_normal(model: Model) -> Model:
    """Convolutions: normal, variance 2 / (k·k·c_out), zero bias. Other layers stay as torch makes them.

    Source: He et al., arXiv:1502.01852, eq. 14 (the backward case, fan-out), as in torchvision.
    Differs: a convolution in groups sends each channel to c_out/groups others, and c_out is not divided by them: so
    have it torchvision, and the code that the authors of ResNet and ResNeXt published. That of EfficientNet and MnasNet
    has the variance 2 / (k·k) for a convolution of each channel by itself.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def glorot_uniform(model: Model) -> Model:
    """Convolutions and linear layers: uniform within ±sqrt(6 / (fan-in + fan-out)), zero bias; Keras' default.

    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, eq. 16.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def truncated_normal(model: Model, std: float) -> Model:
    """Convolutions and linear layers: normal of this deviation, cut off at ±2; biases stay as torch makes them.

    Source: the Inception networks, as in torchvision's Inception v3 and GoogLeNet.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.is_meta:
            nn.init.trunc_normal_(layer.weight, 0.0, std, -2.0, 2.0)
    return model


def normal(model: Model, std: float, *kinds: type[nn.Conv2d] | type[nn.Linear]) -> Model:
    """Layers of these kinds: normal of this deviation, zero bias. Others stay as they are.

    Source: Krizhevsky et al., 2012, section 5, with deviation 0.01, and many networks since.
    """
    for layer in model.modules():
        if isinstance(layer, kinds):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model
