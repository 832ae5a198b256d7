"""The Inception family and NASNet: heads aside, stages, and what only these files promise."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.models.cost import cost
from striate.models.googlenet import GoogLeNetOutputs, googlenet
from striate.models.inception_v3 import InceptionOutputs, inception_v3
from striate.models.nasnet import nasnet_cifar
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers

BLOCKS = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
# Steps of other names than the facts give to the same stages.
STEPS = {
    "googlenet": {
        "conv1/7x7_s2": "conv1", "pool1/3x3_s2": "maxpool1", "pool2/3x3_s2": "maxpool2", "pool3/3x3_s2": "maxpool3",
        "pool4/3x3_s2": "maxpool4", "pool5/7x7_s1": "avgpool", "loss1/ave_pool": "aux1.avgpool",
        "loss2/ave_pool": "aux2.avgpool",
        **{f"inception_{n}/pool": f"inception{n}.branch4.0" for n in BLOCKS},
        **{f"inception_{n}/output": f"inception{n}" for n in BLOCKS},
    },
    "inception_v2_table1": {
        "conv 3x3/2": "conv1", "conv 3x3": "conv2", "conv 3x3 pad": "conv3", "pool 3x3/2": "pool1",
        "3x inception": "inception1", "5x inception": "inception2", "2x inception": "inception3", "pool 8x8": "pool2",
    },
    "inception_resnet_v1": {
        "features.init_block": "conv2d_4b", "features.stage1": "repeat_1", "features.stage2": "repeat_2",
        "features.stage3": "block8", "features.final_pool": "avgpool_1a", "output": "logits",
    },
    "nasnet_a_mobile": {"avg_pool": "global_pool"},
}  # fmt: skip
STEPS["googlenet_aux"] = STEPS["googlenet"]
NAMES = [
    "googlenet", "googlenet_aux", "googlenet_bn", "bn_inception", "inception_v2_table1", "inception_v3",
    "inception_v4", "inception_resnet_v1", "inception_resnet_v2", "xception", "nasnet_a_mobile", "nasnet_a_large",
]  # fmt: skip


def step_of(name: str, stage: str) -> str:
    if name == "bn_inception" and stage.startswith("inception_"):
        return stage[:12] + "." + stage[13:]
    return STEPS.get(name, {}).get(stage, stage)


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """What each step puts out, of one image of the paper's size in training."""
    found: dict[str, tuple[int, ...]] = {}
    with without_numbers():
        model = create_model(name)
    for key, layer in model.named_modules():
        layer.register_forward_hook(
            lambda _, x, y, key=key: found.__setitem__(key, tuple(y.shape[1:])) if isinstance(y, Tensor) else None
        )
    model(torch.empty(2, *entry(name).input, device="meta"))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_have_the_shapes_of_the_facts(name: str, shared: Path) -> None:
    architectures = json.loads((shared / "facts" / "facts.json").read_text())["architectures"]
    stages: list[tuple[str, list[int]]] = next(a for a in architectures if a["id"] == name)["stages"]["list"]
    found, seen = shapes(name), 0
    for stage, shape in stages:
        step = step_of(name, stage)
        if name == "inception_v2_table1":  # the same words name several rows of its table
            step = {"80": "conv4", "192": "conv5", "288": "conv6"}.get(str(shape[0]), step)
        assert found[step][: len(shape)] == tuple(shape) or found[step] == tuple(shape[:1]), stage
        seen += 1
    assert seen == len(stages) > 9 - 4 * (name == "inception_resnet_v1")


def heads(model: nn.Module, aside: dict[str, tuple[int, int, int]]) -> int:
    return sum(cost(model.get_submodule(name), shape).macs for name, shape in aside.items())


def test_googlenets_heads_cost_what_caffe_counts() -> None:
    with without_numbers():
        model = create_model("googlenet_aux")
    found = cost(model, (3, 224, 224))
    assert found.trainable == 13_378_280
    assert found.macs + heads(model, {"aux1": (512, 14, 14), "aux2": (528, 14, 14)}) == 1_591_044_096


def test_the_forms_with_heads_have_the_published_counts() -> None:
    with without_numbers():
        forms = inception_v3(1000, 3, aux=True), googlenet(True, 1000, 3, aux=True)
    assert [sum(p.numel() for p in form.parameters()) for form in forms] == [27_161_264, 13_004_888]


def test_nasnet_a_for_cifar_has_the_3_3_million_of_table_1() -> None:
    with without_numbers():
        found = cost(nasnet_cifar(6, 768, 10, 3), (3, 32, 32))
    assert round(found.trainable / 1e6, 1) == 3.3
    assert not found.unused


@pytest.mark.parametrize(
    ("name", "parameters", "macs", "features"), [("nasnet_b", 5.3, 488, 1536), ("nasnet_c", 4.9, 558, 960)]
)
def test_the_guessed_nasnets_cost_what_table_3_prints(name: str, parameters: float, macs: int, features: int) -> None:
    with without_numbers():
        model = create_model(name)
        found = cost(model, (3, 224, 224))
    assert round(found.trainable / 1e6, 1) == parameters
    assert round(found.macs / 1e6) == macs
    assert model.get_submodule("last_linear").in_features == features
    assert not found.unused


@pytest.mark.parametrize("size", [32, 33, 45])
def test_bn_inception_takes_maps_of_odd_sides(size: int) -> None:
    with without_numbers():
        model = create_model("bn_inception", num_classes=5).eval()
    assert model(torch.empty(1, 3, size, size + 4, device="meta")).shape == (1, 5)


def test_heads_aside_are_given_in_training_only() -> None:
    model = googlenet(True, 7, 3, aux=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs: Any = model.train()(x)
    assert isinstance(outputs, GoogLeNetOutputs)
    assert [logits.shape for logits in outputs] == [(2, 7)] * 3
    sum(logits.square().sum() for logits in outputs).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        assert model.eval()(x).shape == (2, 7)
    assert InceptionOutputs._fields == ("logits", "aux_logits")
    assert GoogLeNetOutputs._fields == ("logits", "aux_logits2", "aux_logits1")
