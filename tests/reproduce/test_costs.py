"""What training costs: counted against the draws themselves, timed against a planted delay."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from striate.blocks.survival import survive
from striate.blocks.wiring import Stochastic
from striate.data.sources import open_dataset
from striate.models.registry import create_model
from striate.reproduce import pace
from striate.reproduce.costs import blocks_that_ran, multiply_adds
from striate.reproduce.experiment import Trained
from striate.reproduce.reading import open_experiment
from striate.training.machine import survey


def test_blocks_are_counted_as_the_draws_have_it() -> None:
    net = survive(create_model("cifar_resnet20"), 0.3)
    blocks = {name: block.survival for name, block in net.named_modules() if isinstance(block, Stochastic)}
    drawn = dict.fromkeys(blocks, 0)
    x = torch.randn(2, 3, 8, 8)
    with blocks_that_ran(net) as ran, torch.no_grad():
        for step in range(12):
            torch.manual_seed(step)
            for name, survival in blocks.items():
                drawn[name] += torch.rand(()).item() < survival
            torch.manual_seed(step)
            net.train()(x)
            net.eval()(x)  # a measurement in between is no training
    assert ran.pop("") == 12
    assert {name: ran.get(name, 0) for name in blocks} == drawn
    assert 0 < sum(drawn.values()) < 12 * len(blocks)
    with torch.no_grad():
        net.train()(x)
    assert "" not in ran  # and nothing is counted afterwards


def test_a_block_that_ran_in_half_of_the_steps_saves_half_of_its_multiply_adds() -> None:
    net = create_model("cifar_resnet20")
    names = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1, 2)]
    ran = dict.fromkeys(names, 10) | {"": 10, "layer1.2": 5}
    found = multiply_adds(net, (3, 32, 32), ran)
    assert found["macs"] - found["macs_training"] == 0.5 * 2 * 9 * 16 * 16 * 32 * 32  # type: ignore[operator]
    assert found["blocks_run"] == [85, 90]
    whole = multiply_adds(net, (3, 32, 32), dict.fromkeys(names, 10) | {"": 10})
    assert whole["macs_training"] == whole["macs"] == found["macs"]


def test_a_network_without_residual_blocks_has_its_multiply_adds_alone() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    with blocks_that_ran(net) as ran:
        net(torch.zeros(1, 3, 2, 2))
    assert multiply_adds(net, (3, 2, 2), ran) == {"macs": 60}


def test_steps_are_timed_in_turns_and_a_slow_arm_is_seen(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    turns: list[str] = []
    real = pace.build

    def slowed(arm: Trained, *rest: Any) -> nn.Module:
        name = next(name for name, one in experiment.trained.items() if one == arm)
        module = real(arm, *rest)
        module.register_forward_pre_hook(lambda *_: turns.append(name) or time.sleep(0.03 * (name == "with")))
        return module

    monkeypatch.setattr(pace, "build", slowed)
    datasets = {"digits": open_dataset("digits", val_share=0.0)}
    found = pace.step_ms(experiment.trained, experiment.work, datasets, survey(1), turns=3)
    assert turns == ["without", "with"] * (3 + pace.WARM)
    assert found["with"] > 30
    assert found["with"] > found["without"]
