"""Blocks that stand for others: the costs are those of all of them, and the model is as it was."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from striate.blocks.wiring import Chain, Gate, Residual
from striate.errors import ShapeError
from striate.look.costs.passed import passed
from striate.models import repeats
from striate.models.cost import cost, cost_of_skeleton
from striate.models.registry import create_model
from striate.models.repeats import Repeats
from striate.models.shapes import without_numbers

Make = Callable[[], nn.Module]
RELU = nn.ReLU()


def block(c: int = 4, stride: int = 1, relu: nn.Module | None = None) -> Chain:
    conv = nn.Conv2d(c, c, 3, stride, 1, bias=False)
    return Chain(conv=conv, bn=nn.BatchNorm2d(c), relu=relu or nn.ReLU())


def residual() -> Residual:
    return Residual(nn.Identity(), nn.ReLU(), conv1=nn.Conv2d(4, 4, 3, 1, 1), relu=nn.ReLU(), conv2=nn.Conv2d(4, 4, 1))


def gated() -> Chain:
    squeeze = Gate(pool=nn.AdaptiveAvgPool2d(1), conv=nn.Conv2d(4, 4, 1), gate=nn.Sigmoid())
    return Chain(conv=nn.Conv2d(4, 4, 3, padding=1), gate=squeeze)


class Counted(nn.Module):
    """Does something else each time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def tied() -> Chain:
    model = Chain(*(block() for _ in range(6)))
    model._modules["4"]._modules["conv"].weight = model._modules["5"]._modules["conv"].weight  # type: ignore[union-attr]
    return model


def frozen() -> Chain:
    model = Chain(*(block() for _ in range(8)))
    model._modules["4"].requires_grad_(False)
    return model


CASES: dict[str, tuple[Make, list[str]]] = {  # and the blocks that may stand for those behind them
    "residual": (lambda: Chain(stem=nn.Conv2d(3, 4, 3), stage=Chain(*(residual() for _ in range(6)))), ["stage.1"]),
    "gated": (lambda: Chain(stem=nn.Conv2d(3, 4, 3), **{f"b{i}": gated() for i in range(5)}), ["b1"]),
    "halving": (lambda: Chain(stem=nn.Conv2d(3, 4, 3), stage=Chain(*(block(4, 2) for _ in range(5)))), ["stage.1"]),
    "nested": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=Chain(*(
        Chain(*(block() for _ in range(4))) for _ in range(4)))), ["rest.1", *(f"rest.{i}.1" for i in range(4))]),
    "frozen": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=frozen()), ["rest.1"]),
    "three alone": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=Chain(block(), block(), block())), []),
    "shared": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=Chain(*(block(relu=RELU) for _ in range(6)))), []),
    "tied": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=tied()), []),
    "of their own kind": (lambda: Chain(*(Counted() for _ in range(6))), []),
    "others between": (lambda: Chain(stem=nn.Conv2d(3, 4, 1), rest=Chain(*(
        block() if i % 3 else gated() for i in range(9)))), []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_costs_are_those_of_all_blocks(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, stand_for_others = CASES[case]
    torch.manual_seed(0)
    with without_numbers():
        model = make()
    assert sorted(Repeats(model)._runs) == sorted(stand_for_others)
    short = cost(model, (3, 40, 36)), passed(model, (3, 40, 36))
    monkeypatch.setattr(repeats, "FEWEST", 10**6)
    assert Repeats(model)._runs == {}
    assert short == (cost(model, (3, 40, 36)), passed(model, (3, 40, 36)))
    assert short[0].unused == ()


@pytest.mark.parametrize("name", ["cifar_resnet44", "stochastic_depth_resnet110", "resnet50v2", "se_resnet101"])
def test_costs_of_networks_are_those_of_all_their_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (3, 64, 64)
    with without_numbers():
        model = create_model(name)
    assert Repeats(model)._runs
    short = cost(model, shape), passed(model, shape)
    monkeypatch.setattr(repeats, "FEWEST", 10**6)
    assert short == (cost(model, shape), passed(model, shape))


def test_afterwards_the_model_is_as_it_was() -> None:
    model = Chain(stage=Chain(*(block() for _ in range(6))), last=nn.Conv2d(4, 4, 1)).to("meta")
    before = list(model.named_modules())
    cost_of_skeleton(model, (4, 8, 8))
    assert list(model.named_modules()) == before


def test_after_an_error_the_model_is_as_it_was() -> None:
    model = Chain(stage=Chain(*(block() for _ in range(6))), last=nn.Conv2d(5, 4, 1)).to("meta")
    before = list(model.named_modules())
    with pytest.raises(ShapeError, match=r"^last takes 5 channels"):
        cost_of_skeleton(model, (4, 8, 8))
    assert list(model.named_modules()) == before
