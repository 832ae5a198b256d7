"""The faster ways lead to the same numbers, and leave no trace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.blocks.same import SameConv2d
from striate.models.registry import create_model
from striate.training.faster import faster_layers

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(
    k=st.integers(1, 4), n=st.integers(1, 3), c=st.integers(1, 5), rows=st.integers(1, 4), columns=st.integers(1, 4),
    last=st.booleans(),
)  # fmt: skip
def test_an_average_pool_s_gradient_is_torch_s(k: int, n: int, c: int, rows: int, columns: int, last: bool) -> None:
    layer = nn.AvgPool2d(k)
    x = torch.randn(n, c, rows * k, columns * k, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = layer(a)
    g = torch.randn_like(y)
    y.backward(g)
    with faster_layers(layer, CPU) as names:
        assert names == [""]
        z = layer(b)
        z.backward(g)
    assert torch.equal(y, z)
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-14, atol=1e-14)


def test_windows_that_do_not_cover_the_image_are_left_to_torch() -> None:
    layer, x = nn.AvgPool2d(2), torch.randn(1, 2, 5, 7, requires_grad=True)
    with faster_layers(layer, CPU):
        layer(x).sum().backward()
    assert x.grad is not None
    assert (x.grad[..., :4, :6] == 0.25).all()
    assert (x.grad[..., 4:, :] == 0).all()
    assert (x.grad[..., 6:] == 0).all()


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(3, 2),
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d((2, 2)),
        nn.AvgPool2d(2, divisor_override=3),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Conv2d(4, 4, 5, groups=2),
        nn.Conv2d(2, 2, 1),
        nn.Conv2d(2, 2, 3, padding=1),
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(2, 2, 3, dilation=2),
    ],
    ids=repr,
)
def test_other_layers_are_not_touched(layer: nn.Module) -> None:
    with faster_layers(layer, CPU) as names:
        assert names == []
        assert "forward" not in vars(layer)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3), c=st.integers(1, 5), o=st.integers(1, 5), rows=st.integers(1, 4), columns=st.integers(2, 4),
    bias=st.booleans(), last=st.booleans(),
)  # fmt: skip
def test_a_convolution_that_covers_the_image_is_torch_s(
    n: int, c: int, o: int, rows: int, columns: int, bias: bool, last: bool
) -> None:
    layer = nn.Conv2d(c, o, (rows, columns), bias=bias).double()
    x = torch.randn(n, c, rows, columns, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if last else x

    def pass_through() -> tuple[torch.Tensor, ...]:
        layer.zero_grad()
        image = x.clone().requires_grad_()
        y = layer(image)
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        gradients = [p.grad for p in (image, *layer.parameters())]
        return y, *(g.clone() for g in gradients if g is not None)

    wanted = pass_through()
    with faster_layers(layer, CPU) as names:
        assert names == [""]
        got = pass_through()
    assert len(wanted) == 3 + bias
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_a_larger_image_is_left_to_torch() -> None:
    layer, x = nn.Conv2d(2, 3, 2), torch.randn(1, 2, 4, 3)
    with faster_layers(layer, CPU):
        assert torch.equal(layer(x), nn.functional.conv2d(x, layer.weight, layer.bias))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 3), c=st.integers(2, 20), side=st.integers(7, 14), k=st.sampled_from([3, 5, 7]),
    stride=st.integers(1, 3), padding=st.integers(0, 3), bias=st.booleans(), same=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_depthwise_convolution_s_gradients_in_bf16_are_those_of_float32_rounded(
    n: int, c: int, side: int, k: int, stride: int, padding: int, bias: bool, same: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    kind = SameConv2d if same else nn.Conv2d
    layer = kind(c, c, k, stride, 0 if same else padding, groups=c, bias=bias)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(p.bfloat16())
    x = torch.randn(n, c, side, side).bfloat16().float().contiguous(memory_format=torch.channels_last)

    def pass_through(low: bool) -> list[torch.Tensor]:
        layer.zero_grad()
        image = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            y = layer(image)
        assert y.dtype == (torch.bfloat16 if low else torch.float32)
        (y.float() * torch.linspace(-1, 1, y.numel()).bfloat16().float().reshape(y.shape)).sum().backward()
        return [y.detach().float(), *(t.grad.clone() for t in (image, *layer.parameters()) if t.grad is not None)]

    wanted = pass_through(low=False)
    with faster_layers(layer, CPU) as names:
        assert names == ([""] if stride > 1 or k > 3 else [])
        got = pass_through(low=True)
        assert all(map(torch.equal, pass_through(low=False), wanted))  # float32 is left to torch
    assert len(got) == 3 + bias
    for ours, theirs in zip(got, wanted, strict=True):
        assert (ours - theirs).abs().max() <= 2**-7 * theirs.abs().max()  # a bf16 has 8 bits


def test_frozen_weights_of_a_depthwise_convolution_get_no_gradient_and_its_input_does() -> None:
    layer = nn.Conv2d(4, 4, 3, 2, 1, groups=4).requires_grad_(False)
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    with faster_layers(layer, CPU), torch.autocast("cpu", torch.bfloat16):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 3), c=st.integers(1, 9), rows=st.integers(1, 6), columns=st.integers(1, 6), last=st.booleans())
def test_the_gradient_of_a_mean_over_the_image_is_torch_s_also_where_it_is_added_to_another(
    n: int, c: int, rows: int, columns: int, last: bool
) -> None:
    layer = nn.AdaptiveAvgPool2d(1)
    x = torch.randn(n, c, rows, columns, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    g = torch.randn(n, c, rows, columns, dtype=torch.float64)

    def gradient() -> torch.Tensor:
        image = x.clone().requires_grad_()
        (image * layer(image).sigmoid() * g).sum().backward()
        assert image.grad is not None
        return image.grad

    wanted = gradient()
    with faster_layers(layer, CPU) as names:
        assert names == [""]
        got = gradient()
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-13)


def test_a_network_s_gradients_are_torch_s_and_its_layers_are_afterwards_as_before() -> None:
    torch.manual_seed(0)
    network = create_model("lenet5").double()
    x = torch.randn(4, 1, 32, 32, dtype=torch.float64)
    before = {name: dict(vars(m)) for name, m in network.named_modules()}

    def gradients() -> list[torch.Tensor]:
        network.zero_grad()
        nn.functional.cross_entropy(network(x), torch.arange(4)).backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    wanted = gradients()
    with faster_layers(network, CPU) as names:
        assert names == ["C1", "S2", "C3", "S4", "C5"]
        got = gradients()
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)
    assert {name: vars(m).keys() for name, m in network.named_modules()} == {n: v.keys() for n, v in before.items()}


def test_layers_are_as_before_also_when_the_training_fails() -> None:
    network = create_model("lenet5")
    with pytest.raises(ZeroDivisionError), faster_layers(network, CPU):
        raise ZeroDivisionError
    assert not any("forward" in vars(m) for m in network.modules())


def test_hooks_see_the_layer_as_ever() -> None:
    network, seen = create_model("lenet5"), []
    network.get_submodule("S2").register_forward_hook(lambda _m, _x, y: seen.append(tuple(y.shape)))
    with faster_layers(network, CPU):
        network(torch.zeros(2, 1, 32, 32))
    assert seen == [(2, 6, 14, 14)]
