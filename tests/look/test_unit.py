"""One unit, term by term, against torch: every kind of layer, every model of the zoo, forward and back."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.blocks.same import SameAvgPool2d, SameConv2d, SameMaxPool2d
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.stochastic import StochasticDepth
from striate.blocks.wiring import Add, Append, Branches, Chain, Concat, Gate, Graph, Residual, Share, Split
from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.units import windows as unit_windows
from striate.look.units.field import Box
from striate.look.units.recording import Operation, Pass, run
from striate.look.units.rules import JOINS, RULES, terms
from striate.look.units.terms import Terms
from striate.look.units.unit import unit
from striate.models.capsnet import DigitCapsules, Presence, PrimaryCapsules
from striate.models.inception_resnet import Scale
from striate.models.lenet_1998 import Pick, RadialBasis, ScaledTanh, SubSampling, SumPool
from striate.models.registry import create_model, entry, list_models

UNITS = 50  # of each kind of layer
Model = tuple[nn.Module, tuple[int, ...]]


def seeded(model: nn.Module, *shape: int) -> tuple[nn.Module, Tensor]:
    """The model with norms that are not the identity, and an image."""
    g = torch.Generator().manual_seed(7)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
            for tensor, middle in (
                (getattr(part, "running_mean", None), 0.0),
                (getattr(part, "running_var", None), 1.0),
                (part.weight, 1.0),
                (part.bias, 0.0),
            ):
                if tensor is not None:
                    tensor.data.copy_(middle + 0.2 * torch.rand(tensor.shape, generator=g) - 0.1)
    return model.eval(), torch.randn((1, *shape), generator=g)


def off(found: Terms, torchs: float) -> float:
    """The difference, relative to the unit; or to what its terms come to with random signs, where they cancel out."""
    scale = max(abs(torchs), float(np.sqrt((found.values**2).sum())), abs(found.bias or 0.0))
    return abs(found.result - torchs) / scale if scale else abs(found.result)


def worst_of(seen: Pass, units: int, seed: int = 0) -> dict[str, float]:
    """The largest difference in random units of each kind of operation."""
    draw, kinds = np.random.default_rng(seed), defaultdict[str, list[Operation]](list)
    for one in seen.operations:
        kinds[one.kind].append(one)
    worst = {}
    for kind, layers in kinds.items():
        for number in draw.integers(len(layers), size=units).tolist():
            y = layers[number].output.detach()[0]
            at = tuple(int(draw.integers(n)) for n in y.shape)
            worst[kind] = max(worst.get(kind, 0.0), off(terms(layers[number], at), y[at].item()))
    return worst


def conv(c_in: int, c: int, k: int = 1, **more: object) -> nn.Conv2d:
    return nn.Conv2d(c_in, c, k, **more)  # type: ignore[arg-type]


MAPS = (4, 6, 5)
SMALL: dict[str, Model] = {
    "convolutions": (Chain(
        nn.Conv2d(4, 6, (3, 2), (2, 1), (0, 1), dilation=(1, 2), groups=2), conv(6, 6, 3, padding=1, groups=6),
        conv(6, 3, 3, padding="same"), conv(3, 2, 2, padding="valid", bias=False), SameConv2d(2, 4, 3, 2, bias=False)),
        (4, 9, 8)),
    "dense": (Chain(nn.Flatten(), nn.Linear(120, 7), nn.Linear(7, 3, bias=False)), MAPS),
    "norms": (Chain(
        nn.BatchNorm2d(4), nn.LocalResponseNorm(3, 0.5, 0.75, 2.0), nn.LocalResponseNorm(4, 1.0, 0.5, 1.0),
        nn.GroupNorm(1, 4), nn.GroupNorm(2, 4, affine=False), nn.GroupNorm(4, 4),
        nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.BatchNorm1d(120, 1e-3)), MAPS),
    "norms of the image": (Chain(nn.BatchNorm2d(4, track_running_stats=False)), MAPS),
    "pools": (Chain(
        nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 1, 1),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(2, 1, divisor_override=3), SameMaxPool2d(3, 2),
        SameAvgPool2d(2, 1), nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d((None, 1))), (2, 19, 18)),
    "L2 pool": (Chain(nn.LPPool2d(2, 2), nn.AdaptiveMaxPool2d((2, 1))), MAPS),
    "activations": (Chain(
        nn.ReLU6(), conv(4, 4), nn.LeakyReLU(0.2), nn.SiLU(), nn.Hardswish(), nn.Tanh(), ScaledTanh(), nn.Identity(),
        nn.Sigmoid(), nn.ReLU(), nn.Softmax(1), nn.LogSoftmax(dim=1)), MAPS),
    "moves": (Chain(
        nn.ZeroPad2d((-1, 1, 2, -1)), nn.ChannelShuffle(2), PaddedShortcut(4, 9), Scale(0.17), Pick((2, 5, 2)),
        nn.Dropout(0.4), StochasticDepth(0.5), nn.Flatten()), MAPS),
    "1998": (Chain(SumPool(2), SubSampling(4), nn.Flatten(), RadialBasis(torch.ones(3, 24))), MAPS),
    "capsules": (Chain(PrimaryCapsules(2), DigitCapsules(60, 2, 3, 4), Presence()), MAPS),
    "residual": (Residual(conv(4, 3), nn.ReLU(), conv(4, 3, 3, padding=1), nn.BatchNorm2d(3)), MAPS),
    "branches": (Branches(conv(4, 3), Append(conv(4, 1, 3, padding=1))), MAPS),
    "gate": (Gate(pool=nn.AdaptiveAvgPool2d(1), fc=conv(4, 4), gate=nn.Sigmoid()), MAPS),
    "split": (Split(nn.ChannelShuffle(2), same=nn.Identity(), other=conv(2, 2)), MAPS),
    "graph": (Graph(
        "x", a=(conv(4, 4), "x"), b=(nn.Tanh(), "x"), c=(Add(), "a", "b", "a"), d=(Concat(), "c", "x", "c"),
        e=(Share(1, 3), "d")), MAPS),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("name", SMALL)
def test_the_terms_of_every_kind_of_layer_make_what_torch_makes(name: str, dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(3)
    model, shape = SMALL[name]
    net, x = seeded(model, *shape)
    worst = worst_of(run(net.to(dtype), x.to(dtype)), UNITS)
    assert worst
    assert max(worst.values()) <= bound, worst


def test_no_rule_is_left_out_of_these() -> None:
    kinds = {type(part) for model, _ in SMALL.values() for part in model.modules()}
    assert RULES.keys() <= kinds
    joined = {"add", "cat", "multiply", "split"}
    assert JOINS.keys() == joined


@pytest.mark.parametrize("name", [name for name in SMALL if name != "norms of the image"])
def test_the_slopes_are_the_derivatives_that_autograd_finds(name: str) -> None:
    torch.manual_seed(3)
    model, shape = SMALL[name]
    net, x = seeded(model, *shape)
    seen, draw = run(net.double(), x.double()), np.random.default_rng(1)
    for one in seen.operations:
        at = tuple(int(draw.integers(n)) for n in one.output.shape[1:])
        parameters = {} if one.layer is None else {n: p for n, p in one.layer.named_parameters() if p.requires_grad}
        found = terms(one, at)
        for source, read in enumerate(one.inputs):
            leaf = read.detach().clone().requires_grad_()
            mine = np.ones(len(found.x), bool) if found.source is None else found.source == source
            mine = mine & (True if found.inside is None else found.inside)
            if sum(t is read for t in one.inputs) > 1:  # autograd gives both at once
                mine[:] = [one.inputs[i] is read for i in found.source]
            ours = np.zeros(read.shape[1:])
            np.add.at(ours, tuple(found.at[mine].T), found.slopes[mine])
            (wanted,) = torch.autograd.grad(one.again(read, leaf)[0][at], leaf, allow_unused=True)
            wanted = np.zeros_like(ours) if wanted is None else wanted[0].numpy()
            np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{one.kind} at {at}")
        theirs = (
            torch.autograd.grad(one.output[0][at], list(parameters.values()), retain_graph=True) if parameters else ()
        )
        for (key, parameter), theirs_p in zip(parameters.items(), theirs, strict=True):
            ours_p = np.zeros(tuple(parameter.shape))
            if found.weight == key and found.weight_slopes is not None and found.weight_at is not None:
                ours_p[tuple(found.weight_at.T)] = found.weight_slopes
            for place, slope in found.parameter_slopes.items():
                if place.startswith(f"{key}["):
                    ours_p[int(place[len(key) + 1 : -1])] = slope
            own = ours_p != 0  # routing: the weights of the unit's own kernel
            wanted = theirs_p.numpy() if one.kind != "DigitCapsules" else np.where(own, theirs_p.numpy(), 0)
            np.testing.assert_allclose(ours_p, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{one.kind}.{key} at {at}")


QUICK = ("lenet5", "lenet5_1998", "squeezenet1_0", "shufflenet_v2_x0_5", "cifar_resnet20")


def shape_of(name: str) -> tuple[int, int, int]:
    """Small images whose last maps still have more than one position where the network allows it."""
    known = entry(name)
    if known.fixed_size:
        return known.input[0], known.smallest, known.smallest
    return known.input[0], max(40, known.smallest), max(36, known.smallest)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_fifty_units_of_every_kind_of_layer_of_every_model(name: str) -> None:
    torch.manual_seed(0)
    shape = shape_of(name)
    size = {"input_size": shape[1:]} if entry(name).fixed_size else {}
    net, x = seeded(create_model(name, **size), *shape)
    single = worst_of(run(net, x), UNITS)
    double = worst_of(run(net.double(), x.double()), UNITS, seed=1)
    print(
        f"\n{name} at {shape}, {len(single)} kinds: "
        f"float32 {max(single.values()):.1e}, float64 {max(double.values()):.1e}"
    )
    assert max(single.values()) <= 1e-5, single
    assert max(double.values()) <= 1e-10, double


SLOWER = (
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "googlenet",
    "densenet121",
    "nasnet_a_mobile",
    "alexnet",
)


@pytest.mark.parametrize(
    "name", ["lenet5_1998", "cifar_resnet20", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWER)]
)
def test_what_the_readers_of_a_unit_tell_it_adds_up_to_its_gradient(name: str) -> None:
    torch.manual_seed(0)
    net, x = seeded(create_model(name), *shape_of(name))
    net, x, draw = net.double(), x.double(), np.random.default_rng(2)
    steps = [step for step, _ in net.named_modules() if step]
    reached = 0
    for layer in [steps[i] for i in draw.integers(len(steps), size=8).tolist()]:
        for loss in (False, True):
            one = unit(net, x, layer, loss=loss)
            assert one.g_by_hand == pytest.approx(one.g, rel=1e-9, abs=1e-14), layer
            assert off(one.terms, one.torch) <= 1e-10
            reached += one.g != 0
    assert reached > 2


def test_the_gradient_is_that_of_the_logit_or_of_the_loss() -> None:
    net = Chain(flatten=nn.Flatten(), fc=nn.Linear(4, 3)).double()
    x = torch.rand(1, 1, 2, 2).double()
    p = net(x).softmax(1)[0]
    assert unit(net, x, "fc", [1], toward=1).g == 1
    assert unit(net, x, "fc", [1], toward=2).g == 0
    assert unit(net, x, "fc", [1], toward=1, loss=True).g == pytest.approx(p[1].item() - 1)
    assert unit(net, x, "fc", [0], toward="dog", loss=True, classes=["cat", "eel", "dog"]).g == pytest.approx(
        p[0].item()
    )


@pytest.mark.parametrize("toward", [0, 1])
def test_one_logit_for_two_classes_is_that_of_the_second_and_its_negative_that_of_the_first(toward: int) -> None:
    net = Chain(flatten=nn.Flatten(), fc=nn.Linear(4, 1)).double()
    x = torch.rand(1, 1, 2, 2).double()
    q = net(x).sigmoid().item()
    assert unit(net, x, "fc", toward=toward).g == (1 if toward else -1)
    assert unit(net, x, "fc", toward=toward, loss=True).g == pytest.approx(q - toward)


def test_what_it_adds_to_a_kernel_summed_over_all_places_is_the_gradient_of_the_kernel() -> None:
    torch.manual_seed(0)
    net = Chain(conv=conv(2, 3, 2), relu=nn.ReLU(), flatten=nn.Flatten(), fc=nn.Linear(12, 2)).double()
    x = torch.rand(1, 2, 3, 3).double()
    net(x)[0, 1].backward()
    ours, bias = np.zeros((3, 2, 2, 2)), np.zeros(3)
    for at in np.ndindex(3, 2, 2):
        one = unit(net, x, "conv", at, toward=1)
        assert one.terms.weight_at is not None
        assert one.terms.weight_slopes is not None
        ours[tuple(one.terms.weight_at.T)] += one.g * one.terms.weight_slopes
        bias[at[0]] += one.g * one.terms.parameter_slopes[f"bias[{at[0]}]"]
    weight = net.get_parameter("conv.weight").grad
    theirs = net.get_parameter("conv.bias").grad
    assert weight is not None
    assert theirs is not None
    np.testing.assert_allclose(ours, weight.numpy(), rtol=1e-12)
    np.testing.assert_allclose(bias, theirs.numpy(), rtol=1e-12)


def test_a_model_in_training_is_looked_at_in_evaluation_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    net = Chain(
        conv=conv(1, 4, 3), bn=nn.BatchNorm2d(4), drop=nn.Dropout(0.5), flatten=nn.Flatten(), fc=nn.Linear(16, 3)
    )
    net.train()
    net.drop.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for layer in ("conv", "bn", "drop"):
        one = unit(net, torch.rand(1, 1, 4, 4), layer)
        assert one.g_by_hand == pytest.approx(one.g, rel=1e-5)
    assert net.training
    assert net.bn.training
    assert not net.drop.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


def test_the_pixels_it_sees_are_those_that_change_it() -> None:
    torch.manual_seed(0)
    net = Chain(
        a=conv(1, 2, 3, padding=1),
        pool=nn.AvgPool2d(2),
        b=conv(2, 2, 3),
        add=Residual(conv(2, 2), nn.Tanh(), nn.Tanh()),
        flatten=nn.Flatten(),
    )
    x = torch.rand(1, 1, 12, 11)
    for layer in ("a", "pool", "b", "add"):
        one = unit(net, x, layer, (1, 1, 2))
        assert one.box is not None
        image = x.clone().requires_grad_()
        seen = run(net, image)
        made = seen.outputs[layer] if layer != "add" else seen.outputs["add.last"]
        (g,) = torch.autograd.grad(made[0, 1, 1, 2], seen.image)
        rows, columns = (g[0, 0].nonzero()[:, axis] for axis in (0, 1))
        assert one.box == Box(int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())), layer


def test_a_pool_names_its_winner_and_only_the_winner_is_told_something() -> None:
    net = Chain(pool=nn.MaxPool2d(2), flatten=nn.Flatten())
    one = unit(net, torch.tensor([[[[1.0, 5.0], [3.0, 2.0]]]]), "pool", (0, 0, 0))
    assert one.terms.winner == 1
    assert one.terms.slopes.tolist() == [0, 1, 0, 0]
    assert "<- the largest" in one.text()


def test_routing_shows_its_coefficients_which_add_up_to_one_over_the_capsules_above() -> None:
    torch.manual_seed(0)
    net = Chain(primary=PrimaryCapsules(2), digits=DigitCapsules(18, 2, 3, 4), lengths=Presence())
    x = torch.randn(1, 4, 3, 3)
    coefficients = np.array([unit(net, x, "digits", (j, 0)).terms.coupling for j in range(3)])
    np.testing.assert_allclose(coefficients.sum(0), 1)
    assert "listens to most" in unit(net, x, "digits").text()


def test_a_wiring_shows_what_it_joins_and_the_step_behind_it() -> None:
    net = Chain(block=Residual(nn.Identity(), nn.ReLU(), conv=conv(2, 2)), flatten=nn.Flatten(), fc=nn.Linear(18, 2))
    one = unit(net, torch.randn(1, 2, 3, 3), "block", (1, 2, 0))
    assert (one.kind, one.sources) == ("add", ("block.conv", "block.downsample"))
    assert [t.layer for t in one.then] == ["block.last"]


def test_the_table_shows_some_terms_and_says_what_the_others_add() -> None:
    torch.manual_seed(0)
    one = unit(create_model("lenet5"), torch.rand(1, 32, 32), "C3", (3, 2, 1))
    shown = one.text(most=5)
    listed = np.argsort(-np.abs(one.terms.values))[:5]
    rest = np.delete(one.terms.values, listed).sum()
    assert f"and 145 more, which add up to {rest:.4g}" in shown
    assert "more" not in one.text(None).split("Back")[0]
    assert len(one.text(None).splitlines()) > 300
    whole = one.to_json()
    assert len(whole["terms"]) == 150
    assert sum(t["value"] for t in whole["terms"]) + whole["bias"] == pytest.approx(whole["result"], rel=1e-12)
    assert whole["back"]["parameters"]["C3.bias[3]"] == one.g


@pytest.mark.parametrize(("layer", "at", "words"), [
    ("C33", (0, 0, 0), "no layer 'C33'; did you mean 'C3'"),
    ("C3", (16, 0, 10), "channel 16 is not in 0 to 15, column 10 is not in 0 to 9; the nearest unit is 15,0,9"),
    ("C3", (1, 2), "named by channel, row, column; got 1,2"),
    ("F6", (1, 2, 3), "named by unit; got 1,2,3"),
    ("F6", (-1,), "the nearest unit is 0"),
])  # fmt: skip
def test_a_wrong_layer_or_place_is_told_with_the_nearest_right_one(layer: str, at: Sequence[int], words: str) -> None:
    with pytest.raises((UnknownName, UsageError), match=words):
        unit(create_model("lenet5"), torch.rand(1, 32, 32), layer, at)


def test_a_layer_without_a_rule_and_a_wrong_image_are_named() -> None:
    net = Chain(gelu=nn.GELU(), flatten=nn.Flatten())
    with pytest.raises(UnknownName, match="gelu is a GELU"):
        unit(net, torch.rand(1, 2, 2), "gelu")
    with pytest.raises(ShapeError, match="expected one"):
        unit(net, torch.rand(2, 1, 2, 2), "flatten")
    with pytest.raises(UsageError, match="class 12 is asked for"):
        unit(create_model("lenet5"), torch.rand(1, 32, 32), "C3", toward=12)


@pytest.mark.parametrize("wrong", ["kernel turned", "bias forgotten", "one term left out"])
def test_a_planted_fault_in_the_terms_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    real = unit_windows.weighted

    def faulty(
        x: np.ndarray, at: np.ndarray, w: np.ndarray, formula: str, bias: float | None = None, **more: object
    ) -> Terms:
        w = w[::-1] if wrong == "kernel turned" else np.append(w[:-1], 0) if wrong == "one term left out" else w
        return real(x, at, w, formula, None if wrong == "bias forgotten" else bias, **more)

    seen = run(*seeded(Chain(conv(1, 4, 3)), 1, 5, 5))
    assert worst_of(seen, 5)["Conv2d"] <= 1e-5
    monkeypatch.setattr(unit_windows, "weighted", faulty)
    assert worst_of(seen, 5)["Conv2d"] > 1e-3


class Foreign(nn.Module):
    """A network that is not of the house: an activation used twice and in place, and an addition in place."""

    def __init__(self, overwrite: bool = False) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True)
        self.flatten, self.fc, self.overwrite = nn.Flatten(), nn.Linear(32, 3), overwrite

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(self.conv(x))
        b = self.bn(a)
        if self.overwrite:
            b.mul_(2)  # not bound anew: has to write over b
        b += a
        y: Tensor = self.fc(self.flatten(self.relu(b)))
        return y


def test_a_network_from_elsewhere_is_looked_at_too_and_keeps_working_in_place() -> None:
    torch.manual_seed(0)
    net, x = Foreign(), torch.randn(1, 1, 4, 4)
    before = net.eval()(x)
    for layer in ("conv", "bn", "relu", "fc"):
        one = unit(net, x, layer)
        assert abs(one.difference) < 1e-6
        assert one.g_by_hand == pytest.approx(one.g, rel=1e-5)
    assert [t.kind for t in unit(net, x, "bn").told] == ["add"]
    assert net.relu.inplace
    assert torch.equal(run(net, x).logits, before)


def test_values_that_are_overwritten_are_not_shown_as_if_they_were_the_layers() -> None:
    with pytest.raises(UsageError, match="bn: a later operation of Foreign works in place"):
        unit(Foreign(overwrite=True), torch.randn(1, 1, 4, 4), "bn")
