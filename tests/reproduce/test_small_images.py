"""Networks for 32×32 pixels: each is one of the zoo's, changed where it says so and nowhere else."""

import pytest
import torch
from torch import nn

from striate.errors import RecipeError, ShapeError
from striate.models.cost import cost
from striate.models.registry import create_model
from striate.models.shapes import without_numbers
from striate.reproduce.small_images import (
    NETWORKS,
    gated_resnet,
    small_alexnet,
    small_densenet_bc,
    small_mobilenet,
    small_network_named,
)


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def test_alexnet_with_the_stem_that_is_printed_is_the_zoos() -> None:
    with without_numbers():
        ours = small_alexnet(10, 3, 227, stem="paper")
        zoos = create_model("alexnet_onetower", num_classes=10, input_size=(227, 227))
    assert shapes(ours) == shapes(zoos)
    assert [type(step) for step in ours.children()] == [type(step) for step in zoos.children()]


def test_of_32_pixels_nothing_is_left_behind_the_stem_that_is_printed() -> None:
    with pytest.raises(RecipeError, match="of 32×32 pixels nothing is left behind the stem 'paper'"):
        small_alexnet(10, 3, 32, stem="paper", width=0.1)
    with pytest.raises(ShapeError):
        create_model("alexnet_onetower", num_classes=10, input_size=(32, 32))
    assert small_alexnet(10, 3, 67, stem="paper", width=0.1)(torch.zeros(1, 3, 67, 67)).shape == (1, 10)


def test_the_small_stem_leaves_15_7_and_3_positions() -> None:
    net = small_alexnet(10, 3, 32, width=0.125)
    sides = []
    for name, step in net.named_children():
        if name.startswith("pool"):
            step.register_forward_hook(lambda _m, _x, y: sides.append(tuple(y.shape[2:])))
    net(torch.zeros(1, 3, 32, 32))
    assert sides == [(15, 15), (7, 7), (3, 3)]


@pytest.mark.parametrize(("norm", "kinds"), [("lrn", {"norm1", "norm2"}), ("batch", {f"bn{i}" for i in range(1, 6)}),
                                             ("none", set())])  # fmt: skip
def test_alexnet_has_the_norm_that_is_asked_for_and_no_other(norm: str, kinds: set[str]) -> None:
    net = small_alexnet(10, 3, 32, width=0.1, norm=norm)  # type: ignore[arg-type]
    assert {name for name, _ in net.named_children() if name.startswith(("norm", "bn"))} == kinds
    assert (net.get_submodule("conv1").bias is None) == (norm == "batch")


def test_first_weights_of_the_paper_are_small_and_the_hidden_biases_1() -> None:
    torch.manual_seed(0)
    paper, he = (small_alexnet(10, 3, 32, width=0.25, initial=which) for which in ("paper", "he"))  # type: ignore[arg-type]
    for name in ("conv3", "fc6", "fc8"):
        assert paper.get_parameter(f"{name}.weight").std().item() == pytest.approx(0.01, rel=0.1)
    assert paper.get_parameter("fc7.bias").eq(1).all()
    fan_in = he.get_parameter("fc7.weight").shape[1]
    assert he.get_parameter("fc7.weight").std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


def test_mobilenet_halves_four_times_and_its_twin_has_the_same_shapes() -> None:
    with without_numbers():
        separable, full = (small_mobilenet(10, 3, 32, width=0.25, separated=one) for one in (True, False))
        printed = create_model("mobilenet_v1_0.25_128", num_classes=10)
    assert shapes(separable) == shapes(printed)
    for net in (separable, full):
        assert [row.output[-1] for row in cost(net, (3, 32, 32)).rows if row.kind == "Conv2d"][-1] == 2
    counted = [cost(net, (3, 32, 32)).macs for net in (separable, full)]
    widths = [8, 16, 32, 32, 64, 64, *[128] * 6, 256, 256]
    sides = [32, 32, 16, 16, 8, 8, *[4] * 6, 2, 2]
    stem, head = 27 * 8 * 32 * 32, 256 * 10
    pairs = list(zip(widths, widths[1:], sides[1:], strict=False))
    assert counted[0] == stem + head + sum((9 * a + a * b) * side * side for a, b, side in pairs)
    assert counted[1] == stem + head + sum(9 * a * b * side * side for a, b, side in pairs)


def test_gates_are_all_that_is_added_to_the_residual_network() -> None:
    with without_numbers():
        without, with_ = (shapes(gated_resnet(10, 3, 32, gate=gate)) for gate in (False, True))
        assert without == shapes(create_model("cifar_resnet20"))
    added = {name: shape for name, shape in with_.items() if name not in without}
    assert {name: shape for name, shape in with_.items() if name in without} == without
    assert all(".se_module.fc" in name for name in added)
    weights = sum(torch.Size(shape).numel() for shape in added.values())
    assert weights == sum(3 * (2 * c * (c // 16) + c // 16 + c) for c in (16, 32, 64))


def test_a_gate_weighs_channels_by_the_mean_over_the_image() -> None:
    torch.manual_seed(0)
    net = gated_resnet(10, 3, 16).eval()
    gate = net.get_submodule("layer2.0.se_module")
    x = torch.randn(2, 32, 4, 4)
    (w1, b1), (w2, b2) = ((gate.get_parameter(f"{fc}.weight")[:, :, 0, 0], gate.get_parameter(f"{fc}.bias"))
                          for fc in ("fc1", "fc2"))  # fmt: skip
    weights = torch.sigmoid(torch.relu(x.mean((2, 3)) @ w1.T + b1) @ w2.T + b2)
    assert torch.allclose(gate(x), x * weights[:, :, None, None], atol=1e-6)


def test_densenet_of_100_layers_is_the_zoos() -> None:
    with without_numbers():
        assert shapes(small_densenet_bc(10, 3, 32)) == shapes(create_model("cifar_densenet_bc100"))
        convolutions = [m for m in small_densenet_bc(10, 3, 32, depth=40).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 39  # and the linear layer


def test_an_option_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="small_mobilenet has no option 'with'; did you mean 'width'"):
        small_network_named("small_mobilenet", {"with": 0.5})
    for name in NETWORKS:
        with pytest.raises(RecipeError, match=f"{name} has no option 'zzz'; it has "):
            small_network_named(name, {"zzz": 1})
