"""Branches with one list of names, heads aside, and steps that read any earlier values."""

from collections import namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.same import SameAvgPool2d, SameMaxPool2d
from striate.blocks.wiring import Add, Branches, Chain, Concat, Graph, Paths, Residual, ResidualPaths, Sum, Taps
from striate.errors import ShapeError


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


X = torch.arange(1.0, 9.0).reshape(1, 2, 2, 2)


def test_paths_are_branches_with_one_list_of_names() -> None:
    flat = Paths(dict(a=Times(2), b=Times(3)), {}, dict(c=Times(5)))
    nested = Branches(Chain(Times(2), Times(3)), nn.Identity(), Times(5))
    assert torch.equal(flat(X), nested(X))
    assert [name for name, _ in flat.named_parameters()] == ["a.factor", "b.factor", "c.factor"]


def test_a_path_that_forks_runs_its_trunk_once() -> None:
    ran: list[str] = []
    net = Paths((dict(a=Times(2)), dict(b=Times(3)), (dict(c=Times(5)), {}, dict(d=Times(7)))), last=Times(10))
    for name, step in net.named_children():
        step.register_forward_hook(lambda *_, name=name: ran.append(name))
    expected = torch.cat([60 * X, 100 * X, 700 * X], dim=1)  # the trunk of the inner fork is an end of its own
    assert torch.allclose(net(X), expected)
    assert ran == [name for name, _ in net.named_children()] == ["a", "b", "c", "d", "last"]


def test_sum_adds_what_paths_concatenate() -> None:
    assert torch.equal(Sum(dict(a=Times(2), b=Times(3)), {})(X), 7 * X)


def test_residual_paths_add_the_shortcut_to_what_the_paths_make() -> None:
    net = ResidualPaths(Times(100), nn.ReLU(), dict(a=Times(2)), dict(b=Times(3)), mix=nn.Conv2d(4, 2, 1))
    assert isinstance(net, Residual)
    expected = (net.get_submodule("mix")(torch.cat([2 * X, 3 * X], 1)) + 100 * X).clamp(min=0)
    assert torch.allclose(net(X), expected)
    assert [name for name, _ in net.named_children()] == ["a", "b", "mix", "downsample", "last"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Paths(dict(a=Times(1)), dict(a=Times(2))),
        lambda: Paths(dict(a=Times(1)), a=Times(2)),
        lambda: ResidualPaths(nn.Identity(), nn.ReLU(), dict(downsample=Times(1))),
    ],
)
def test_a_name_that_is_given_twice_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"called|shortcut"):
        build()  # type: ignore[operator]


def test_an_error_in_a_path_names_its_place() -> None:
    net = Chain(mixed=Paths(dict(a=nn.ReLU(), b=nn.Conv2d(2, 2, 5))))
    with pytest.raises(ShapeError, match=r"^mixed\.b slides a 5×5 window over 2×2 positions"):
        net(X)


Outputs = namedtuple("Outputs", "logits second first")


def test_heads_aside_see_the_chain_up_to_where_they_stand_and_leave_it_as_it_is() -> None:
    net = Taps(
        Outputs, {"h1": "first", "h2": "second"}, a=Times(2), h1=Times(10), b=Times(3), h2=Times(100), c=Times(5)
    )
    outputs = net.train()(X)
    assert torch.equal(outputs.logits, 30 * X)
    assert torch.equal(outputs.first, 20 * X)
    assert torch.equal(outputs.second, 600 * X)
    assert torch.equal(net.eval()(X), 30 * X)
    assert [name for name, _ in net.named_children()] == ["a", "h1", "b", "h2", "c"]


def test_heads_aside_are_said_to_be_steps() -> None:
    with pytest.raises(ValueError, match="h3"):
        Taps(Outputs, {"h3": "first"}, a=Times(2))


def test_a_graph_reads_by_name() -> None:
    net = Graph(
        "x", "before", a=(Times(2), "x"), b=(Times(3), "before"), sum=(Add(), "a", "b", "a"), y=(Concat(), "sum", "x")
    )
    before = torch.ones(1, 2, 2, 2)
    assert torch.equal(net(X, before), torch.cat([4 * X + 3, X], dim=1))
    assert net.order == ("a", "b", "sum", "y")


def test_a_graph_refuses_what_no_earlier_step_makes() -> None:
    with pytest.raises(ValueError, match="step a reads b"):
        Graph("x", a=(Times(2), "b"), b=(Times(3), "x"))


def test_an_error_in_a_graph_names_its_place() -> None:
    net = Graph("x", a=(Chain(conv=nn.Conv2d(3, 2, 1)), "x"))
    with pytest.raises(ShapeError, match=r"^a\.conv takes 3 channels and got 2; the network was given \(1, 2, 2, 2\)"):
        net(X)


def test_an_input_of_a_graph_may_be_what_it_gives() -> None:
    net = Graph("x", a=(nn.Identity(), "x"), b=(Add(), "x", "a"))
    assert torch.equal(net(X), 2 * X)
    assert torch.equal(net(X), 2 * X)  # what is forgotten on the way is not forgotten for the next image


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2, 3]))
def test_windows_padded_as_tensorflow_does_have_the_stated_positions(h: int, w: int, k: int, stride: int) -> None:
    x = torch.randn(1, 2, h, w)
    largest, mean = SameMaxPool2d(k, stride)(x), SameAvgPool2d(k, stride)(x)
    assert largest.shape == mean.shape == (1, 2, -(-h // stride), -(-w // stride))
    if stride == 1 and k % 2:
        assert torch.equal(largest, functional.max_pool2d(x, k, 1, k // 2))
        assert torch.allclose(mean, functional.avg_pool2d(x, k, 1, k // 2), atol=1e-6)


def test_an_odd_pixel_of_padding_goes_to_the_far_end() -> None:
    x = torch.tensor([[[[1.0, 2, 3, 4]]]])
    assert SameMaxPool2d(3, 2)(x).tolist() == [[[[3, 4]]]]
    assert SameAvgPool2d(3, 2)(x).flatten().tolist() == pytest.approx([6 / 9, 7 / 9])
