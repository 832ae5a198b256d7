"""The small network, its objectives, and the gradients over its depth."""

from typing import get_args

import pytest
import torch
from torch import nn

from striate.data.preprocess import Preprocess
from striate.models.capsnet import capsnet, capsnet_loss, margin_loss
from striate.models.lenet_1998 import map_loss
from striate.reproduce.ingredients import Activation, Ingredients, Initial, Pool, small_network
from striate.reproduce.objectives import make_objective

PLAIN = Preprocess(size=(28, 28), resize="stretch", order="gray", mean=(0.13,), std=(0.31,))


@pytest.mark.parametrize("pool", get_args(Pool))
@pytest.mark.parametrize("side", [28, 30, 32])
def test_every_kind_of_pooling_gives_a_network_that_runs(pool: Pool, side: int) -> None:
    net = small_network(Ingredients(pool=pool), 7, 3, side)
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_the_parameters_are_counted_by_hand() -> None:
    by_hand = (25 + 1) * 8 + (8 * 9 + 1) * 16 + (16 * 49 + 1) * 64 + 65 * 10
    assert sum(p.numel() for p in small_network(Ingredients(), 10, 1, 28).parameters()) == by_hand == 52_266


@pytest.mark.parametrize("change", [{"activation": a} for a in get_args(Activation)[1:]] + [
    {"norm": True}, {"lrn": True}, {"dropout": 0.5}, {"deep": 2}, *({"pool": p} for p in get_args(Pool)[1:]),
    *({"initial": i} for i in get_args(Initial)[1:]),
])  # fmt: skip
def test_every_ingredient_changes_what_the_network_does(change: dict[str, object]) -> None:
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    def answer(ingredients: Ingredients) -> torch.Tensor:
        torch.manual_seed(0)
        net = small_network(ingredients, 10, 1, 28).train()
        return net(x)

    base = {"deep": 1} if change == {"deep": 2} else {}
    assert not torch.equal(answer(Ingredients(**base)), answer(Ingredients(**change)))


def test_the_loss_of_capsules_is_the_papers() -> None:
    torch.manual_seed(0)
    model = capsnet(10, 1, (28, 28))
    images, labels = torch.rand(3, 1, 28, 28), torch.tensor([1, 7, 0])
    seen = (images - 0.13) / 0.31
    objective = make_objective("capsules", "cross_entropy", 10, 0.0, PLAIN)
    whole = objective.loss(objective.forward(model, seen), labels, None)
    torch.testing.assert_close(whole, capsnet_loss(model, seen, labels, images))
    again = objective.loss(model(seen), labels, None)  # as in evaluation: nothing to reconstruct
    torch.testing.assert_close(again, margin_loss(model(seen), labels))


def test_the_map_loss_and_the_recipes_own_are_handed_on() -> None:
    z, labels = torch.randn(5, 10), torch.arange(5)
    ours = make_objective("map", "cross_entropy", 10, 0.0, PLAIN).loss(z, labels, None)
    torch.testing.assert_close(ours, map_loss(z, labels))
    plain = make_objective("recipe", "cross_entropy", 10, 0.0, PLAIN).loss(z, labels, None)
    torch.testing.assert_close(plain, nn.functional.cross_entropy(z, labels))
