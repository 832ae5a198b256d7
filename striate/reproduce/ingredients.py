"""One small network in which a single ingredient is changed at a time.

    conv1 5×5, 8 maps · act · [LRN] · pool        [ ] where it is asked for
    conv2 3×3, 16 maps · act · [LRN] · pool
    [conv3, conv4, ... 3×3, 16 maps · act]
    dense1 64 · act · dense2

52,266 parameters on images of 28×28×1 with ten classes; with a norm, each convolution has one and no bias. It is no
network of a paper: it is small enough that several seeds of several arms train in minutes on one core.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from striate.blocks.initial import glorot_uniform, he_normal, normal
from striate.blocks.wiring import Chain

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid"]
Pool = Literal["max", "average", "l2", "overlapping_max", "overlapping_average", "stride"]
Initial = Literal["he", "glorot", "torch", "normal_0.01", "normal_0.3", "zero"]

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.01), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
}  # fmt: skip
_POOLS: dict[Pool, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "average": lambda: nn.AvgPool2d(2),
    "l2": lambda: nn.LPPool2d(2, 2),
    "overlapping_max": lambda: nn.MaxPool2d(3, 2, 1),
    "overlapping_average": lambda: nn.AvgPool2d(3, 2, 1),
    "stride": nn.Identity,  # the convolution in front of it moves two pixels at a time
}


class Ingredients(BaseModel):
    """What the small network is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    activation: Activation = "relu"
    norm: bool = False  # batch norm behind every convolution
    lrn: bool = False  # local response normalisation behind the first two activations, AlexNet's constants
    pool: Pool = "max"
    dropout: float = Field(0.0, ge=0, lt=1)  # in front of both dense layers
    deep: int = Field(0, ge=0, le=64)  # further 3×3 convolutions of 16 maps, before the dense layers
    initial: Initial = "he"


def small_network(ingredients: Ingredients, num_classes: int, in_chans: int, side: int) -> Chain:
    """(N, in_chans, side, side) -> (N, num_classes) logits."""
    steps: dict[str, nn.Module] = {}

    def convolve(name: str, c_in: int, c: int, k: int, stride: int = 1) -> None:
        steps[f"conv{name}"] = nn.Conv2d(c_in, c, k, stride, k // 2, bias=not ingredients.norm)
        if ingredients.norm:
            steps[f"bn{name}"] = nn.BatchNorm2d(c)
        steps[f"act{name}"] = _ACTIVATIONS[ingredients.activation]()

    stride = 2 if ingredients.pool == "stride" else 1
    for name, c_in, c, k in (("1", in_chans, 8, 5), ("2", 8, 16, 3)):
        convolve(name, c_in, c, k, stride)
        if ingredients.lrn:
            steps[f"lrn{name}"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        steps[f"pool{name}"] = _POOLS[ingredients.pool]()
    for i in range(ingredients.deep):
        convolve(f"{i + 3}", 16, 16, 3)
    up = 0 if ingredients.pool in ("max", "average", "l2") else 1  # whether a last row that is alone counts
    left = ((side + up) // 2 + up) // 2
    steps["flatten"] = nn.Flatten()
    if ingredients.dropout:
        steps["drop1"] = nn.Dropout(ingredients.dropout)
    steps["dense1"] = nn.Linear(16 * left * left, 64)
    steps["act_dense"] = _ACTIVATIONS[ingredients.activation]()
    if ingredients.dropout:
        steps["drop2"] = nn.Dropout(ingredients.dropout)
    steps["dense2"] = nn.Linear(64, num_classes)
    return _fill(Chain(**steps), ingredients.initial)


def _fill(net: Chain, initial: Initial) -> Chain:
    match initial:
        case "he":  # dense layers by the same rule: what he_normal leaves to torch is a third of it
            he_normal(net)
            for layer in net.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        case "glorot":
            glorot_uniform(net)
        case "normal_0.01":
            normal(net, 0.01, nn.Conv2d, nn.Linear)
        case "normal_0.3":
            normal(net, 0.3, nn.Conv2d, nn.Linear)
        case "zero":
            normal(net, 0.0, nn.Conv2d, nn.Linear)
        case "torch":
            pass
    return net
