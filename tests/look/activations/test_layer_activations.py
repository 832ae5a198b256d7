"""Numbers of layers against plain torch and loops; what is kept; that nothing is left behind."""

import copy
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.activations.activations import activations
from striate.look.activations.steps import Step
from striate.look.activations.tally import Tally
from striate.look.trace import trace
from striate.models.registry import create_model, entry, list_models


def test_values_are_those_of_trace() -> None:
    torch.manual_seed(0)
    net, x = create_model("cifar_resnet20").eval(), torch.randn(2, 3, 12, 12)
    with torch.no_grad(), trace(net) as seen:
        net(x)
    found = activations(net, x)
    assert len(found) == 19 + 19 + 19 + 2 + 2  # convolutions, norms, rectifiers; two shortcuts; mean and dense layer
    for layer in found:
        y = seen[layer.name].double()
        assert layer.shape == tuple(y.shape[1:])
        assert layer.mean == pytest.approx(y.mean().item(), abs=1e-6)
        assert layer.std == pytest.approx(y.std(correction=0).item(), rel=1e-5)
        assert (layer.least, layer.greatest) == (y.min().item(), y.max().item())
        assert layer.sparsity == pytest.approx((y == 0).double().mean().item(), abs=1e-12)
        per = y.transpose(0, 1).flatten(1)
        assert np.allclose(layer.channel_mean, per.mean(1), atol=1e-6)
        assert np.allclose(layer.channel_std, per.std(1, correction=0), rtol=1e-4, atol=1e-6)
        assert np.allclose(layer.channel_sparsity, (per == 0).double().mean(1))


def test_sparsity_blank_and_dead_against_loops(stranger: nn.Module) -> None:
    with torch.no_grad():
        stranger.conv1.bias[2] = -100.0  # never above zero
    x = torch.randn(5, 3, 8, 8)
    layer = activations(stranger, x, ["relu"], batch=2)["relu"]
    assert layer.maps is not None
    n, c, h, w = layer.maps.shape
    zeros, blank, alive_units, alive = 0, [0] * c, 0, [False] * c
    for k in range(c):
        for i in range(n):
            blank[k] += len({float(v) for v in layer.maps[i, k].flatten()}) == 1
        for p in range(h):
            for q in range(w):
                values = [float(layer.maps[i, k, p, q]) for i in range(n)]
                zeros += sum(v == 0 for v in values)
                alive_units += any(v > 0 for v in values)
                alive[k] |= any(v > 0 for v in values)
    assert layer.sparsity == zeros / (n * c * h * w)
    assert layer.blank.tolist() == blank
    assert layer.dead.tolist() == [not one for one in alive]
    assert layer.dead_units == pytest.approx(1 - alive_units / (c * h * w))
    assert layer.dead[2]
    assert layer.blank[2] == 5
    assert layer.rectified


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**20),
)  # fmt: skip
def test_batches_add_up_to_the_whole(sizes: list[int], c: int, side: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    parts = [(torch.randn(n, c, side, side, generator=g) * 3 + 1).relu() for n in sizes]
    step = Step("relu", "ReLU", "ReLU", (c, side, side), False, True)
    pieces, whole = Tally(step, nn.ReLU()), Tally(step, nn.ReLU())
    for part in parts:
        pieces.add(part, keep=False)
    whole.add(torch.cat(parts), keep=False)
    a, b = pieces.told(), whole.told()
    assert (a.images, a.sparsity, a.dead_units, a.least, a.greatest) == (
        b.images, b.sparsity, b.dead_units, b.least, b.greatest,
    )  # fmt: skip
    assert (a.mean, a.std) == (pytest.approx(b.mean, abs=1e-5), pytest.approx(b.std, abs=1e-5))
    assert a.blank.tolist() == b.blank.tolist()


def test_saturation_is_where_a_sigmoid_is_within_one_per_cent_of_its_ends() -> None:
    net = nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.Hardtanh(-2, 2))
    x = torch.tensor([-9.0, -4.5, 0.0, 4.7]).view(1, 1, 2, 2)
    found = activations(net[:1], x)["0"]
    assert found.saturated == pytest.approx(2 / 4)  # sigmoid(-4.5) = 0.011, sigmoid(4.7) = 0.991
    assert activations(net[1:2], x)["1"].saturated == pytest.approx(3 / 4)
    assert activations(net[2:3], 2 * x)["2"].saturated == pytest.approx(1 / 4)  # zeros are sparsity
    assert activations(net[3:], x)["3"].saturated == pytest.approx(3 / 4)
    assert activations(nn.Sequential(nn.ReLU()), x)["0"].saturated is None


def test_maps_are_kept_of_named_layers_and_stages_alone(stranger: nn.Module) -> None:
    x = torch.randn(2, 3, 8, 8)
    assert all(layer.maps is None for layer in activations(stranger, x))
    found = activations(stranger, x, ["relu", "fc"])
    assert [layer.name for layer in found] == ["relu", "relu:2", "fc"]
    with torch.no_grad(), trace(stranger) as seen:
        stranger.eval()(x)
    for layer in found:
        assert layer.maps is not None
        assert torch.equal(layer.maps, seen[layer.name])  # before anything in place has written over it
    assert [layer.name for layer in activations(stranger, x, ["relu:2"])] == ["relu:2"]
    staged = activations(stranger, x, "stages")
    assert [layer.name for layer in staged] == ["relu", "relu:2"]
    assert staged["relu"].maps is not None
    assert [layer.name for layer in activations(stranger, x, "fc")] == ["fc"]


def test_each_is_told_of_every_layer_while_its_maps_are_there(stranger: nn.Module) -> None:
    x, told = torch.randn(5, 3, 8, 8), []
    activations(stranger, x, each=lambda step, y, first: told.append((step.name, len(y), first)), batch=2)
    assert told[:2] == [("conv1", 2, 0), ("relu", 2, 0)]
    assert [(n, first) for name, n, first in told if name == "fc"] == [(2, 0), (2, 2), (1, 4)]


def test_no_more_than_a_few_layers_are_alive_at_once() -> None:
    net, x = (
        nn.Sequential(*[nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(12)]),
        torch.randn(1, 4, 64, 64),
    )
    made: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    for part in net.modules():
        if not list(part.children()):
            part.register_forward_hook(lambda _, __, y: made.append(weakref.ref(y)))

    def count(step: Step, y: Tensor, first: int) -> None:
        alive.append(sum(one() is not None for one in made))

    assert len(activations(net, x, each=count)) == len(made) == 24
    assert max(alive) <= 3
    made.clear()
    activations(net, x, [str(i) for i in range(12)], each=count)
    assert max(alive) <= 3  # what is kept is a copy of its own


def state(net: nn.Module) -> tuple[object, ...]:
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    return [m.training for m in net.modules()], hooks, [p.requires_grad for p in net.parameters()], str(grads)


@pytest.mark.parametrize("breaks", [False, True])
def test_the_network_is_afterwards_as_it_was(stranger: nn.Module, breaks: bool) -> None:
    stranger.train()
    stranger.pool.eval()
    stranger.fc.weight.requires_grad_(False)
    stranger(torch.randn(2, 3, 8, 8)).sum().backward()
    weights = {key: value.clone() for key, value in stranger.state_dict().items()}
    before, x = state(stranger), torch.randn(1, 3, 8, 8)

    def each(step: Step, y: Tensor, first: int) -> None:
        if breaks and step.name == "pool":
            raise RuntimeError("stop")

    if breaks:
        with pytest.raises(RuntimeError, match="stop"):
            activations(stranger, x, each=each)
    else:
        activations(stranger, x, "stages", each=each)
    assert state(stranger) == before
    assert all(torch.equal(value, weights[key]) for key, value in stranger.state_dict().items())
    assert x.grad is None


def test_it_works_in_half_and_double_and_under_inference_mode(stranger: nn.Module) -> None:
    x = torch.randn(1, 3, 8, 8)
    single = activations(stranger, x)
    for kind, near in ((torch.float64, 1e-5), (torch.bfloat16, 0.1)):
        other = activations(copy.deepcopy(stranger).to(kind), x)
        assert [layer.name for layer in other] == [layer.name for layer in single]
        assert other["relu"].mean == pytest.approx(single["relu"].mean, rel=near)
    with torch.inference_mode():
        assert activations(stranger, x)["relu"].mean == single["relu"].mean


def test_values_that_are_not_finite_are_counted_and_said() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight[0] = math.inf
    found = activations(net, torch.ones(1, 1, 2, 2))
    assert found["0"].not_finite == 4
    assert "0 put out 4 values that are not finite" in found.notes
    told = found.to_json()
    assert told["layers"][0]["mean"] is None


def test_wrong_things_are_told_with_what_was_expected(stranger: nn.Module) -> None:
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(UnknownName, match="no layer 'conv3'; did you mean 'conv"):
        activations(stranger, x, ["conv3"])
    with pytest.raises(ShapeError, match=r"form \(3, 8, 8\); expected \(N, c, H, W\)"):
        activations(stranger, x[0])
    with pytest.raises(ShapeError, match="form ndarray"):
        activations(stranger, x.numpy())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no layers were named"):
        activations(stranger, x, [])
    with pytest.raises(UsageError, match="batch = 0"):
        activations(stranger, x, batch=0)
    with pytest.raises(UnknownName, match="no activations of 'rleu'; did you mean 'relu'"):
        activations(stranger, x)["rleu"]
    stranger.spare = nn.ReLU()
    with pytest.raises(ShapeError, match="spare put out nothing"):
        activations(stranger, x, ["spare"])
    with pytest.raises(RuntimeError):  # the module's own error passes through
        activations(stranger, torch.randn(1, 2, 8, 8))


QUICK = ("lenet5", "squeezenet1_0", "cifar_resnet20", "shufflenet_v2_x0_5", "capsnet_mnist", "resnet18")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_every_network_shows_its_layers_with_none_given(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    known = entry(name)
    side = min(known.input[1], 2 * known.smallest) if known.fixed_size else max(64, 2 * known.smallest)
    size = {"input_size": (side, side)} if known.fixed_size else {}
    net, x = create_model(name, **size), torch.rand(1, known.input[0], side, side)
    found = activations(net, x)
    leaves = {key for key, part in net.named_modules() if not list(part.children())}
    seen = {layer.name for layer in found}
    assert known.stem in seen
    assert known.head in seen or known.head == "" or name.startswith(("capsnet", "lenet5_1998"))
    assert len(seen & leaves) > 0.7 * len(leaves) or known.name.endswith("_aux") or name == "capsnet_mnist"
    assert all(layer.not_finite == 0 for layer in found) or "1202" in name
    assert all(0 <= layer.sparsity <= 1 for layer in found)
    staged = activations(net, x, "stages")
    assert len(staged) >= 1
    places = [layer.places for layer in staged]
    assert places == sorted(places, reverse=True)
    assert all(layer.maps is not None for layer in staged)
