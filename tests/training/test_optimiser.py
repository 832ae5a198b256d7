"""Update rules are torch's; their memory survives being written down, to the bit and to the layout."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from striate.run.packed import pack, unpack
from striate.training.optimiser import make_optimiser, restore, set_rate, state_tensors
from striate.training.recipe import Recipe

RULES: list[dict[str, Any]] = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "nesterov": False},
    {"optimizer": "sgd", "momentum": 0.0},
    {"optimizer": "rmsprop"},
    {"optimizer": "rmsprop", "momentum": 0.0},
    {"optimizer": "adam"},
    {"optimizer": "adamw"},
]


def recipe(**more: Any) -> Recipe:
    return Recipe.make({"model": "m", "data": "d", "lr": 0.05, **more})


def net(channels_last: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1, bias=False), nn.Flatten(), nn.Linear(80, 2)
    )
    return made.to(memory_format=torch.channels_last) if channels_last else made  # type: ignore[call-overload]


def step(module: nn.Module, rule: Optimizer, seed: int, channels_last: bool = False) -> None:
    images = torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    rule.zero_grad()
    module(images).logsumexp(1).sum().backward()
    rule.step()


def layout(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The order in memory; the stride of an axis of length one says nothing."""
    steps = {name: zip(tensor.shape, tensor.stride(), strict=True) for name, tensor in tensors.items()}
    return {name: tuple(stride for side, stride in pairs if side > 1) for name, pairs in steps.items()}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("more", RULES, ids=lambda more: "-".join(map(str, more.values())))
def test_a_rule_whose_memory_was_stored_takes_the_same_next_steps(
    tmp_path: Path, more: dict[str, Any], channels_last: bool
) -> None:
    module = net(channels_last)
    rule = make_optimiser(module, recipe(**more))
    for seed in range(3):
        step(module, rule, seed, channels_last)
    (tmp_path / "state").write_bytes(pack(state_tensors(module, rule), {}))
    stored, _ = unpack(tmp_path / "state")

    again = net(channels_last)
    again.load_state_dict(copy.deepcopy(module.state_dict()))
    other = make_optimiser(again, recipe(**more))
    restore(again, other, stored)
    assert layout(state_tensors(again, other)) == layout(state_tensors(module, rule))
    for seed in range(3, 6):
        step(module, rule, seed, channels_last)
        step(again, other, seed, channels_last)
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name
    for name, tensor in state_tensors(module, rule).items():
        assert torch.equal(tensor, state_tensors(again, other)[name]), name


def test_without_its_memory_a_rule_would_step_elsewhere() -> None:
    """So that the test above can fail."""
    module = net()
    rule = make_optimiser(module, recipe())
    step(module, rule, 0)
    again = net()
    again.load_state_dict(copy.deepcopy(module.state_dict()))
    step(module, rule, 1)
    step(again, make_optimiser(again, recipe()), 1)
    assert not torch.equal(module[0].weight, again[0].weight)


def test_the_memory_is_a_copy_and_not_shared_with_what_was_read() -> None:
    module = net()
    rule = make_optimiser(module, recipe())
    step(module, rule, 0)
    stored = {name: tensor.clone() for name, tensor in state_tensors(module, rule).items()}
    before = {name: tensor.clone() for name, tensor in stored.items()}
    restore(module, rule, stored)
    step(module, rule, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in stored.items())


def test_a_rule_that_has_not_stepped_has_no_memory() -> None:
    module = net()
    assert state_tensors(module, make_optimiser(module, recipe())) == {}


@pytest.mark.parametrize(
    ("more", "kind", "expected"),
    [
        ({"optimizer": "sgd"}, SGD, {"momentum": 0.9, "nesterov": True}),
        ({"optimizer": "sgd", "momentum": 0.0}, SGD, {"momentum": 0.0, "nesterov": False}),
        ({"optimizer": "sgd", "nesterov": False, "momentum": 0.5}, SGD, {"momentum": 0.5, "nesterov": False}),
        ({"optimizer": "rmsprop"}, RMSprop, {"momentum": 0.9, "alpha": 0.99}),
        ({"optimizer": "adam"}, Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ({"optimizer": "adamw"}, AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
    ],
)
def test_a_recipe_makes_the_rule_that_it_names(more: dict[str, Any], kind: type, expected: dict[str, Any]) -> None:
    rule = make_optimiser(net(), recipe(**more))
    assert type(rule) is kind
    for group in rule.param_groups:
        assert {key: group[key] for key in expected} == expected
        assert group["lr"] == 0.05


def test_biases_and_norms_are_not_decayed_and_all_else_is() -> None:
    module = net()
    rule = make_optimiser(module, recipe(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in rule.param_groups for p in group["params"]}
    found = {name: decay[id(p)] for name, p in module.named_parameters()}
    assert found == {
        "0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "3.weight": 0.3, "5.weight": 0.3, "5.bias": 0.0,
    }  # fmt: skip


def test_frozen_weights_are_left_alone() -> None:
    module = net()
    module[0].requires_grad_(False)
    rule = make_optimiser(module, recipe())
    known = {id(p) for group in rule.param_groups for p in group["params"]}
    assert known == {id(p) for p in module.parameters() if p.requires_grad}
    only_biases = nn.Linear(3, 2)
    only_biases.weight.requires_grad_(False)
    assert len(make_optimiser(only_biases, recipe()).param_groups) == 1


def test_the_rate_is_set_everywhere() -> None:
    rule = make_optimiser(net(), recipe())
    set_rate(rule, 0.125)
    assert {group["lr"] for group in rule.param_groups} == {0.125}
