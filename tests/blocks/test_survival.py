"""Stochastic depth and pre-activated blocks, against their formulas."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from striate.blocks.survival import survive
from striate.blocks.wiring import Chain, Preactivated, Residual, Stochastic
from striate.errors import UsageError
from striate.models.cifar_resnet import basic, cifar_resnet
from striate.models.densenet import densenet_bc
from striate.models.registry import create_model
from striate.models.resnet_v2 import resnet_v2
from striate.models.shapes import without_numbers
from striate.models.wide_resnet import wrn


def residual() -> Residual:
    return Residual(nn.Conv2d(2, 2, 1), nn.ReLU(), conv=nn.Conv2d(2, 2, 3, padding=1), bn=nn.BatchNorm2d(2))


def preactivated() -> Preactivated:
    return Preactivated(nn.Conv2d(2, 2, 1), nn.ReLU(), shared=1, relu=nn.ReLU(), conv=nn.Conv2d(2, 2, 3, padding=1))


def images(n: int = 4) -> Tensor:
    return torch.randn(n, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def test_a_preactivated_block_adds_two_paths_that_begin_behind_the_shared_steps() -> None:
    block, x = preactivated(), images()
    a = torch.relu(x)
    torch.testing.assert_close(block(x), torch.relu(block.conv(a) + block.downsample(a)))
    assert [name for name, _ in block.named_children()] == ["relu", "conv", "downsample", "last"]


@pytest.mark.parametrize("make", [residual, preactivated])
def test_in_evaluation_f_counts_as_much_as_it_survives(make: partial[Residual]) -> None:
    block, x = make().eval(), images()
    a = torch.relu(x) if isinstance(block, Preactivated) else x
    f = block.conv(a) if isinstance(block, Preactivated) else block.bn(block.conv(a))
    expected = torch.relu(0.7 * f + block.downsample(a))
    torch.testing.assert_close(Stochastic(block, 0.7).eval()(x), expected)


@pytest.mark.parametrize("make", [residual, preactivated])
def test_in_training_f_is_added_whole_or_left_out_for_the_whole_batch(make: partial[Residual]) -> None:
    block, x = make().train(), images()
    a = torch.relu(x) if isinstance(block, Preactivated) else x
    whole, without = block(x), torch.relu(block.downsample(a))
    stochastic = Stochastic(block, 0.7).train()
    torch.manual_seed(1)
    added = 0
    for _ in range(1000):
        y = stochastic(x)
        added += torch.allclose(y, whole)
        assert torch.allclose(y, whole, atol=1e-6) or torch.equal(y, without)
    assert abs(added - 700) < 4 * (1000 * 0.7 * 0.3) ** 0.5


def test_what_is_left_out_does_not_run() -> None:
    block = Stochastic(residual(), 1e-9).train()
    for _ in range(20):
        block(images())
    assert block.bn.num_batches_tracked == 0


def test_the_seed_decides_which_blocks_run() -> None:
    model = survive(cifar_resnet(basic, 20, 10, 3), 0.3).train()
    x = torch.randn(2, 3, 8, 8)

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        y: Tensor = model(x)
        return y

    assert torch.equal(run(5), run(5))
    assert len({run(seed).sum().item() for seed in range(5)}) > 1


def test_the_probability_decays_linearly_to_the_last_block() -> None:
    blocks = [m for m in create_model("stochastic_depth_resnet110").modules() if isinstance(m, Residual)]
    survivals = [block.survival for block in blocks if isinstance(block, Stochastic)]
    assert len(survivals) == len(blocks) == 54
    assert survivals[0] == pytest.approx(1 - 0.5 / 54)
    assert survivals[-1] == 0.5
    assert {round(a - b, 9) for a, b in pairwise(survivals)} == {round(0.5 / 54, 9)}
    assert sum(survivals) == pytest.approx(40.25)  # blocks that run in a step, on average, as the paper says


@pytest.mark.parametrize(
    "build", [partial(cifar_resnet, basic, 20), partial(resnet_v2, (1, 1, 2, 1)), partial(wrn, 16, 2)]
)
def test_in_some_steps_every_parameter_gets_a_gradient(build: partial[Chain]) -> None:
    torch.manual_seed(0)
    model = build(10, 3, survival=0.5).train()
    for _ in range(12):  # the gradients add up
        model(torch.randn(2, 3, 33, 40)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    "build", [partial(cifar_resnet, basic, 20), partial(resnet_v2, (1, 1, 2, 1)), partial(wrn, 16, 2)]
)
def test_names_and_their_order_stay(build: partial[Chain]) -> None:
    torch.manual_seed(0)
    sure, unsure = build(10, 3).eval(), build(10, 3, survival=0.5).eval()
    assert [name for name, _ in sure.named_modules()] == [name for name, _ in unsure.named_modules()]
    unsure.load_state_dict(sure.state_dict())
    for block in unsure.modules():
        if isinstance(block, Stochastic):
            block.survival = 1.0
    x = torch.randn(2, 3, 33, 40)
    assert torch.equal(sure(x), unsure(x))


def test_certain_survival_leaves_the_model_as_it_is() -> None:
    model = cifar_resnet(basic, 20, 10, 3, survival=1.0)
    assert not any(isinstance(block, Stochastic) for block in model.modules())


@pytest.mark.parametrize("survival", [0, -0.5, 1.01, float("nan"), "0.5"])
def test_what_is_no_probability_is_refused(survival: float) -> None:
    with pytest.raises(UsageError, match="expected a probability above 0"):
        cifar_resnet(basic, 20, 10, 3, survival=survival)


@pytest.mark.parametrize("name", ["resnet18", "cifar_resnet20", "resnext50_32x4d", "resnet50v2", "se_resnet50"])
def test_it_is_an_option_of_the_residual_models(name: str) -> None:
    with without_numbers():
        model = create_model(name, survival=0.4)
    assert [m for m in model.modules() if isinstance(m, Stochastic)][-1].survival == pytest.approx(0.4)


def test_an_option_that_a_model_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="densenet121 has no option 'survival'; it has none of its own"):
        create_model("densenet121", survival=0.5)
    with pytest.raises(UsageError, match="resnet18 has no option 'surival'; its options are survival"):
        create_model("resnet18", surival=0.5)


def test_a_model_without_residual_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="no residual blocks"):
        survive(densenet_bc(4, 22, 10, 3), 0.5)


def test_a_block_that_is_wired_otherwise_is_refused() -> None:
    with pytest.raises(TypeError, match="not a Stochastic"):
        Stochastic(Stochastic(residual(), 0.5), 0.5)
