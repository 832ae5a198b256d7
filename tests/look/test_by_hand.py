"""The by-hand engine against torch's autograd in float64: every wiring, every kind of layer, every model of the zoo."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.same import SameAvgPool2d, SameConv2d, SameMaxPool2d
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.stochastic import StochasticDepth
from striate.blocks.survival import survive
from striate.blocks.wiring import (
    Add,
    Append,
    Branches,
    Chain,
    Concat,
    Gate,
    Graph,
    Paths,
    Preactivated,
    Residual,
    ResidualPaths,
    Share,
    Split,
    Stochastic,
    Sum,
    Taps,
)  # fmt: skip
from striate.data import idx
from striate.errors import ShapeError, UnknownName, UsageError
from striate.look.by_hand.engine import ByHand, by_hand, capsnet_by_hand, hand_over
from striate.look.by_hand.layers import LAYERS
from striate.look.by_hand.wirings import WIRINGS
from striate.math import average_pool, batch_norm, conv2d, max_pool, relu, routing
from striate.models.capsnet import CapsNet, DigitCapsules, Presence, PrimaryCapsules, capsnet_loss
from striate.models.inception_resnet import Scale
from striate.models.lenet_1998 import Pick, RadialBasis, ScaledTanh, SubSampling, SumPool
from striate.models.registry import create_model, entry, list_models
from striate.training.losses import make_loss, on_heads

RELATIVE = 1e-8  # of the largest element of each gradient
NOTHING = 1e-12  # of the largest gradient in the model: what is left of a zero, as of a bias before a batch norm


def near(ours: np.ndarray, theirs: np.ndarray, relative: float, floor: float, what: str) -> float:
    assert ours.shape == theirs.shape, what
    off, scale = (float(np.abs(d).max()) if d.size else 0.0 for d in (ours - theirs, theirs))
    assert off <= relative * scale + floor, f"{what} is off by {off:.3g}; its largest element is {scale:.3g}"
    return off / scale if scale > 100 * floor else 0.0


def outputs_of(out: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {"logits": out} if isinstance(out, Tensor) else out._asdict()  # type: ignore[attr-defined]


def assert_as_autograd(model: nn.Module, *shape: int) -> float:
    """Run the model both ways on random images, with the same draws and a random gradient; the largest difference."""
    model = model.double()
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    torch.manual_seed(1)
    theirs = outputs_of(model(x))
    after = {name: buffer.clone() for name, buffer in model.named_buffers()}
    g = {name: torch.randn(y.shape, dtype=y.dtype) for name, y in theirs.items()}
    sum(((g[name] * y).sum() for name, y in theirs.items()), torch.zeros(())).backward()
    model.load_state_dict(before, strict=False)  # the second pass begins with the same running averages
    torch.manual_seed(1)
    ours = by_hand(model, x, g=g)

    trained = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    floor = NOTHING * max([np.abs(d).max() for d in trained.values()], default=0.0)
    assert ours.gradients.keys() == trained.keys()
    worst = [near(ours.gradients[name], d, RELATIVE, floor, name) for name, d in trained.items()]
    for name, y in theirs.items():
        near((ours.heads | {"logits": ours.logits})[name], y.detach().numpy(), 1e-10, 0, name)
    assert ours.dx is not None
    assert x.grad is not None
    worst.append(near(ours.dx, x.grad.numpy(), RELATIVE, floor, "dx"))
    assert all(not torch.equal(before[name], after[name]) for name in ours.running)
    for name, average in ours.running.items():
        near(average, after[name].numpy(), 1e-10, 1e-12, name)
    return max(worst)


TwoHeads = namedtuple("TwoHeads", "logits aside")


def conv(c_in: int, c: int, k: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c, k, **options)


def nine(block: Any) -> Chain:
    """Nine blocks, of which each takes part with another probability."""
    return survive(Chain(*(block() for _ in range(9))), 0.3)


def preactivated() -> Preactivated:
    return Preactivated(nn.Identity(), nn.Identity(), shared=1, a=nn.Tanh(), b=conv(2, 2))


MAPS = (2, 2, 3, 3)
SMALL: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "convolutions": (Chain(
        nn.Conv2d(4, 6, (3, 2), (2, 1), (0, 1), dilation=(1, 2), groups=2), conv(6, 3, 3, padding="same"),
        conv(3, 2, 2, padding="valid", bias=False), SameConv2d(2, 4, 3, 2, bias=False)), (2, 4, 9, 8)),
    "norms": (Chain(
        nn.BatchNorm2d(3), nn.LocalResponseNorm(3, 0.5, 0.75, 2.0), nn.BatchNorm2d(3, affine=False, momentum=None),
        nn.GroupNorm(1, 3), nn.GroupNorm(3, 3, affine=False),
        nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten(), nn.BatchNorm1d(36, 1e-3)), (4, 3, 4, 3)),
    "norms, evaluating": (Chain(
        nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False)).eval(), (4, 3, 4, 3)),
    "pools": (Chain(
        nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 1, 1),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(2, 1, divisor_override=3), SameMaxPool2d(3, 2),
        SameAvgPool2d(2, 1), nn.AdaptiveAvgPool2d((None, 2))), (2, 3, 13, 12)),
    "activations": (Chain(
        nn.ReLU6(), conv(2, 3), nn.LeakyReLU(0.2), nn.SiLU(), nn.Hardswish(), nn.Tanh(), ScaledTanh(), nn.Identity(),
        nn.Sigmoid(), nn.Softmax(1), nn.LogSoftmax(dim=1)), MAPS),
    "moves": (Chain(
        nn.ZeroPad2d((-1, 1, 2, -1)), nn.ChannelShuffle(2), PaddedShortcut(4, 9), Scale(0.17), Pick((2, 5, 2)),
        nn.Flatten()), (2, 4, 5, 6)),
    "draws": (Chain(
        conv(2, 4), nn.Dropout(0.4), StochasticDepth(0.5), nn.Flatten(), nn.Dropout(0.9),
        nn.Linear(36, 5, bias=False)), (8, 2, 3, 3)),
    "no draws": (Chain(nn.Dropout(0.4), StochasticDepth(0.5), nn.Dropout(0.0)).eval(), (8, 2, 3, 3)),
    "1998": (Chain(SumPool(2), SubSampling(2), nn.Flatten(), RadialBasis(torch.ones(3, 8))), (2, 2, 4, 4)),
    "capsules": (Chain(PrimaryCapsules(2), DigitCapsules(8, 2, 3, 4), Presence()), (2, 4, 2, 2)),
    "sequence": (nn.Sequential(conv(2, 2), nn.Sequential(nn.ReLU())), MAPS),
    "branches": (Branches(conv(2, 3), nn.Identity(), a=conv(2, 1, 3, padding=1)), MAPS),
    "residual": (Residual(conv(2, 3), nn.ReLU(), conv(2, 3, 3, padding=1), nn.BatchNorm2d(3)), MAPS),
    "append": (Append(conv(2, 3), nn.ReLU()), MAPS),
    "gate": (Gate(pool=nn.AdaptiveAvgPool2d(1), fc=conv(2, 2), gate=nn.Sigmoid()), MAPS),
    "paths": (Paths(
        {"a": conv(2, 2)}, ({"b": conv(2, 2)}, {"b1": nn.Tanh()}, {"b2": nn.Sigmoid()}), {}, after=nn.ReLU()), MAPS),
    "sum": (Sum({"a": conv(2, 2)}, {"b": nn.Tanh()}, {}), MAPS),
    "residual paths": (ResidualPaths(
        nn.Identity(), nn.ReLU(), {"a": conv(2, 1)}, {"b": conv(2, 2)}, mix=conv(3, 2)), MAPS),
    "taps": (Taps(
        TwoHeads, {"early": "aside"}, f=conv(2, 3), early=Chain(nn.Flatten(), nn.Linear(27, 4)), g=nn.Flatten(),
        fc=nn.Linear(27, 4)), MAPS),
    "taps, evaluating": (Taps(
        TwoHeads, {"early": "aside"}, f=conv(2, 3), early=nn.Tanh(), g=nn.Sigmoid()).eval(), MAPS),
    "split": (Split(nn.ChannelShuffle(2), same=nn.Identity(), other=conv(2, 2)), (2, 4, 3, 3)),
    "preactivated": (Preactivated(
        conv(2, 3), nn.Identity(), shared=2, bn=nn.BatchNorm2d(2), relu=nn.ReLU(), conv=conv(2, 3)), MAPS),
    "stochastic": (nine(lambda: Residual(nn.Identity(), nn.ReLU(), conv(2, 2))), MAPS),
    "stochastic, preactivated": (nine(preactivated), MAPS),
    "stochastic, evaluating": (Stochastic(preactivated(), 0.3).eval(), MAPS),
    "graph": (Graph(
        "x", a=(conv(2, 2), "x"), b=(nn.Tanh(), "x"), c=(Add(), "a", "b", "a"), d=(Concat(), "c", "x", "c"),
        e=(Share(1, 3), "d")), MAPS),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_every_wiring_and_layer_hands_back_what_autograd_does(name: str) -> None:
    torch.manual_seed(2)
    model, shape = SMALL[name]
    assert_as_autograd(model, *shape)


def test_no_wiring_and_no_kind_of_layer_is_left_out_of_these() -> None:
    kinds = {type(part) for model, _ in SMALL.values() for part in model.modules()}
    assert kinds == LAYERS.keys() | WIRINGS.keys()


def shape_of(name: str) -> tuple[int, int, int, int]:
    """About the smallest images, and as many as leave several values a channel for the last batch norm.

    Of two values a batch norm makes -1 and 1, whatever they are. Where a network's last maps have one position, two
    images so give gradients that grow to 1e15 on the way back, and torch's own have no eight digits.
    """
    known = entry(name)
    n = 8 if name.startswith(("densenet", "inception")) else 2
    if name.endswith("_aux"):  # auxiliary heads flatten, and run in training
        return n, *known.input
    if known.fixed_size:
        return n, known.input[0], known.smallest, known.smallest
    return n, known.input[0], max(40, known.smallest), max(36, known.smallest)


def open_units(model: nn.Module) -> None:
    """Let most units of a network without shortcuts through.

    With half of them shut, as at first, a small difference grows by a fifth with every layer: cifar_plain110 then turns
    a change of 1e-15 in the images into one of 6e-7 in torch's own gradients.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.bias)


QUICK = ("lenet5", "lenet5_1998", "nin_cifar10", "squeezenet1_0", "shufflenet_v2_x0_5", "cifar_resnet20")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_every_parameter_of_every_model_has_the_gradient_of_autograd(name: str) -> None:
    shape = shape_of(name)
    torch.manual_seed(0)
    model = create_model(name, **({"input_size": shape[2:]} if entry(name).fixed_size else {})).train()
    if name.startswith("cifar_plain"):
        open_units(model)
    worst = assert_as_autograd(model, *shape)
    print(f"\n{name} at {'×'.join(map(str, shape))}: at most {worst:.1e} off")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet_bn", "inception_v3"])
def test_so_have_those_of_models_with_auxiliary_heads_on_request(name: str) -> None:
    torch.manual_seed(0)
    assert_as_autograd(create_model(name, aux=True).train(), 2, *entry(name).input)


FAULTS: list[tuple[Any, str, Any]] = [
    (relu, "backward", lambda g, x: g * (x >= -0.1)),
    (conv2d, "backward", lambda g, x, w, *where, real=conv2d.backward: real(g[:, :, ::-1], x, w, *where)),
    (max_pool, "backward", lambda g, x, *where, real=max_pool.backward: real(g, -x, *where)),
    (average_pool, "backward", average_pool.backward_sum),
    (batch_norm, "backward", lambda g, x, w, eps, real=batch_norm.backward: real(g, x, w, 100 * eps)),
    (routing, "backward", routing.backward_with_constant_coefficients),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "function", "wrong"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_wrong_formula_is_found(operation: Any, function: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    net = Chain(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2, 1), nn.Conv2d(4, 4, 1),
        PrimaryCapsules(2), DigitCapsules(8, 2, 3, 4), Presence(),
    )  # fmt: skip
    assert_as_autograd(net, 2, 1, 8, 8)
    net.zero_grad()
    monkeypatch.setattr(operation, function, wrong)
    with pytest.raises(AssertionError, match="is off by"):
        assert_as_autograd(net, 2, 1, 8, 8)


def assert_gradients(ours: ByHand, model: nn.Module, loss: Tensor) -> None:
    loss.backward()
    assert ours.loss == pytest.approx(loss.item(), rel=1e-12)
    for name, p in model.named_parameters():
        assert p.grad is not None
        near(ours.gradients[name], p.grad.numpy(), RELATIVE, 1e-14, name)


@pytest.mark.parametrize("classes", [1, 4])
def test_with_labels_the_loss_is_their_cross_entropy(classes: int) -> None:
    net = Chain(flatten=nn.Flatten(), fc=nn.Linear(12, classes)).double()
    x, labels = torch.randn(5, 3, 2, 2).double(), torch.tensor([0, 1, 1, 0, 1])
    z = net(x)
    loss = functional.cross_entropy(z, labels) if classes > 1 else make_loss("bce", 2)(z, labels, None)
    assert_gradients(by_hand(net, x, labels), net, loss)


def test_an_auxiliary_head_adds_its_papers_share() -> None:
    class Shared(TwoHeads):
        share = 0.3

    net = Taps(Shared, {"early": "aside"}, flatten=nn.Flatten(), early=nn.Linear(12, 4), fc=nn.Linear(12, 4)).double()
    x, labels = torch.randn(5, 3, 2, 2).double(), torch.tensor([0, 1, 3, 0, 2])
    z = net(x)
    loss = functional.cross_entropy(z.logits, labels) + 0.3 * functional.cross_entropy(z.aside, labels)
    ours = by_hand(net, x, labels)
    assert_gradients(ours, net, loss)
    judged = on_heads(make_loss("cross_entropy", 4), z, labels, None)
    assert ours.loss == pytest.approx(judged.whole.item(), rel=1e-6)  # training judges in float32


def test_the_capsule_network_has_its_own_loss_and_its_decoder_gradients() -> None:
    torch.manual_seed(0)
    model = create_model("capsnet_mnist", input_size=(17, 17)).double()
    assert isinstance(model, CapsNet)
    x, labels = torch.rand(2, 1, 17, 17).double(), torch.tensor([3, 8])
    assert_gradients(capsnet_by_hand(model, x, labels), model, capsnet_loss(model, x, labels))


def train_both_ways(images: Tensor, labels: Tensor, batch: int) -> tuple[nn.Module, nn.Module, list[float]]:
    """LeNet-5 after one pass over the images, by hand and by torch: SGD with momentum, written out and torch's."""
    torch.manual_seed(0)
    model, twin = create_model("lenet5").double(), create_model("lenet5").double()
    twin.load_state_dict(model.state_dict())
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    speed = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    losses = []
    for x, right in zip(images.split(batch), labels.split(batch), strict=True):
        ours = by_hand(model, x, right)
        assert ours.loss is not None
        losses.append(ours.loss)
        with torch.no_grad():
            for name, p in model.named_parameters():
                speed[name] = 0.9 * speed[name] + torch.from_numpy(ours.gradients[name])
                p -= 0.05 * speed[name]
        optimiser.zero_grad()
        functional.cross_entropy(twin(x), right).backward()
        optimiser.step()
    return model, twin, losses


def assert_same_weights(model: nn.Module, twin: nn.Module, relative: float) -> None:
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        near(a.detach().numpy(), b.detach().numpy(), relative, 0, name)


def test_lenet_trained_by_hand_ends_with_the_weights_of_torch() -> None:
    images, labels = torch.rand(40, 1, 32, 32).double(), torch.randint(0, 10, (40,))
    model, twin, losses = train_both_ways(images, labels, 4)
    assert_same_weights(model, twin, 1e-11)
    assert len(set(losses)) == 10


@pytest.mark.slow
def test_so_does_an_epoch_of_2000_images_of_mnist_and_it_learns(shared: Path) -> None:
    files = (shared / "data" / "mnist" / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pixels, right = (torch.from_numpy(idx.read(file)[:2000].copy()) for file in files)
    images, labels = functional.pad(pixels[:, None].double() / 255, (2, 2, 2, 2)), right.long()
    model, twin, losses = train_both_ways(images, labels, 50)
    assert_same_weights(model, twin, 1e-9)
    print(f"\nlosses of the first and last 5 steps: {np.mean(losses[:5]):.3f}, {np.mean(losses[-5:]):.3f}")
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_handed_over_any_optimiser_takes_the_step_and_running_averages_move() -> None:
    torch.manual_seed(0)
    model, twin = (create_model("cifar_resnet20").double().train() for _ in range(2))
    twin.load_state_dict(model.state_dict())
    steps = [torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.01) for net in (model, twin)]
    for _ in range(3):
        x, labels = torch.randn(4, 3, 16, 16).double(), torch.randint(0, 10, (4,))
        for step in steps:
            step.zero_grad()
        hand_over(by_hand(model, x, labels), model)
        functional.cross_entropy(twin(x), labels).backward()
        for step in steps:
            step.step()
    for name, theirs in twin.state_dict().items():
        near(model.state_dict()[name].numpy(), theirs.numpy(), 1e-9, 0, name)
    assert model.get_buffer("bn1.num_batches_tracked") == 3


def test_gradients_add_to_those_that_are_there_and_fit_no_other_model() -> None:
    net, x, labels = Chain(flatten=nn.Flatten(), fc=nn.Linear(4, 2)), torch.rand(2, 1, 2, 2), torch.tensor([0, 1])
    ours = by_hand(net, x, labels)
    for times in (1, 2):
        hand_over(ours, net)
        grad = net.get_parameter("fc.weight").grad
        assert grad is not None
        assert np.allclose(grad.numpy(), times * ours.gradients["fc.weight"])
    with pytest.raises(UnknownName, match=r"the model has no 'fc.weight'; did you mean 'fcs.weight'"):
        hand_over(ours, Chain(flatten=nn.Flatten(), fcs=nn.Linear(4, 2)))


def test_activations_and_their_gradients_have_the_names_of_their_steps() -> None:
    model = create_model("lenet5").double()
    seen: dict[str, Tensor] = {}
    for name, part in model.named_modules():
        part.register_forward_hook(lambda _, __, y, name=name: (seen.__setitem__(name, y), y.retain_grad())[0])
    x, labels = torch.rand(2, 1, 32, 32).double(), torch.tensor([1, 2])
    functional.cross_entropy(model(x), labels).backward()
    ours = by_hand(model, x, labels)
    assert [*ours.activations] == [name for name in seen if name]
    for name, y in ours.activations.items():
        near(y, seen[name].detach().numpy(), 1e-12, 0, name)
        grad = seen[name].grad
        assert grad is not None
        near(ours.deltas[name], grad.numpy(), 1e-10, 1e-16, name)


def test_masks_are_torchs_draws_or_those_that_are_given_and_the_model_stays_as_it_is() -> None:
    model = Chain(conv=conv(1, 2), bn=nn.BatchNorm2d(2), drop=nn.Dropout(0.5), depth=StochasticDepth(0.5)).train()
    state = {name: t.clone() for name, t in model.state_dict().items()}
    x = torch.rand(6, 1, 4, 4)
    torch.manual_seed(5)
    first = by_hand(model, x)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert set(np.unique(first.masks["drop"])) == {0, 1}
    again = by_hand(model, x, masks=first.masks)  # draws nothing
    assert np.array_equal(first.logits, again.logits)
    ones = by_hand(model, x, masks={"drop": torch.ones(6, 2, 4, 4), "depth": np.ones(6)})
    assert np.allclose(ones.logits, 4 * ones.activations["bn"])
    torch.manual_seed(5)
    assert np.allclose(first.logits, model(x).detach().numpy(), rtol=1e-4, atol=1e-4)  # float32


def test_without_a_loss_there_are_no_gradients_and_float32_stays() -> None:
    ours = by_hand(create_model("lenet5"), torch.rand(2, 1, 32, 32))
    assert (ours.loss, ours.gradients, ours.deltas, ours.dx) == (None, {}, {}, None)
    learnt = by_hand(create_model("lenet5"), torch.rand(2, 1, 32, 32), np.array([1, 2]))
    arrays = [*ours.activations.values(), *learnt.gradients.values(), *learnt.deltas.values(), learnt.dx]
    assert {a.dtype for a in arrays if a is not None} == {np.dtype(np.float32)}


def test_in_float32_it_is_as_near_to_torch_as_float32_allows() -> None:
    torch.manual_seed(0)
    model, x, labels = create_model("cifar_resnet20").train(), torch.randn(8, 3, 32, 32), torch.arange(8)
    ours = by_hand(model, x, labels)
    z = model(x)
    functional.cross_entropy(z, labels).backward()
    near(ours.logits, z.detach().numpy(), 1e-4, 0, "logits")
    for name, p in model.named_parameters():
        assert p.grad is not None
        near(ours.gradients[name], p.grad.numpy(), 1e-2, 1e-6, name)


def test_parameters_that_are_not_trained_have_no_gradient() -> None:
    net = Chain(a=nn.Conv2d(1, 2, 1).requires_grad_(False), b=nn.Conv2d(2, 2, 1), c=nn.Flatten())
    assert by_hand(net, torch.rand(1, 1, 1, 1), np.array([0])).gradients.keys() == {"b.weight", "b.bias"}


class Stranger(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Altered(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Undeclared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ReLU()


def test_what_it_can_not_do_is_said() -> None:
    x = torch.rand(2, 1, 4, 4)
    for stranger in (Stranger(), Altered()):  # another forward pass than that of its base
        with pytest.raises(UnknownName, match=r"b is a (Stranger|Altered), for which there is no operation"):
            by_hand(Chain(a=nn.ReLU(), b=stranger), x)
    with pytest.raises(UnknownName, match="the network is a Undeclared, whose order of steps is not declared"):
        by_hand(Undeclared(), x)
    with pytest.raises(UsageError, match="a pads with 'reflect'"):
        by_hand(Chain(a=nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), x)
    with pytest.raises(UsageError, match="a flattens axes 0 to -1"):
        by_hand(Chain(a=nn.Flatten(0)), x)
    with pytest.raises(UsageError, match="are bfloat16; expected all in float32, or all in float64"):
        by_hand(Chain(a=nn.Conv2d(1, 1, 1)).bfloat16(), x)


def test_what_does_not_fit_is_refused() -> None:
    net, x = Chain(flatten=nn.Flatten(), fc=nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
    with pytest.raises(ShapeError, match="expected 2 whole numbers"):
        by_hand(net, x, torch.tensor([1, 2, 0]))
    with pytest.raises(ShapeError, match="labels run from 1 to 3; expected 0 to 2"):
        by_hand(net, x, torch.tensor([1, 3]))
    with pytest.raises(ShapeError, match=r"g for logits has the shape \(2, 4\); expected that of it, \(2, 3\)"):
        by_hand(net, x, g=torch.zeros(2, 4))
    with pytest.raises(UsageError, match="g is given for 'aux'; the model puts out logits"):
        by_hand(net, x, g={"aux": torch.zeros(2, 3)})
    with pytest.raises(UsageError, match="both labels and g"):
        by_hand(net, x, torch.tensor([1, 2]), g=torch.zeros(2, 3))
    with pytest.raises(ShapeError) as caught:
        by_hand(net, torch.rand(2, 1, 5, 5))
    assert caught.value.__notes__ == ["in step fc, by hand, given [(2, 25)]"]
