"""Watching a model: complete, in the graph, safe from in-place steps, and gone afterwards."""

import pytest
import torch
from torch import Tensor, nn

from striate.errors import UnknownName
from striate.look.trace import trace


def hooks(model: nn.Module) -> int:
    return sum(
        len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks) for part in model.modules()
    )


class Reuses(nn.Module):
    """One activation module, run three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(4, 5), nn.Linear(5, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(self.relu(x)))))


def test_every_step_is_recorded_with_the_value_it_put_out() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    x = torch.randn(2, 1, 4, 4)
    with trace(model) as seen:
        y = model(x)
    assert list(seen) == ["0", "1", "2", "3"]
    by_hand = x
    for name, step in model.named_children():
        by_hand = step(by_hand)
        torch.testing.assert_close(seen[name], by_hand, rtol=0, atol=0)
    torch.testing.assert_close(seen["3"], y, rtol=0, atol=0)


def test_only_named_steps_are_recorded_when_some_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with trace(model, "1") as seen:
        model(torch.zeros(1, 2))
    assert list(seen) == ["1"]


@pytest.mark.parametrize("clone", [True, False])
def test_gradients_flow_through_what_is_recorded(clone: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    with trace(model, "1", clone=clone) as seen:
        y = model(torch.randn(5, 3))
    (gradient,) = torch.autograd.grad(y.sum(), seen["1"])
    torch.testing.assert_close(gradient, model[2].weight.expand(5, 4))


def test_an_in_place_step_does_not_change_what_the_step_before_it_put_out() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))
    x = torch.randn(4, 3)
    with trace(model) as seen:
        y = model(x)
    torch.testing.assert_close(seen["0"], model[0](x), rtol=0, atol=0)
    assert (seen["0"] < 0).any()
    assert (seen["1"] >= 0).all()
    torch.autograd.grad(y.sum(), seen["0"])  # the graph is whole
    with trace(model, clone=False) as overwritten:
        model(x)
    assert (overwritten["0"] >= 0).all(), "without the copy the planted in-place step is expected to show"


def test_a_step_that_runs_three_times_is_recorded_three_times() -> None:
    model, x = Reuses(), torch.randn(2, 4)
    with trace(model) as seen:
        model(x)
    assert list(seen) == ["relu", "first", "relu:2", "second", "relu:3"]
    torch.testing.assert_close(seen["relu:2"], model.first(x.relu()).relu(), rtol=0, atol=0)


def test_a_second_pass_begins_a_new_record() -> None:
    model = Reuses()
    with trace(model) as seen:
        model(torch.randn(2, 4))
        model(torch.randn(7, 4))
    assert len(seen) == 5
    assert all(len(value) == 7 for value in seen.values())


def test_hooks_are_gone_after_the_block_and_after_an_error_in_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with trace(model):
        assert hooks(model) > 0
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), trace(model):
        model(torch.zeros(1, 99))
    assert hooks(model) == 0


def test_a_misspelt_step_is_refused_with_the_nearest_name_and_leaves_no_hook() -> None:
    model = nn.Sequential()
    model.add_module("layer1", nn.Linear(2, 2))
    model.add_module("layer2", nn.Linear(2, 2))
    with pytest.raises(UnknownName, match=r"no step 'layer3'; did you mean 'layer"), trace(model, "layer1", "layer3"):
        pass
    assert hooks(model) == 0


def test_asking_for_a_step_that_did_not_run_says_what_ran() -> None:
    model = Reuses()
    model.idle = nn.Linear(1, 1)
    with trace(model) as seen:
        model(torch.zeros(1, 4))
    with pytest.raises(UnknownName, match=r"'idle' was recorded; there are relu, first"):
        seen["idle"]


def test_a_step_that_returns_two_things_is_left_out() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two, self.last = Two(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.two(x)[0])

    model = Whole()
    with trace(model) as seen:
        model(torch.zeros(1))
    assert list(seen) == ["last"]
