"""Receptive fields: theoretical, measured where the theory has no rule, effective; and back to the source image."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, ShapeError, UnknownName, UsageError
from striate.look.excite.effective import Effective, Fields, effective_fields
from striate.look.excite.fields import Seen, _measured, fields, gradients
from striate.look.excite.sources import in_source
from striate.look.excite.steps import head_of, stages
from striate.look.explain.localise import Box
from striate.models.field import Field
from striate.models.registry import create_model, entry, list_models

SIX = ("lenet5", "cifar_resnet20", "squeezenet1_1", "mobilenet_v2_0.35", "shufflenet_v2_x0_5", "alexnet")


def network(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    known = entry(name)
    side = known.input[1] if known.fixed_size else max(known.smallest, 64)
    return create_model(name).eval(), torch.randn(2, known.input[0], side, side)


def inside(one: Effective) -> bool:
    """Whether nothing outside the theoretical window has any effect."""
    box = one.seen.box(one.place)
    assert box is not None
    rest = one.map.clone()
    rest[box.top : box.top + box.height, box.left : box.left + box.width] = 0
    return float(rest.abs().max()) == 0


@pytest.mark.parametrize("name", SIX)
def test_the_effective_field_lies_inside_the_theoretical_one(name: str) -> None:
    model, x = network(name)
    for one in effective_fields(model, x):
        assert inside(one), one.layer
        assert one.seen.how == "in theory"
        assert 0 < one.area <= one.map.numel()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_so_it_does_in_the_whole_zoo_with_no_layer_given_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.look.excite.effective.DRAWS", 1)
    wrong = []
    for name in list_models():
        model, x = network(name)
        with torch.no_grad():
            if not bool(model(x[:1]).isfinite().all()):  # 1,202 layers that were not trained leave float32
                model, x = model.double(), x.double()
        if head_of(model, x[:1]) != entry(name).head:
            wrong.append(f"{name}: head {head_of(model, x[:1])}")
        for one in effective_fields(model, x[:1], batch=1):
            if one.seen.field is None or not inside(one):
                wrong.append(f"{name}: {one.layer}, {one.seen}")
    assert wrong == []


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.integers(1, 2))
@settings(deadline=None, max_examples=25)
def test_a_measured_field_is_the_one_in_theory(k: int, stride: int, padding: int, k2: int, dilation: int) -> None:
    torch.manual_seed(k)
    first, second = nn.Conv2d(1, 3, k, stride, min(padding, k // 2)), nn.Conv2d(3, 2, k2, dilation=dilation)
    net, x = nn.Sequential(first, second).double(), torch.randn(1, 1, 40, 40, dtype=torch.float64)
    told = fields(net, x, ["1"])["1"]
    measured = _measured(net, x, "1", told.grid)
    assert told.field is not None
    assert measured is not None
    assert measured == told.field


def test_what_torch_does_that_no_rule_knows_is_measured() -> None:
    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.up = nn.Conv2d(1, 2, 3, padding=1), nn.ConvTranspose2d(2, 2, 2, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(self.a(x))  # type: ignore[no-any-return]

    seen = fields(Up(), torch.randn(1, 1, 16, 16), ["a", "up"])
    assert seen["a"].how == "in theory"
    assert seen["up"].how == "measured"
    box = seen["up"].box((16, 16))
    assert box is not None
    assert box.height >= 3
    assert (box.top, box.left) == (7, 7)


def test_what_does_not_depend_on_the_image_is_said_to_be_unknown() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.step(torch.ones(len(x), 2, 3, 3)) + 0 * x[:, :, :3, :3]  # type: ignore[no-any-return]

    seen = fields(Constant(), torch.randn(1, 1, 8, 8), ["step"])["step"]
    assert (seen.how, seen.field, seen.box((1, 1)), seen.whole) == ("unknown", None, None, True)
    (one,) = effective_fields(Constant(), torch.randn(1, 1, 8, 8), ["step"])
    assert (one.area, one.side, one.sigma) == (0, 0.0, None)


def test_the_sum_over_channels_is_that_of_each_by_itself() -> None:
    """One backward pass with random signs, many times, against one pass a channel."""
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Conv2d(5, 6, 3)).double(),
        torch.randn(3, 2, 11, 11).double(),
    )
    squares = sum(effective_fields(model, x, ["2"], channel=c)[0].map ** 2 for c in range(6))
    maps = [effective_fields(model, x, ["2"], seed=seed)[0].map ** 2 for seed in range(60)]
    together = torch.stack(maps).mean(0)
    assert (together - squares).abs().max() < 0.15 * squares.max()


def test_the_gradient_of_one_linear_layer_is_its_kernel() -> None:
    model, x = nn.Sequential(nn.Conv2d(1, 2, 5, bias=False)).double(), torch.randn(4, 1, 9, 9).double()
    (one,) = effective_fields(model, x, ["0"], channel=1)
    assert one.place == (2, 2)
    torch.testing.assert_close(one.map[2:7, 2:7], model[0].weight[1, 0].detach().abs())
    hill = torch.exp(-((torch.arange(99.0) - 49) ** 2) / (2 * 9.0**2))
    gauss = Effective("", None, hill[:, None] * hill, (0, 0), one.seen, 1)
    assert gauss.sigma == pytest.approx((9.0, 9.0), rel=1e-3)
    assert gauss.side == pytest.approx(
        (np.pi * 2 * np.log(1 / (1 - 0.9545))) ** 0.5 * 9, rel=0.01
    )  # a disc of 2.49 sigma


def test_the_same_seed_gives_the_same_field_and_the_model_is_as_it_was() -> None:
    model, x = network("cifar_resnet20")
    model.train()
    model.conv1.weight.requires_grad_(False)
    model.linear.weight.grad = torch.ones_like(model.linear.weight)
    statistics = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        first = effective_fields(model, x, ["layer1"], seed=3)[0]
    again = effective_fields(model, x, ["layer1"], seed=3)[0]
    assert torch.equal(first.map, again.map)
    assert not torch.equal(first.map, effective_fields(model, x, ["layer1"], seed=4)[0].map)
    assert all(m.training for m in model.modules())
    assert (model.conv1.weight.requires_grad, model.conv1.weight.grad) == (False, None)
    assert bool((model.linear.weight.grad == 1).all())
    assert all(torch.equal(v, statistics[k]) for k, v in model.state_dict().items())
    with pytest.raises(UsageError, match="no channel 16"):
        effective_fields(model, x, ["layer1"], channel=16)
    with pytest.raises(UnknownName, match="no step 'layer9'"):
        effective_fields(model, x, ["layer9"])
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0


def test_in_place_steps_do_not_disturb_the_gradient() -> None:
    torch.manual_seed(0)
    a, b = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)
    x = torch.randn(2, 1, 9, 9)

    def total(_: str, y: Tensor) -> list[Tensor]:
        return [y[:, :, 2, 2].sum()]

    within = gradients(nn.Sequential(a, nn.ReLU(inplace=True), b, nn.ReLU(inplace=True)), x, ["0", "2"], total)
    without = gradients(nn.Sequential(a, nn.ReLU(), b), x, ["0", "2"], total)
    assert sorted(within) == ["0", "2"]
    assert all(torch.equal(within[name][0], without[name][0]) for name in within)


def test_stages_of_modules_from_elsewhere() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, 2, 1)
            self.one = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))
            self.two = nn.Sequential(nn.Conv2d(4, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
            self.fc = nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.two(self.one(self.stem(x))).mean((2, 3)))  # type: ignore[no-any-return]

    x = torch.randn(1, 3, 32, 32)
    assert stages(Net(), x) == ("one", "two")
    assert head_of(Net(), x) == "fc"
    with pytest.raises(ShapeError, match="no step that puts out maps"):
        stages(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), x)
    with pytest.raises(ShapeError, match="no last features"):
        head_of(nn.Sequential(nn.Flatten()), x)


@given(
    st.sampled_from(["crop", "letterbox", "stretch", "pad"]), st.integers(20, 200), st.integers(20, 200),
    st.integers(16, 48), st.integers(16, 48), st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_pixel_of_the_network_comes_from_where_it_is_said_to(
    resize: Any, height: int, width: int, h: int, w: int, short: bool
) -> None:
    """An image whose values are its own coordinates is prepared; each value then says where it came from."""
    prepare = Preprocess(
        size=(h, w), resize=resize, short_side=max(h, w) + 5 if short and resize == "crop" else None, fill=255
    )
    rows = np.repeat(np.arange(height, dtype=np.uint8)[:, None], width, 1)
    columns = np.repeat(np.arange(width, dtype=np.uint8)[None], height, 0)
    seen = prepare.pixels(np.stack([rows, columns, columns], 2)).astype(float)
    for i, j in ((h // 2, w // 2), (h // 3, w // 3)):
        top, left, bottom, right = in_source(prepare, (height, width), (i, j, 1, 1))
        if (seen[:, i, j] == 255).any() or top in (0, height) or left in (0, width):
            continue  # filled in, or at the border
        assert seen[0, i, j] == pytest.approx((top + bottom) / 2 - 0.5, abs=1.01)
        assert seen[1, i, j] == pytest.approx((left + right) / 2 - 0.5, abs=1.01)


def test_a_gradient_that_is_not_finite_is_no_dead_unit() -> None:
    model, x = network("cifar_resnet20")
    with torch.no_grad():
        model.conv1.weight[0, 0, 0, 0] = torch.inf  # type: ignore[index, union-attr]
    with pytest.raises(ArtefactError, match="a gradient at step 'layer1' is not finite"):
        effective_fields(model, x, ["layer1"])


def test_boxes_are_clipped_at_the_border() -> None:
    seen = Seen(Field((-3, -3), (3, 3), (4, 4)), "in theory", (8, 8), (32, 32))
    assert seen.window((0, 7)) == Box(-3, 25, 7, 7)
    assert seen.box((0, 7)) == Box(0, 25, 4, 7)
    assert seen.to_json() == {"how": "in theory", "size": (7, 7), "stride": (4, 4)}
    assert Seen(Field((-9, 0), (99, 31), (0, 0)), "in theory", None, (32, 32)).whole


def test_the_picture_is_one() -> None:
    model, x = network("lenet5")
    found = Fields(effective_fields(model, x), np.zeros((32, 32, 1), np.uint8))
    with Image.open(io.BytesIO(found._repr_png_()), formats=["PNG"]) as picture:
        assert min(picture.size) > 300
