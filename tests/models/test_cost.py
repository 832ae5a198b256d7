"""Costs of layers against hand counts, torch's own counter, and models that were never meant for it."""

import copy
import json
import subprocess
import sys

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.blocks.wiring import Append, Branches, Chain, Gate, Residual
from striate.errors import ShapeError, UnknownName, UsageError
from striate.models.cost import cost
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

FAMILIES = ("lenet5", "deck_mnist_convnet", "deck_cats_dogs", "cifar_resnet20", "resnet18", "resnet50")


def small() -> Chain:
    return Chain(
        conv=nn.Conv2d(3, 8, 3, padding=1, bias=False),
        bn=nn.BatchNorm2d(8),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc=nn.Linear(8 * 3 * 4, 5),
    )


def test_a_small_network_counted_by_hand() -> None:
    found = cost(small(), (3, 6, 8))
    rows = {row.name: row for row in found.rows}
    assert [(r.name, r.kind, r.output) for r in found.rows] == [
        ("conv", "Conv2d", (8, 6, 8)),
        ("bn", "BatchNorm2d", (8, 6, 8)),
        ("relu", "ReLU", (8, 6, 8)),
        ("pool", "MaxPool2d", (8, 3, 4)),
        ("flatten", "Flatten", (96,)),
        ("fc", "Linear", (5,)),
    ]
    assert [r.trainable for r in found.rows] == [8 * 3 * 9, 16, 0, 0, 0, 96 * 5 + 5]
    assert rows["bn"].buffers == found.buffers == 16
    assert [r.macs for r in found.rows] == [6 * 8 * 8 * 3 * 9, 0, 0, 0, 0, 96 * 5]
    assert [r.elements for r in found.rows] == [384, 384, 384, 96, 0, 5]  # flatten makes nothing new
    assert found.bytes == 4 * found.elements == 4 * (3 * 384 + 96 + 5)
    assert found.weight_bytes == 4 * (found.parameters + 16) + 8  # the norm's step counter is stored as well
    assert (found.trainable, found.frozen, found.keras_parameters) == (717, 0, 733)


def counted_by_torch(model: nn.Module, shape: tuple[int, int, int]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", FAMILIES)
def test_macs_are_half_of_what_torchs_flop_counter_says(name: str) -> None:
    shape = (entry(name).input[0], 64, 80) if not entry(name).fixed_size else entry(name).input
    model = create_model(name)
    assert cost(model, shape).macs == counted_by_torch(model, shape)


def test_grouped_dilated_transposed_and_token_wise_layers_are_counted_as_torch_counts_them() -> None:
    class Tokens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(2).transpose(1, 2)

    model = nn.Sequential(
        nn.Conv2d(4, 8, (3, 5), stride=(2, 1), dilation=2, groups=4),
        nn.ConvTranspose2d(8, 6, 4, 2),
        Tokens(),
        nn.Linear(6, 10),
        nn.Linear(10, 3, bias=False),
    )
    assert cost(model, (4, 17, 19)).macs == counted_by_torch(model, (4, 17, 19))


def test_a_model_is_left_exactly_as_it_was() -> None:
    model = small().train()
    model.pool.eval()
    model.fc.weight.requires_grad_(False)
    model(torch.randn(2, 3, 6, 8)).sum().backward()
    seen: list[str] = []
    model.relu.register_forward_hook(lambda *_: seen.append("hook"))
    before = copy.deepcopy({k: v for k, v in model.state_dict().items()})
    gradients = {k: p.grad for k, p in model.named_parameters()}
    modes = {k: m.training for k, m in model.named_modules()}
    hooks = {k: len(m._forward_hooks) + len(m._forward_pre_hooks) for k, m in model.named_modules()}
    torch.manual_seed(5)
    state = torch.get_rng_state()

    found = cost(model, (3, 6, 8))
    found.memory(4)

    assert seen == []
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is gradients[k] for k, p in model.named_parameters())
    assert {k: m.training for k, m in model.named_modules()} == modes
    assert {k: len(m._forward_hooks) + len(m._forward_pre_hooks) for k, m in model.named_modules()} == hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.trainable, found.frozen) == (717 - 480, 480)
    assert next(p for p in found._skeleton.parameters()).is_meta


def test_weights_that_are_used_twice_are_counted_once_and_each_run_has_its_row() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    found = cost(Twice(), (2, 4, 4))
    assert [(r.name, r.trainable, r.macs) for r in found.rows] == [("conv", 38, 576), ("conv", 0, 576)]
    assert found.parameters == 38
    assert found.rows[1].field.size == (5, 5)


def test_layers_that_do_not_run_are_named_and_their_parameters_counted() -> None:
    model = small()
    model.add_module("auxiliary", nn.Linear(7, 2))
    found = cost(model, (3, 6, 8))
    assert found.unused == ("auxiliary",)
    assert found.parameters == 717 + 16


def test_arithmetic_outside_of_layers_is_counted_where_it_happens() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.zeros(5, 3, 3, 3))
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(torch.conv2d(x, self.kernel))

    found = cost(Functional(), (3, 8, 8))
    assert [(r.name, r.kind, r.trainable, r.macs) for r in found.rows] == [
        ("act", "ReLU", 0, 0),
        ("", "Functional", 135, 6 * 6 * 5 * 27),
    ]
    assert found.macs == counted_by_torch(Functional(), (3, 8, 8))


def test_what_cannot_be_known_is_said() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x.transpose(-1, -2)

    class Roll(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.roll(1, -1)

    found = cost(nn.Sequential(nn.Conv2d(1, 2, 3), Roll(), nn.ReLU(), Attention()), (1, 6, 7))
    assert [row.field is None for row in found.rows] == [False, True, True, True]
    assert found.notes == (
        "receptive fields could not be followed through aten.roll in '1'",
        "matrix products between activations (aten.bmm) are not in the MACs",
    )


def test_a_model_that_looks_at_numbers_is_run_with_numbers() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y if y.sum().item() < 1e9 else y * 2

    assert cost(Looks(), (1, 5, 5)).macs == 9 * 2 * 9


@pytest.mark.parametrize("shape", [(3,), (1, 3, 8, 8), (3, 0, 8), (3, 8.0, 8)])
def test_a_shape_that_is_none_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected \(channels, height, width\)"):
        cost(small(), shape)  # type: ignore[arg-type]


def test_an_image_that_does_not_fit_is_refused_with_the_step() -> None:
    with pytest.raises(ShapeError, match=r"^fc takes 96 features and got 128"):
        cost(small(), (3, 8, 8))


def test_a_model_that_can_not_be_run_on_one_image_is_refused() -> None:
    class TwoImages(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(UsageError, match="TwoImages can't be copied and run"):
        cost(TwoImages(), (1, 4, 4))
    with pytest.raises(UsageError, match="Sequential can't be copied and run"):
        cost(nn.Sequential(nn.Conv2d(2, 2, 3)), (1, 4, 4))


def test_json_holds_all_rows_and_the_totals() -> None:
    found = json.loads(json.dumps(cost(small(), (3, 6, 8)).to_json()))
    assert found["totals"]["macs"] == sum(row["macs"] for row in found["rows"])
    assert found["rows"][3]["field"] == {"size": [4, 4], "stride": [2, 2]}
    assert found["rows"][5]["field"] == {"size": [8, 10], "stride": None}  # padding included


def test_a_table_does_not_wait_for_torchs_compiler() -> None:
    code = """
import sys
from striate.models.cost import cost
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
for name in ("lenet5", "deck_cats_dogs", "cifar_resnet56", "resnet152"):
    with without_numbers():
        model = create_model(name)
    cost(model, entry(name).input)
sys.exit("torch._dynamo" in sys.modules or "sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def extents(model: nn.Module, h: int, w: int) -> list[list[tuple[int, int] | None]]:
    """For each row, then each column of the output: the first and last of the input that it depends on.

    Found with a poisoned row: what is not a number in the output depends on it.
    """
    found = []
    for axis, side in ((1, h), (2, w)):
        x = torch.rand(side, 1, h, w)
        for i in range(side):
            x[i].select(axis, i).fill_(float("nan"))
        with torch.no_grad():
            hit = model(x).isnan().any(1).any(3 - axis)  # (side of the input, side of the output)
        reached = [hit[:, i].nonzero().flatten().tolist() for i in range(hit.shape[1])]
        found.append([(min(r), max(r)) if r else None for r in reached])
    return found


def check_fields(model: nn.Module, h: int, w: int, *, exact: bool = True) -> None:
    """No position may see more than its field; inside the image it must see all of it."""
    found = cost(model, (1, h, w))
    field = found.rows[-1].field
    assert field is not None
    both = extents(model.eval(), h, w)
    for axis, reached in enumerate(both):
        side = (h, w)[axis]
        across = any(both[1 - axis])  # else all that is left sees padding only, whatever its place along this axis
        for i, seen in enumerate(reached):
            low = i * field.jump[axis] + field.low[axis]
            high = i * field.jump[axis] + field.high[axis]
            if seen is None:
                assert not (exact and across) or low < 0 or high >= side  # a position that sees padding only
                continue
            assert low <= seen[0] <= seen[1] <= high
            if exact and low >= 0:
                assert seen[0] == low
            if exact and high < side:
                assert seen[1] == high


@st.composite
def layer(draw: st.DrawFn) -> nn.Module:
    k, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    padding = tuple(draw(st.integers(0, n // 2)) for n in k)
    match draw(st.sampled_from(["conv", "conv", "max", "average", "activation", "norm", "pad", "crop"])):
        case "conv":
            return nn.Conv2d(1, 1, k, draw(st.sampled_from([(1, 1), stride])), padding, draw(st.integers(1, 2)))
        case "max":
            return nn.MaxPool2d(k, stride, padding, ceil_mode=draw(st.booleans()))
        case "average":
            return nn.AvgPool2d(k, stride, padding)
        case "activation":
            return draw(st.sampled_from([nn.ReLU(), nn.Sigmoid(), nn.SiLU(), nn.Hardtanh(), nn.Dropout()]))
        case "norm":
            return nn.BatchNorm2d(1)
        case "pad":
            return nn.ZeroPad2d(draw(st.tuples(*[st.integers(0, 2)] * 4)))
        case _:
            return Crop(draw(st.integers(0, 2)), draw(st.integers(1, 2)))


class Crop(nn.Module):
    """Leaves out rows at the top and every second column."""

    def __init__(self, start: int, step: int) -> None:
        super().__init__()
        self.start, self.step = start, step

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.start :, :: self.step]


@settings(max_examples=80, deadline=None)
@given(layers=st.lists(layer(), min_size=1, max_size=5), h=st.integers(9, 24), w=st.integers(9, 24))
def test_the_receptive_field_of_a_stack_is_what_a_poisoned_pixel_reaches(
    layers: list[nn.Module], h: int, w: int
) -> None:
    model = Chain(*layers)
    try:
        model.eval()(torch.zeros(1, 1, h, w))
    except (ShapeError, RuntimeError):
        return  # the stack is too deep for the image
    cropped = any(
        isinstance(step, Crop) and step.start for step in layers
    )  # padded later, it does not see what it lost
    check_fields(model, h, w, exact=not cropped)


def unit(k: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(1, 1, k, padding=dilation * (k - 1) // 2, dilation=dilation)


class Cut(nn.Module):
    """Every second pixel: what a shortcut without weights does."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]


WIRED = {
    "branches": lambda: Chain(Branches(unit(1), unit(5), Chain(unit(3), unit(3, 2))), nn.Conv2d(3, 1, 3)),
    "residual": lambda: Chain(Residual(unit(1), nn.ReLU(), unit(3), nn.ReLU(), unit(3)), nn.MaxPool2d(2)),
    "strided shortcut": lambda: Residual(Cut(), nn.ReLU(), nn.Conv2d(1, 1, 3, 2, 1), unit(3)),
    "append": lambda: Chain(Append(unit(3)), Append(nn.Conv2d(2, 1, 3, padding=1))),
    "gate": lambda: Chain(unit(3), Gate(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1), nn.Sigmoid())),
    "global pool": lambda: Chain(nn.Conv2d(1, 1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1)),
    "even adaptive pool": lambda: Chain(nn.Conv2d(1, 1, 5), nn.AdaptiveMaxPool2d(4), unit(3)),
    "local response": lambda: Chain(nn.Conv2d(1, 3, 3), nn.LocalResponseNorm(2), nn.ChannelShuffle(3)),
}


@pytest.mark.parametrize("kind", WIRED)
def test_the_receptive_field_of_a_wiring_is_what_a_poisoned_pixel_reaches(kind: str) -> None:
    check_fields(WIRED[kind](), 16, 20)


@pytest.mark.parametrize(("name", "look", "size"), [("resnet18", "layer4", 435), ("resnet50", "layer4", 427)])
def test_the_receptive_fields_of_resnets_are_the_known_ones(name: str, look: str, size: int) -> None:
    rows = [row for row in cost(create_model(name), (3, 64, 64)).rows if row.name.startswith(look)]
    assert rows[-1].field.size == (size, size)
    assert rows[-1].field.jump == (32, 32)


def test_the_last_rows_and_columns_that_pooling_drops_are_not_in_the_field_of_the_head() -> None:
    assert cost(create_model("deck_mnist_convnet"), (1, 28, 28)).rows[-1].field.size == (26, 26)


class TestMemory:
    """Bytes of a step against sums by hand and against torch's own record of allocations."""

    def test_a_training_step_counted_by_hand(self) -> None:
        model = Chain(conv=nn.Conv2d(1, 4, 3, bias=False), relu=nn.ReLU(), flatten=nn.Flatten(), fc=nn.Linear(64, 2))
        memory = cost(model, (1, 6, 6)).memory(10, optimizer="adam")
        weights = 4 * (36 + 130)
        assert (memory.weights, memory.gradients, memory.optimizer) == (weights, weights, 2 * weights)
        kept = 4 * 10 * (36 + 64 + 64)  # images, convolution's and ReLU's output
        assert memory.activations >= kept
        assert memory.activations <= kept + 4 * 10 * (64 + 64 + 2) + 100  # and the gradients of two layers on the way
        assert memory.total >= memory.weights + memory.optimizer + memory.activations

    @pytest.mark.parametrize("training", [True, False])
    def test_activations_grow_with_the_batch_and_weights_do_not(self, training: bool) -> None:
        found = cost(create_model("cifar_resnet20"), (3, 32, 32))
        one, many = found.memory(2, training), found.memory(64, training)
        assert one.weights == many.weights == found.weight_bytes
        assert many.activations == pytest.approx(32 * one.activations, rel=0.02)

    def test_a_prediction_keeps_no_more_than_a_block_needs(self) -> None:
        found = cost(create_model("resnet18"), (3, 64, 64))
        memory = found.memory(8, training=False)
        assert (memory.gradients, memory.optimizer) == (0, 0)
        largest = max(row.bytes for row in found.rows)
        assert 8 * 2 * largest <= memory.activations <= 8 * 4 * largest

    def test_frozen_weights_need_no_gradient_and_keep_no_activations(self) -> None:
        model = create_model("cifar_resnet20")
        free = cost(model, (3, 32, 32)).memory(8)
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith("linear"))
        frozen = cost(model, (3, 32, 32)).memory(8)
        assert frozen.gradients == frozen.optimizer == 4 * 650
        assert frozen.activations < free.activations / 4

    @pytest.mark.parametrize("name", ["cifar_resnet20", "deck_mnist_convnet", "resnet18"])
    def test_the_peak_is_what_torch_allocates(self, name: str) -> None:
        shape = (entry(name).input[0], 32, 32) if not entry(name).fixed_size else entry(name).input
        model, x = create_model(name).train(), torch.zeros(32, *shape)
        memory = cost(model, shape).memory(32)
        fixed = sum(tensor.nbytes for tensor in (x, *model.state_dict().values()))
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            model(x).sum().backward()
        here = most = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                here += event.nbytes()
                most = max(most, here)
        assert memory.total - memory.optimizer == pytest.approx(fixed + most, rel=0.05)

    def test_an_unknown_optimiser_and_an_empty_batch_are_refused(self) -> None:
        found = cost(small(), (3, 6, 8))
        with pytest.raises(UnknownName, match="did you mean 'adam' or 'adamw'"):
            found.memory(1, optimizer="adamx")
        with pytest.raises(UsageError, match="at least one image"):
            found.memory(0)


def test_every_registered_model_has_a_known_receptive_field_everywhere() -> None:
    for name in list_models():
        with without_numbers():
            model = create_model(name)
        assert all(row.field is not None for row in cost(model, entry(name).input).rows), name
