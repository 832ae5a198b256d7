"""Counts and shapes against those that others published or counted; see make_golden.py."""

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch

from striate.models.cost import Cost, cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())
COSTS: dict[str, dict[str, int]] = json.loads(files("striate.models").joinpath("costs.json").read_text())
RUNS_IN_TRAINING = ("googlenet_aux", "capsnet_mnist")  # auxiliary heads; the decoder of the reconstruction
ASIDE_MACS = {"googlenet_aux": 8_372_224}  # two heads: 1x1 convolution to 128, dense 2048 to 1024, dense 1024 to 1000
NOT_RUN = ("decoder", "loss1/ave_pool", "loss2/ave_pool")  # in evaluation
PUBLISHED_AS = {"stage": "layer", "fc": "linear"}  # stages of the CIFAR networks: paper -> published weights


@cache
def costed(name: str) -> Cost:
    with without_numbers():
        return cost(create_model(name), entry(name).input)


def test_every_model_has_golden_counts_or_a_reason_not_to() -> None:
    uncounted = run_path(str(Path(__file__).parent / "make_golden.py"))["UNCOUNTED"]
    without = [name for name in list_models() if name not in GOLDEN]
    assert all(any(fnmatchcase(name, pattern) for pattern in uncounted) for name in without)
    assert len(GOLDEN) >= 122


@pytest.mark.parametrize("name", GOLDEN)
def test_the_counts_are_the_published_ones(name: str) -> None:
    found, known = costed(name), GOLDEN[name]
    assert found.trainable == found.parameters == known["parameters"]
    if known["running_statistics"] is not None and name != "lenet5_1998":  # its buffers are the bitmaps of the digits
        assert found.buffers == known["running_statistics"]
        assert found.keras_parameters == known["parameters"] + known["running_statistics"]
    assert found.macs == known["macs"] - ASIDE_MACS.get(name, 0)
    assert entry(name).input == tuple(known["input"])
    assert bool(found.unused) == (name in RUNS_IN_TRAINING)


@pytest.mark.parametrize("name", list_models())
def test_the_table_of_models_shows_what_is_counted(name: str) -> None:
    assert COSTS[name] == {"parameters": costed(name).parameters, "macs": costed(name).macs}


def test_the_table_of_models_has_no_model_too_many() -> None:
    assert set(COSTS) == set(list_models())


@cache
def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """What every step puts out, batch left out."""
    seen: dict[str, tuple[int, ...]] = {}
    with without_numbers():
        model = create_model(name).eval()
        for key, step in model.named_modules():
            step.register_forward_hook(
                lambda _, __, y, key=key: seen.__setitem__(key, tuple(getattr(y, "shape", ())[1:]))
            )
        model(torch.empty(1, *entry(name).input, device="meta"))
    return seen


def compared(name: str) -> dict[str, str]:
    """Stages of the reference -> our step of that name, or of its other name."""
    known = shapes(name)
    pairs = {}
    for stage in GOLDEN[name]["stages"]:
        names = (stage, *(stage.replace(a, b) for a, b in PUBLISHED_AS.items()))
        if step := next((one for one in names if one in known), None):
            pairs[stage] = step
    return pairs


def missing(name: str, stages: dict[str, list[int]]) -> list[str]:
    """Stages whose shape no step puts out: none of that name, and none after the step of the stage before."""
    pairs, steps = compared(name), iter([_bare(shape) for shape in shapes(name).values()])
    return [
        stage
        for stage, shape in stages.items()
        if stage not in NOT_RUN
        if not (_bare(shapes(name)[pairs[stage]]) == _bare(shape) if stage in pairs else _bare(shape) in steps)
    ]


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["stages"]])
def test_the_stages_have_the_published_shapes(name: str) -> None:
    assert missing(name, GOLDEN[name]["stages"]) == []


@pytest.mark.parametrize(
    "name", ["vgg11", "mobilenet_v1_0.25_128", "googlenet", "resnet18"]
)  # by position, and by name
def test_a_stage_of_another_shape_is_missed(name: str) -> None:
    stages = GOLDEN[name]["stages"]
    for stage, (channels, *sides) in stages.items():
        assert stage in missing(name, {**stages, stage: [channels + 1, *sides]})
    if not compared(name):
        assert missing(name, dict(reversed(stages.items())))


def test_most_networks_are_compared_stage_by_stage() -> None:
    families = ["lenet5", "resnet50", "densenet121", "inception_v3", "mobilenet_v2", "squeezenet1_0", "mnasnet1_0"]
    assert {name: len(compared(name)) for name in families if len(compared(name)) < 4} == {}
    assert sum(len(compared(name)) >= 4 for name in GOLDEN) >= 60


def test_every_network_of_the_facts_can_be_built_by_its_id(shared: Path) -> None:
    architectures = json.loads((shared / "facts" / "facts.json").read_text())["architectures"]
    assert len([entry(known["id"]) for known in architectures]) >= 116


def test_the_fixture_is_what_the_shared_facts_say(shared: Path) -> None:
    golden = run_path(str(Path(__file__).parent / "make_golden.py"))["golden"]
    assert golden(shared / "facts" / "facts.json") == GOLDEN


def _bare(shape: Any) -> tuple[int, ...]:
    """64 and 64×1×1 are the same to a paper's table."""
    return tuple(shape[:1]) if tuple(shape[1:]) == (1, 1) else tuple(shape)
