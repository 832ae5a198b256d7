"""One map of the last convolution in place of all: the same numbers, and only where that is right."""

import itertools

import pytest
import torch
from torch import nn

from striate.look.filters.objectives import Channel, Term
from striate.look.filters.one_filter import ToPixels, find_tail, one_map
from striate.look.filters.reach import reach
from striate.look.filters.route import Route, route, undisturbed
from tests.look.filters.nets import Residual, convnet


@pytest.mark.parametrize(
    ("k", "stride", "padding", "dilation", "groups", "bias"),
    [
        (3, 1, 1, 1, 1, True), (3, 2, 1, 1, 1, False), (1, 1, 0, 1, 1, True), (5, 1, 0, 2, 1, True),
        ((3, 1), (2, 1), (1, 0), 1, 1, True), (3, 1, 1, 1, 2, True), (3, 1, 1, 1, 4, False), (4, 3, 2, 1, 1, True),
    ],
)  # fmt: skip
def test_one_map_is_that_of_the_whole_convolution_with_its_gradient(k, stride, padding, dilation, groups, bias) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, k, stride, padding, dilation, groups, bias).double()
    x = torch.randn(3, 4, 13, 11, dtype=torch.float64, requires_grad=True)
    channels = torch.tensor([7, 0, 3])
    whole = conv(x)[torch.arange(3), channels]
    found = one_map(x, conv, channels)
    assert torch.allclose(found, whole, atol=1e-12)
    g = torch.randn_like(whole)
    expected, got = (torch.autograd.grad(y, x, g)[0] for y in (whole, found))
    assert torch.allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize(("k", "stride", "padding", "dilation"), [(3, 1, 1, 1), (7, 2, 3, 1), (5, 3, (0, 2), 2)])
def test_the_gradient_in_an_image_by_a_matrix_product_is_that_of_torch(k, stride, padding, dilation) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, k, stride, padding, dilation).double()
    x = torch.randn(2, 3, 21, 17, dtype=torch.float64, requires_grad=True)
    y = conv(x)
    g = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, g)
    with ToPixels():
        again = conv(x)
    assert torch.equal(again, y)
    assert type(again.grad_fn).__name__ == "_PixelsBackward"
    (found,) = torch.autograd.grad(again, x, g)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("layer", "after"), [("0", 0), ("1", 1), ("2", 2), ("3", 0), ("4", 1), ("8", 2)])
@pytest.mark.parametrize("in_place", [False, True])
def test_the_last_convolution_is_found_behind_norm_and_activation(layer: str, after: int, in_place: bool) -> None:
    net = convnet(norm=True, in_place=in_place).double()
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    with undisturbed(net):
        tail = find_tail(net, x[:1], layer)
        assert tail is not None
        assert len(tail.after) == after
        channels = torch.tensor([0, 5, 7, 2])
        found = tail.maps(net, x, channels)
        expected = reach(net, x, [layer])[layer][torch.arange(4), channels]
    assert torch.allclose(found, expected, atol=1e-10)


def test_what_is_not_one_convolution_is_computed_whole() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.ReLU()).eval()
    x = torch.randn(1, 3, 12, 12)
    with undisturbed(pooled):
        assert find_tail(pooled, x, "0") is not None
        assert find_tail(pooled, x, "1") is None
        assert find_tail(pooled, x, "2") is None


def test_a_sum_that_is_added_in_place_between_two_steps_is_noticed() -> None:
    net = Residual().eval()
    x = torch.randn(1, 3, 12, 12)
    with undisturbed(net):
        first, second = find_tail(net, x, "relu"), find_tail(net, x, "relu:2")
        inner = find_tail(net, x, "conv2")
    assert first is not None
    assert first.conv is net.conv1
    assert inner is not None
    assert inner.conv is net.conv2
    assert second is None  # conv2's output was changed before the ReLU


def test_hooks_of_others_that_change_what_goes_through_are_obeyed() -> None:
    net = convnet()
    net[3].register_forward_hook(lambda _, __, y: 3 * y)
    x = torch.randn(1, 3, 12, 12)
    with undisturbed(net):
        assert find_tail(net, x, "3") is None
        assert find_tail(net, x, "1") is not None


def test_a_convolution_that_runs_twice_is_taken_at_the_right_run() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.relu(self.conv(self.relu(self.conv(x))))
            return y

    torch.manual_seed(0)
    net = Twice().double().eval()
    x = torch.randn(2, 3, 10, 10, dtype=torch.float64)
    for layer in ("relu", "relu:1", "relu:2", "conv:2"):
        with undisturbed(net):
            expected = reach(net, x, [layer])[layer].mean((2, 3))
            way = route(net, [Channel(layer, 1)], x[:1], None)
            found = Route(net, (layer,), None, way.tail).values(x, [Channel(layer, 1), Channel(layer, 2)])
        assert torch.allclose(found.double(), expected[[0, 1], [1, 2]], atol=1e-6)


def test_the_shortcut_and_the_whole_layer_give_one_gradient() -> None:
    net = convnet(norm=True, in_place=True).double()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    for layer, place in itertools.product(("5", "8"), (None, (1, 2))):
        objectives = [Named(Term(1.0, layer, c, place)) for c in (0, 4, 11)]
        with undisturbed(net):
            way = route(net, objectives, x[:1], None)
            assert way.tail is not None
            short = way.gradient(x, objectives)
            whole = Route(net, (layer,), None, None).gradient(x, objectives)
        for a, b in zip(short, whole, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-9)


class Named:
    """Any term as an objective."""

    key = label = "named"

    def __init__(self, *terms: Term) -> None:
        self.terms = terms
