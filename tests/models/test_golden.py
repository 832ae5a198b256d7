"""Counts and shapes against those that others published or counted; see make_golden.py."""

import json
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from striate.models.cost import Cost, cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())
PUBLISHED_AS = {"stage": "layer", "fc": "linear"}  # stages of the CIFAR networks: paper -> published weights


def costed(name: str) -> Cost:
    with without_numbers():
        return cost(create_model(name), entry(name).input)


def test_every_model_has_golden_counts() -> None:
    assert list(GOLDEN) == list_models()


@pytest.mark.parametrize("name", GOLDEN)
def test_the_counts_are_the_published_ones(name: str) -> None:
    found, known = costed(name), GOLDEN[name]
    assert found.trainable == found.parameters == known["parameters"]
    assert found.buffers == known["running_statistics"]
    assert found.keras_parameters == known["parameters"] + known["running_statistics"]
    assert found.macs == known["macs"]
    assert entry(name).input == tuple(known["input"])
    assert entry(name).classes == known["classes"]
    assert not found.unused
    assert not found.notes


@pytest.mark.parametrize("name", GOLDEN)
def test_the_stages_have_the_published_shapes(name: str) -> None:
    last = {}  # the output of a stage is that of the last layer inside it
    for row in costed(name).rows:
        parts = row.name.split(".")
        last |= {".".join(parts[:n]): row.output for n in range(1, len(parts) + 1)}
    compared = 0
    for stage, shape in GOLDEN[name]["stages"].items():
        names = [stage, *(stage.replace(a, b) for a, b in PUBLISHED_AS.items())]
        step = next(n for n in names if n in last)
        assert _bare(last[step]) == _bare(shape), stage
        compared += 1
    assert compared >= 6


def test_the_fixture_is_what_the_shared_facts_say(shared: Path) -> None:
    golden = run_path(str(Path(__file__).parent / "make_golden.py"))["golden"]
    assert golden(shared / "facts" / "facts.json") == GOLDEN


def _bare(shape: Any) -> tuple[int, ...]:
    """64 and 64×1×1 are the same to a paper's table."""
    return tuple(shape[:1]) if tuple(shape[1:]) == (1, 1) else tuple(shape)
