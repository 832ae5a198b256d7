"""Published weights of the CIFAR networks on real images: by name, strictly, and to the accuracy stated beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from striate.models.registry import create_model

DEPTHS = [20, 32, 44, 56]


def images(shared: Path, strips: int) -> tuple[Tensor, Tensor]:
    """The first 500·strips test images (N, 3, 32, 32), normalised as these networks were trained, and their labels."""
    folder = shared / "data" / "cifar10"
    paths = sorted(folder.glob("test_*.webp"))[:strips]
    pixels = np.concatenate([np.asarray(Image.open(path).convert("RGB")).reshape(-1, 32, 32, 3) for path in paths])
    labels = np.frombuffer((folder / "test_labels.u8").read_bytes(), np.uint8)[: len(pixels)]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(pixels).float() / 255 - mean) / std
    return x.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels.astype(np.int64))


def weights(shared: Path, depth: int) -> Path:
    return shared / "weights" / f"cifar10_resnet{depth}_akamaster.safetensors"


def straight_line(stored: dict[str, Tensor], x: Tensor, depth: int) -> Tensor:
    """The network written out from section 4.2 of the paper, without any of Striate's layers."""

    def conv_bn(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, stored[f"module.{conv}.weight"], stride=stride, padding=1)
        mean, var, gamma, beta = (
            stored[f"module.{bn}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta

    x = conv_bn(x, "conv1", "bn1").clamp(min=0)
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for block in range((depth - 2) // 6):
            at, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            f = conv_bn(conv_bn(x, at + "conv1", at + "bn1", stride).clamp(min=0), at + "conv2", at + "bn2")
            if stride == 2:
                zeros = torch.zeros(len(x), channels // 4, *f.shape[2:])
                x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], 1)
            x = (x + f).clamp(min=0)
    return x.mean((2, 3)) @ stored["module.linear.weight"].T + stored["module.linear.bias"]


@pytest.mark.parametrize("depth", [20, 56])
def test_logits_are_those_of_the_network_written_out(shared: Path, depth: int) -> None:
    model = create_model(f"resnet{depth}", weights=weights(shared, depth)).eval()
    x, _ = images(shared, 1)
    with torch.no_grad():
        expected = straight_line(load_file(weights(shared, depth)), x[:64], depth)
        torch.testing.assert_close(model(x[:64]), expected, rtol=1e-4, atol=1e-4)


def test_most_of_a_few_hundred_images_are_recognised(shared: Path) -> None:
    model = create_model("cifar_resnet20", weights=weights(shared, 20)).eval()
    x, labels = images(shared, 1)
    with torch.no_grad():
        right = (model(x).argmax(1) == labels).float().mean().item()
    assert 0.89 < right < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_accuracy_on_all_test_images_is_the_stated_one(shared: Path, depth: int) -> None:
    stated = json.loads(weights(shared, depth).with_suffix(".json").read_text())["measured"]["cifar10_test"]
    model = create_model(f"cifar_resnet{depth}", weights=weights(shared, depth)).eval()
    x, labels = images(shared, 20)
    with torch.no_grad():
        right = sum(
            (model(part).argmax(1) == y).sum().item() for part, y in zip(x.split(250), labels.split(250), strict=True)
        )
    assert len(labels) == 10_000
    assert 100 * right / 10_000 == pytest.approx(stated, abs=0.02)
