"""What goes wrong in training is found and named, and looking for it changes nothing."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.blocks.wiring import Chain, Residual
from striate.training import monitor
from striate.training.losses import make_loss
from striate.training.monitor import culprit, dead_units, describe_dead

pytestmark = pytest.mark.filterwarnings("error")

LAYERS = [
    "conv1",
    "bn1",
    "relu1",
    "block.conv2",
    "block.relu2",
    "block.last",
    "pool",
    "flatten",
    "drop",
    "fc1",
    "relu3",
    "fc2",
]
WITH_WEIGHTS = ["conv1", "bn1", "block.conv2", "fc1", "fc2"]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
LOSS = make_loss("cross_entropy", 3)


def net() -> Chain:
    torch.manual_seed(0)
    block = Residual(nn.Identity(), nn.Identity(), conv2=nn.Conv2d(4, 4, 3, padding=1), relu2=nn.ReLU())
    return Chain(
        conv1=nn.Conv2d(1, 4, 3), bn1=nn.BatchNorm2d(4), relu1=nn.ReLU(), block=block, pool=nn.AdaptiveAvgPool2d(2),
        flatten=nn.Flatten(), drop=nn.Dropout(0.2), fc1=nn.Linear(16, 8), relu3=nn.ReLU(), fc2=nn.Linear(8, 3),
    )  # fmt: skip


def images() -> Tensor:
    return torch.randn(6, 1, 10, 10, generator=torch.Generator().manual_seed(1))


def loss(z: Tensor) -> Tensor:
    return LOSS(z, LABELS, None)


class Faulty(nn.Module):
    """A layer that does its work, and then spoils one value on the way forward or back."""

    def __init__(self, layer: nn.Module, forward: float | None = None, back: float | None = None) -> None:
        super().__init__()
        self.spoilt, self.value, self.back = layer, forward, back

    def forward(self, x: Tensor) -> Tensor:
        if self.back is not None and x.requires_grad:
            x = Spoil.apply(x, self.back)
        y = self.spoilt(x).clone()
        if self.value is not None:
            y[0].view(-1)[0] = self.value
        return y


class Spoil(torch.autograd.Function):
    """The identity, whose gradient holds one wrong value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: float) -> Tensor:
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        g = g.clone()
        g.view(-1)[0] = ctx.value
        return g, None


def spoil(module: nn.Module, name: str, **how: float) -> None:
    """Make one layer faulty, under its own name."""
    parent, _, last = name.rpartition(".")
    owner, layer = module.get_submodule(parent), module.get_submodule(name)
    faulty = Faulty(layer, **how)
    forward = faulty.forward
    faulty_layer = type(layer)(*arguments(layer))
    faulty_layer.load_state_dict(layer.state_dict())
    faulty.spoilt = copy.deepcopy(faulty_layer)
    object.__setattr__(faulty_layer, "forward", forward)
    faulty.spoilt.load_state_dict(layer.state_dict())
    setattr(owner, last, faulty_layer)


def arguments(layer: nn.Module) -> tuple[Any, ...]:
    match layer:
        case nn.Conv2d():
            return layer.in_channels, layer.out_channels, 3, 1, layer.padding
        case nn.BatchNorm2d():
            return (layer.num_features,)
        case nn.Linear():
            return layer.in_features, layer.out_features
        case nn.AdaptiveAvgPool2d():
            return (2,)
    return ()


# -- who was it --------------------------------------------------------------------------------------------------------


def test_a_healthy_step_has_no_culprit() -> None:
    assert culprit(net().train(), images(), loss) is None


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_layer_whose_output_is_spoilt_is_named(layer: str, value: float) -> None:
    module = net().train()
    spoil(module, layer, forward=value)
    assert culprit(module, images(), loss) == f"layer {layer} is the first whose output is not finite"


@pytest.mark.parametrize("layer", [name for name in LAYERS if name != "conv1"])
def test_the_layer_that_gives_back_a_spoilt_gradient_is_named(layer: str) -> None:
    module = net().train()
    spoil(module, layer, back=math.nan)
    assert (
        culprit(module, images(), loss) == f"the gradient that layer {layer} gives back is the first that is not finite"
    )


@pytest.mark.parametrize("name", [f"{layer}.{kind}" for layer in WITH_WEIGHTS for kind in ("weight", "bias")])
def test_the_weights_that_are_not_finite_are_named(name: str) -> None:
    for value in (math.nan, math.inf):
        module = net().train()
        with torch.no_grad():
            module.get_parameter(name).view(-1)[-1] = value
        assert culprit(module, images(), loss) == f"weights of {name} are not finite"


@pytest.mark.parametrize("name", [f"{layer}.{kind}" for layer in WITH_WEIGHTS for kind in ("weight", "bias")])
def test_weights_whose_own_gradient_is_not_finite_are_named(name: str) -> None:
    module = net().train()
    module.get_parameter(name).register_hook(lambda g: g * math.inf)
    assert culprit(module, images(), loss) == f"the gradient of {name} is the first that is not finite"


def test_statistics_of_batch_norm_that_are_not_finite_are_named() -> None:
    """They are victims where the forward pass that updated them is at fault, and the cause where it only uses them."""
    for training in (True, False):
        module = net().train(training)
        module.get_buffer("bn1.running_var")[2] = math.nan
        assert culprit(module, images(), loss) == "statistics of bn1.running_var are not finite"
    module = net().train()
    spoil(module, "conv1", forward=math.nan)
    module(images())
    assert not bool(torch.isfinite(module.get_buffer("bn1.running_mean")).all())
    assert culprit(module, images(), loss) == "layer conv1 is the first whose output is not finite"


def test_images_and_losses_can_be_the_culprit_too() -> None:
    bad = images()
    bad[3, 0, 2, 2] = math.inf
    assert culprit(net().train(), bad, loss) == "the input images hold values that are not finite"
    said = culprit(net().train(), images(), lambda z: loss(z) * math.nan)
    assert said == "the loss itself is the first value that is not finite"
    said = culprit(
        net().train(), images(), lambda z: (z - z.detach()).pow(2).sum(1).sqrt().sum()
    )  # 0 / 0 on the way back
    assert said == "the gradient that comes back to layer fc2 is the first that is not finite"


def test_numbers_that_grow_too_large_are_blamed_on_the_layer_where_they_do() -> None:
    module = net().train()
    with torch.no_grad():
        for name in ("fc1", "fc2"):
            module.get_submodule(name).weight.mul_(1e30)
    assert culprit(module, images(), loss) == "layer fc2 is the first whose output is not finite"


def test_a_culprit_is_found_without_gradients_and_in_evaluation_mode_too() -> None:
    module = net().eval()
    module.get_buffer("bn1.running_var").zero_()
    module.get_buffer("bn1.running_mean").fill_(1e38)
    module.bn1.eps = 0.0
    with torch.no_grad():
        assert culprit(module, images(), loss) == "layer bn1 is the first whose output is not finite"


# -- nothing left behind -----------------------------------------------------------------------------------------------


def hooks(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(m, kind)) for m in module.modules() for kind in kinds)


def raising(_: Tensor) -> Tensor:
    raise KeyError


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("after", [loss, lambda z: loss(z) * math.nan, raising])
def test_looking_leaves_the_network_as_it_was(training: bool, after: Callable[[Tensor], Tensor]) -> None:
    module = net().train(training)
    module.get_submodule("drop").eval()
    loss(module(images())).backward()
    state = copy.deepcopy(module.state_dict())
    gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    modes = [m.training for m in module.modules()]
    for look in (lambda: culprit(module, images(), after), lambda: dead_units(module, images())):
        try:
            look()
        except KeyError:
            assert after is raising
        assert hooks(module) == 0
        assert [m.training for m in module.modules()] == modes
        assert all(torch.equal(t, state[n]) for n, t in module.state_dict().items())
        assert {n for n, p in module.named_parameters() if p.grad is not None} == gradients.keys()
        assert all(torch.equal(module.get_parameter(n).grad, g) for n, g in gradients.items())
    assert torch.is_grad_enabled()


def test_a_network_that_fails_on_the_way_leaves_no_hook_either() -> None:
    module = net().train()
    for look in (
        lambda: culprit(module, torch.zeros(6, 2, 10, 10), loss),
        lambda: dead_units(module, torch.zeros(6, 2, 4, 4)),
    ):
        with pytest.raises(ValueError):
            look()
        assert hooks(module) == 0
        assert module.training


# -- dead units --------------------------------------------------------------------------------------------------------


def test_every_relu_is_looked_at_by_name() -> None:
    found = dead_units(net(), images())
    assert {name: n for name, (_, n) in found.items()} == {"relu1": 4, "block.relu2": 4, "relu3": 8}


@pytest.mark.parametrize(
    ("layer", "relu", "dead"), [("bn1", "relu1", 3), ("block.conv2", "block.relu2", 4), ("fc1", "relu3", 5)]
)
def test_channels_that_were_killed_are_counted_where_they_are(layer: str, relu: str, dead: int) -> None:
    module = net()
    before = dead_units(module, images())[relu][0]
    with torch.no_grad():
        module.get_submodule(layer).bias[:dead] = -1e4
    found = dead_units(module, images())
    assert before < dead
    assert found[relu][0] >= dead
    said = describe_dead(found)
    assert said is not None
    assert f"{relu} ({found[relu][0]} of {found[relu][1]})" in said


def test_a_unit_that_fires_for_one_image_is_alive() -> None:
    module = Chain(relu=nn.ReLU())
    x = -torch.ones(5, 3, 2, 2)
    x[4, 1, 0, 1] = 0.1
    assert dead_units(module, x) == {"relu": (2, 3)}
    assert dead_units(module, x[:4]) == {"relu": (3, 3)}
    assert dead_units(module, x[:, :, 0, 1]) == {"relu": (2, 3)}


@pytest.mark.parametrize(("dead", "n", "said"), [(0, 9, False), (2, 9, False), (3, 9, True), (9, 9, True)])
def test_a_third_of_a_layer_is_worth_a_word(dead: int, n: int, said: bool) -> None:
    assert (describe_dead({"relu": (dead, n)}) is not None) == said


def test_networks_without_a_relu_have_no_dead_units() -> None:
    assert dead_units(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()), images()) == {}
    assert describe_dead({}) is None


# -- the first loss ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_first_loss_near_that_of_guessing_says_nothing(classes: int) -> None:
    expected = math.log(classes)
    for loss_value in (expected, 0.7 * expected, 1.4 * expected):
        assert monitor.start(loss_value, expected, classes) is None


@pytest.mark.parametrize(
    ("value", "cause"), [(23.0, "not normalised"), (5.0, "instead of logits"), (0.01, "one class")]
)
def test_a_first_loss_that_is_far_off_is_told_with_what_may_be_the_cause(value: float, cause: str) -> None:
    said = monitor.start(value, math.log(10), 10)
    assert said is not None
    assert cause in said
    assert f"{value:.3g}" in said
    assert "2.3" in said


def test_inputs_that_are_not_normalised_show_in_the_first_loss() -> None:
    """Inputs of 0..255 into a fresh network: the first loss is many times ln C."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(100, 10))
    x = torch.rand(32, 1, 10, 10) * 255
    value = float(make_loss("cross_entropy", 10)(module(x), torch.arange(32) % 10, None).detach())
    assert monitor.start(value, math.log(10), 10) is not None
