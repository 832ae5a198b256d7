"""What waits for the backward pass, against sums by hand and against what torch keeps of real numbers."""

import pytest
import torch
from torch import nn

from striate.look.costs.passed import passed
from striate.look.costs.summary import summary
from striate.models.registry import create_model


def test_kept_bytes_of_a_small_network_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 5))
    image, maps = 2 * 8 * 8 * 4, 3 * 6 * 6 * 4  # float32
    kept = passed(net.to("meta"), (2, 8, 8)).kept
    assert kept == {"0": image, "1": maps}  # the linear layer reads what the ReLU has kept already


def test_frozen_layers_keep_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3)).to("meta").requires_grad_(False)
    assert passed(net, (2, 8, 8)).kept == {}


@pytest.mark.parametrize("name", ["lenet5", "cifar_resnet20", "deck_mnist_convnet", "squeezenet1_1"])
def test_kept_bytes_are_what_torch_keeps_of_real_numbers(name: str) -> None:
    side = 64 if name == "squeezenet1_1" else None
    net = create_model(name).train()
    shape = summary(name).cost.input if side is None else (3, side, side)
    own = {w.untyped_storage().data_ptr() for w in (*net.parameters(), *net.buffers())}
    seen: dict[int, torch.Tensor] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in own:
            seen[x.untyped_storage().data_ptr()] = x
        return x.detach()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        net(torch.zeros(1, *shape))
    real = sum(x.untyped_storage().nbytes() for x in seen.values())
    assert summary(name, shape).kept == pytest.approx(real, rel=0.02)


@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_what_is_kept_is_most_of_the_peak_of_a_step(name: str) -> None:
    found = summary(name)
    assert 0.9 * found.cost.memory(1).activations <= found.kept <= found.cost.memory(1).activations


def test_blocks_that_a_step_may_leave_out_are_all_counted() -> None:
    net = create_model("stochastic_depth_resnet110").to("meta")
    found = [passed(net, (3, 32, 32)) for _ in range(2)]
    assert found[0] == found[1]
    assert sum(found[0].kept.values()) == summary("cifar_resnet110").kept
    assert net.get_submodule("layer3.17").survival == 0.5


def test_shapes_are_known_for_blocks_too() -> None:
    shapes = summary("googlenet").passed.shapes
    assert shapes["inception3a"] == (256, 28, 28)
    assert shapes["inception3a.branch4"] == (32, 28, 28)


def test_the_mode_of_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).to("meta").eval()
    net[0].train()
    passed(net, (1, 2, 2))
    assert [layer.training for layer in net.modules()] == [False, True, False]


def test_what_can_not_be_known_is_said() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise RuntimeError("not for training")
            return x

    found = passed(Fixed(), (1, 2, 2))
    assert found.notes == ("what a training step keeps is not known: not for training",)
    assert found.shapes == {"": (1, 2, 2)}
