"""The Inception family: auxiliary heads as torchvision has them, Inception-ResNet v1 as pytorchcv, GoogLeNet by hand.

Needs `make oracles` and, for v1, pytorchcv 0.0.74. The others are compared in test_oracle_logits.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.models.googlenet import GoogLeNetOutputs
from striate.models.inception_v3 import InceptionOutputs
from striate.models.registry import create_model
from tests.models.oracles import TOLERANCE, as_they_run, build, by_name, calibrate, difference, independent, patches


def untrained(name: str) -> nn.Module:
    """torchvision's network with its auxiliary heads."""
    model: nn.Module = getattr(independent("torchvision.models"), name)(weights=None, init_weights=False)
    return model


def without_dropout(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


def expect_same_outputs(ours: nn.Module, theirs: nn.Module, images: Tensor, kind: Any) -> None:
    """In training: logits, and those of the auxiliary heads."""
    with torch.no_grad():
        a, b = (without_dropout(model).train()(images) for model in (ours, theirs))
    assert isinstance(a, kind)
    assert a._fields == b._fields
    for mine, other in zip(a, b, strict=True):
        assert difference(lambda _, y=mine: y, lambda _, y=other: y, images) < TOLERANCE


@pytest.mark.oracle
def test_inception_v3_has_torchvisions_auxiliary_head() -> None:
    images = patches(4, 3, 299, 299, seed=4)
    theirs, ours = (
        calibrate(untrained("inception_v3").train(), images, aside=True),
        create_model("inception_v3", aux=True),
    )
    by_name(ours, theirs)
    assert sum(p.numel() for p in ours.parameters()) == 27_161_264
    expect_same_outputs(ours, theirs, images, InceptionOutputs)
    assert ours.eval()(images[:1]).shape == (1, 1000)


@pytest.mark.oracle
def test_googlenet_bn_has_torchvisions_auxiliary_heads() -> None:
    images = patches(6, 3, 112, 119, seed=4)
    theirs, ours = calibrate(untrained("googlenet"), images, aside=True), create_model("googlenet_bn", aux=True)
    by_name(ours, theirs)
    assert sum(p.numel() for p in ours.parameters()) == 13_004_888
    expect_same_outputs(ours, theirs, images, GoogLeNetOutputs)


@pytest.mark.oracle
def test_inception_resnet_v1_is_pytorchcvs() -> None:
    images = patches(4, 3, 299, 299, seed=4)  # they average over windows of a fixed size
    theirs, ours = calibrate(build("pytorchcv:inceptionresnetv1"), images), create_model("inception_resnet_v1").eval()
    as_they_run(ours, theirs, images[:1])
    assert difference(ours, theirs, images[:2]) < TOLERANCE


def googlenet_written_out(w: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The network of the paper in evaluation, straight down; also the logits of its two other heads."""

    def conv(name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return functional.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], stride, padding).clamp(min=0)

    def pool(x: Tensor, k: int = 3, stride: int = 2, padding: int = 0) -> Tensor:
        return functional.max_pool2d(x, k, stride, padding, ceil_mode=True)

    def norm(x: Tensor) -> Tensor:  # over five neighbouring channels, section 3.3 of AlexNet's paper with k = 1
        squares = functional.pad(x**2, (0, 0, 0, 0, 2, 2))
        return x / (1 + 1e-4 / 5 * sum(squares[:, i : i + x.shape[1]] for i in range(5))) ** 0.75

    def mix(name: str, x: Tensor) -> Tensor:
        return torch.cat([
            conv(f"{name}.branch1", x),
            conv(f"{name}.branch2.1", conv(f"{name}.branch2.0", x), padding=1),
            conv(f"{name}.branch3.1", conv(f"{name}.branch3.0", x), padding=2),
            conv(f"{name}.branch4.1", pool(x, 3, 1, 1))], dim=1)  # fmt: skip

    def dense(name: str, x: Tensor) -> Tensor:
        return x.flatten(1) @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def head(name: str, x: Tensor) -> Tensor:
        x = conv(f"{name}.conv", functional.avg_pool2d(x, 5, 3))
        return dense(f"{name}.fc2", dense(f"{name}.fc1", x).clamp(min=0))

    x = norm(pool(conv("conv1", x, 2, 3)))
    x = pool(norm(conv("conv3", conv("conv2", x), padding=1)))
    x = pool(mix("inception3b", mix("inception3a", x)))
    x = mix("inception4a", x)
    first = head("aux1", x)
    x = mix("inception4d", mix("inception4c", mix("inception4b", x)))
    second = head("aux2", x)
    x = pool(mix("inception4e", x))
    x = mix("inception5b", mix("inception5a", x))
    return dense("fc", x.mean(dim=(2, 3))), second, first


def test_googlenet_is_the_network_written_out() -> None:
    images = patches(4, 3, 224, 224, seed=4)
    model, alone = calibrate(create_model("googlenet_aux"), images, aside=True), create_model("googlenet").eval()
    w = model.state_dict()
    alone.load_state_dict({key: tensor for key, tensor in w.items() if not key.startswith("aux")}, strict=True)
    x = images[:2]
    with torch.no_grad():
        expected, outputs = googlenet_written_out(w, x), without_dropout(model).train()(x)
    for mine, other in zip(outputs, expected, strict=True):
        assert difference(lambda _, y=mine: y, lambda _, y=other: y, x) < TOLERANCE
    assert difference(model.eval(), lambda _: expected[0], x) < TOLERANCE
    assert difference(alone, lambda _: expected[0], x) < TOLERANCE
