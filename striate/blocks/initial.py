"""First weights, as papers state them. Each function fills a model in place and gives it back."""

from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def he_normal(model: Model) -> Model:
    """Convolutions: normal, variance 2 / (k·k·c_out/groups), zero bias. Other layers stay as torch makes them.

    Source: He et al., arXiv:1502.01852, eq. 14 (the backward case, fan-out), as in torchvision's ResNet.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
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
