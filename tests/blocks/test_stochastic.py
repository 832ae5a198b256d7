"""Stochastic depth: what is dropped, how often, and what it leaves alone."""

import pytest
import torch

from striate.blocks.stochastic import StochasticDepth
from striate.models.registry import create_model


def test_images_are_kept_whole_or_dropped_whole_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    y = StochasticDepth(0.2).train()(torch.ones(20_000, 2, 1, 3)).flatten(1)
    assert (y == y[:, :1]).all()
    values, counts = y[:, 0].unique(return_counts=True)
    assert values.tolist() == [0, 1.25]
    assert counts[0].item() / len(y) == pytest.approx(0.2, abs=0.01)  # 3.5 deviations
    assert y.mean().item() == pytest.approx(1, abs=0.012)


@pytest.mark.parametrize(("p", "training"), [(0.2, False), (0.0, True)])
def test_evaluation_and_certain_survival_change_nothing(p: float, training: bool) -> None:
    x = torch.randn(5, 2, 3, 3)
    assert torch.equal(StochasticDepth(p).train(training)(x), x)


def test_what_is_dropped_has_no_gradient() -> None:
    torch.manual_seed(1)
    x = torch.ones(50, 1, 1, 1, requires_grad=True)
    y = StochasticDepth(0.5).train()(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_probability_that_makes_no_sense_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more and less than 1"):
        StochasticDepth(p)


def test_efficientnet_drops_later_blocks_more_often_in_equal_steps() -> None:
    model = create_model("efficientnet_b0")
    blocks = [name.rpartition(".")[0] for name, _ in model.named_modules() if name.endswith(".block")]
    found = {n: layer.p for n, layer in model.named_modules() if isinstance(layer, StochasticDepth)}
    assert len(blocks) == 16
    assert len(found) == 9  # those with a shortcut
    for name, p in found.items():
        assert p == pytest.approx(0.2 * blocks.index(name.rpartition(".")[0]) / 16)
