"""The five wirings against the formulas they are named by, and against nn.Sequential."""

import copy
import time

import pytest
import torch
from torch import Tensor, nn

from striate.blocks.wiring import Append, Branches, Chain, Gate, Residual
from striate.errors import ShapeError


def steps() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"first": nn.Conv2d(4, 4, 3, padding=1), "second": nn.Tanh()}


def wirings() -> dict[str, nn.Module]:
    return {
        "chain": Chain(**steps()),
        "numbered": Chain(*steps().values()),
        "branches": Branches(**steps()),
        "residual": Residual(nn.Conv2d(4, 4, 1), nn.ReLU(), **steps()),
        "append": Append(**steps()),
        "gate": Gate(pool=nn.AdaptiveAvgPool2d(1), **steps()),
    }


WIRINGS = list(wirings())


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, 5, 7, generator=torch.Generator().manual_seed(1))


def test_each_wiring_computes_its_formula(x: Tensor) -> None:
    nets = wirings()
    f, g = steps().values()
    r = nets["residual"]
    assert torch.equal(nets["chain"](x), g(f(x)))
    assert torch.equal(nets["numbered"](x), g(f(x)))
    assert torch.equal(nets["branches"](x), torch.cat([f(x), g(x)], 1))
    assert torch.equal(r(x), torch.relu(g(r.first(x)) + r.downsample(x)))
    assert torch.equal(nets["append"](x), torch.cat([x, g(f(x))], 1))
    assert torch.equal(nets["gate"](x), x * g(f(x.mean((2, 3), keepdim=True))))


@pytest.mark.parametrize("kind", WIRINGS)
def test_the_declared_order_is_the_order_of_execution(kind: str, x: Tensor) -> None:
    net, ran = wirings()[kind], []
    for name, step in net.named_children():
        step.register_forward_hook(lambda *_, name=name: ran.append(name))
    net(x)
    assert ran == [name for name, _ in net.named_children()]


def test_steps_given_by_position_are_numbered_and_load_what_a_sequential_saved(x: Tensor) -> None:
    chain, sequential = Chain(*steps().values()), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())
    chain.load_state_dict(sequential.state_dict(), strict=True)
    assert torch.equal(chain(x), sequential(x))


def test_a_step_that_is_assigned_anew_is_used_in_its_place(x: Tensor) -> None:
    net = Chain(**steps())
    net.first = nn.Identity()
    assert torch.equal(net(x), torch.tanh(x))
    assert [name for name, _ in net.named_children()] == ["first", "second"]


def test_a_copy_does_not_share_steps_with_the_original(x: Tensor) -> None:
    for kind, net in wirings().items():
        before, twin = net(x), copy.deepcopy(net)
        with torch.no_grad():
            for weight in twin.parameters():
                weight.zero_()
        assert torch.equal(net(x), before), kind
        assert not torch.equal(twin(x), before), kind


@pytest.mark.parametrize("name", ["order", "downsample"])
def test_names_that_the_wiring_needs_for_itself_are_refused(name: str) -> None:
    with pytest.raises((KeyError, ValueError), match=name):
        Residual(nn.Identity(), nn.Identity(), **{name: nn.Identity()})


@pytest.mark.parametrize("kind", WIRINGS)
def test_each_wiring_is_one_graph_for_the_compiler(kind: str, x: Tensor) -> None:
    torch._dynamo.reset()
    net = wirings()[kind]
    assert torch.equal(torch.compile(net, fullgraph=True, backend="eager")(x), net(x))


@pytest.mark.parametrize("kind", WIRINGS)
def test_each_wiring_can_be_traced_by_torch_fx(kind: str, x: Tensor) -> None:
    net = wirings()[kind]
    assert torch.equal(torch.fx.symbolic_trace(net)(x), net(x))


def test_a_pass_looks_up_no_path_of_a_submodule(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> None:
    nets = wirings()
    monkeypatch.setattr(nn.Module, "get_submodule", lambda *_: pytest.fail("a string was looked up in forward"))
    for net in nets.values():
        net(x)


@pytest.mark.slow  # a race: alone on a core it is the same within 3 %
def test_a_chain_is_as_fast_as_a_sequential() -> None:
    chain, sequential = (kind(*(nn.Identity() for _ in range(100))) for kind in (Chain, nn.Sequential))
    x, best = torch.zeros(1), {chain: 1.0, sequential: 1.0}
    for _ in range(400):
        for net in best:
            start = time.perf_counter()
            net(x)
            best[net] = min(best[net], time.perf_counter() - start)
    assert best[chain] < 1.15 * best[sequential]


def network() -> Chain:
    block = Residual(nn.Identity(), nn.ReLU(), conv1=nn.Conv2d(2, 2, 5), relu=nn.ReLU())
    return Chain(stem=nn.Conv2d(1, 2, 3), stage=Chain(block, nn.Identity()), flatten=nn.Flatten(), fc=nn.Linear(9, 2))


def test_an_image_that_is_too_small_is_refused_with_the_whole_path_to_the_step() -> None:
    with pytest.raises(ShapeError) as refused:
        network()(torch.zeros(2, 1, 6, 4))
    assert str(refused.value) == (
        "stage.0.conv1 slides a 5×5 window over 4×2 positions: the image is too small; "
        "the network was given (2, 1, 6, 4)"
    )
    assert "Kernel size" in str(refused.value.__cause__)


def test_the_error_of_a_shortcut_and_of_a_branch_names_it() -> None:
    residual = Residual(nn.Conv2d(3, 2, 1), nn.ReLU(), conv=nn.Conv2d(2, 2, 1))
    with pytest.raises(ShapeError, match=r"^block\.downsample takes 3 channels and got 2;"):
        Chain(block=residual)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ShapeError, match=r"^wide takes 3 channels and got 2;"):
        Branches(narrow=nn.Identity(), wide=nn.Conv2d(3, 2, 1))(torch.zeros(1, 2, 4, 4))


def test_a_flattened_size_that_changed_is_explained() -> None:
    net = Chain(flatten=nn.Flatten(), fc=nn.Linear(16, 2))
    with pytest.raises(ShapeError, match=r"^fc takes 16 features and got 25: the image has another size"):
        net(torch.zeros(1, 1, 5, 5))


def test_one_value_a_channel_in_training_is_explained() -> None:
    with pytest.raises(ShapeError, match="two images"):
        Chain(bn=nn.BatchNorm2d(3))(torch.zeros(1, 3, 1, 1))


def test_an_error_that_is_no_misfit_keeps_its_type_and_gains_the_steps() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError("planted")

    with pytest.raises(ZeroDivisionError) as raised:
        Chain(outer=Chain(nn.Identity(), Broken()))(torch.zeros(2, 3))
    assert raised.value.__notes__ == ["in step 1, which was given (2, 3)", "in step outer, which was given (2, 3)"]
