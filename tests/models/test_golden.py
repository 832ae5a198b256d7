"""Counts and shapes against those that others published or counted; see make_golden.py."""

import json
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from striate.models.cost import Cost, cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())
COSTS: dict[str, dict[str, int]] = json.loads(files("striate.models").joinpath("costs.json").read_text())
PUBLISHED_AS = {"stage": "layer", "fc": "linear"}  # stages of the CIFAR networks: paper -> published weights


@cache
def costed(name: str) -> Cost:
    with without_numbers():
        return cost(create_model(name), entry(name).input)


def test_every_model_has_golden_counts_or_a_reason_not_to() -> None:
    uncounted = run_path(str(Path(__file__).parent / "make_golden.py"))["UNCOUNTED"]
    without = [name for name in list_models() if name not in GOLDEN]
    assert all(any(fnmatchcase(name, pattern) for pattern in uncounted) for name in without)
    assert len(GOLDEN) >= 110


@pytest.mark.parametrize("name", GOLDEN)
def test_the_counts_are_the_published_ones(name: str) -> None:
    found, known = costed(name), GOLDEN[name]
    assert found.trainable == found.parameters == known["parameters"]
    if known["running_statistics"] is not None:
        assert found.buffers == known["running_statistics"]
        assert found.keras_parameters == known["parameters"] + known["running_statistics"]
    assert found.macs == known["macs"]
    assert entry(name).input == tuple(known["input"])
    assert not found.unused


@pytest.mark.parametrize("name", list_models())
def test_the_table_of_models_shows_what_is_counted(name: str) -> None:
    assert COSTS[name] == {"parameters": costed(name).parameters, "macs": costed(name).macs}


def test_the_table_of_models_has_no_model_too_many() -> None:
    assert list(COSTS) == list_models()


@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["stages"]])
def test_the_stages_have_the_published_shapes(name: str) -> None:
    """Stages that the reference calls as we do, or by a name of PUBLISHED_AS."""
    last = {}  # the output of a stage is that of the last layer inside it
    for row in costed(name).rows:
        parts = row.name.split(".")
        last |= {".".join(parts[:n]): row.output for n in range(1, len(parts) + 1)}
    for stage, shape in GOLDEN[name]["stages"].items():
        for step in (stage, *(stage.replace(a, b) for a, b in PUBLISHED_AS.items())):
            if step in last:
                assert _bare(last[step]) == _bare(shape), stage
                break


def test_most_networks_are_compared_stage_by_stage() -> None:
    def compared(name: str) -> int:
        known = {".".join(row.name.split(".")[: n + 1]) for row in costed(name).rows for n in range(4)}
        return len(known & set(GOLDEN[name]["stages"]))

    families = ["lenet5", "resnet50", "densenet121", "inception_v3", "mobilenet_v2_1.0", "squeezenet1_0", "mnasnet1_0"]
    there = [name for name in families if name in GOLDEN]
    assert len(there) >= 6
    assert all(compared(name) >= 4 for name in there), {name: compared(name) for name in there}


def test_the_fixture_is_what_the_shared_facts_say(shared: Path) -> None:
    golden = run_path(str(Path(__file__).parent / "make_golden.py"))["golden"]
    assert golden(shared / "facts" / "facts.json") == GOLDEN


def _bare(shape: Any) -> tuple[int, ...]:
    """64 and 64×1×1 are the same to a paper's table."""
    return tuple(shape[:1]) if tuple(shape[1:]) == (1, 1) else tuple(shape)
