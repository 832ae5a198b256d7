"""The maps of every resolution: where they are taken, what they are called, and that nothing else runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from striate.blocks.wiring import Chain, Graph, Residual
from striate.errors import ShapeError, UsageError
from striate.models.cost import cost
from striate.models.features import Features, features
from striate.models.registry import create_model, entry, list_models
from striate.models.shapes import without_numbers

QUICK = (
    "lenet5", "alexnet_torchvision", "nin_cifar10", "googlenet_aux", "cifar_resnet20", "resnet18",
    "squeezenet1_1", "densenet121", "resnet50v2", "inception_v2_table1", "mobilenet_v2_0.35", "shufflenet_v2_x0_5",
    "capsnet_mnist",
)  # fmt: skip
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]

# Reduction -> channels, as timm 1.0.31 has them: create_model(..., features_only=True).feature_info, 2026-11-21.
RESNET = {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}
TIMM: dict[str, dict[int, int]] = {
    "resnet18": {2: 64, 4: 64, 8: 128, 16: 256, 32: 512},
    "resnet50": RESNET, "resnet50v2": RESNET, "resnext50_32x4d": RESNET, "wide_resnet50_2": RESNET,
    "se_resnet50": RESNET,
    "senet154": RESNET | {2: 128},
    "densenet121": {2: 64, 4: 256, 8: 512, 16: 1024, 32: 1024},
    "vgg11": {1: 64, 2: 128, 4: 256, 8: 512, 16: 512, 32: 512},
    "xception": {2: 64, 4: 128, 8: 256, 16: 728, 32: 2048},
    "inception_v3": {2: 64, 4: 192, 8: 288, 16: 768, 32: 2048},
    "inception_v4": {2: 64, 4: 160, 8: 384, 16: 1024, 32: 1536},
    "inception_resnet_v2": {2: 64, 4: 192, 8: 320, 16: 1088, 32: 1536},
    "mobilenet_v1_1_224": {2: 64, 4: 128, 8: 256, 16: 512, 32: 1024},
    "mobilenet_v2": {2: 16, 4: 24, 8: 32, 16: 96, 32: 320},
    "efficientnet_b0": {2: 16, 4: 24, 8: 40, 16: 112, 32: 320},
    "mnasnet1_0": {2: 16, 4: 24, 8: 40, 16: 96, 32: 320},
    "nasnet_a_large": {2: 96, 4: 168, 8: 1008, 16: 2016, 32: 4032},
}  # fmt: skip
# It leaves out the last 1x1 of the phones' networks, and takes the first of the two steps at 1/4 of Inception v4.
OURS = {"mobilenet_v2": {32: 1280}, "efficientnet_b0": {32: 1280}, "mnasnet1_0": {32: 1280}, "inception_v4": {4: 192}}


def small(name: str) -> tuple[int, int, int]:
    known = entry(name)
    return known.input if known.fixed_size else (known.input[0], max(40, known.smallest), max(36, known.smallest))


def maps(model: nn.Module, x: Tensor) -> list[Tensor]:
    found: Any = model(x)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", EACH)
def test_the_maps_are_those_of_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    whole = create_model(name).eval()
    some = features(whole, entry(name).head, entry(name).input[0])
    seen: dict[str, Tensor] = {}
    for key in some.names:
        whole.get_submodule(key).register_forward_hook(lambda _, __, y, key=key: seen.__setitem__(key, y))
    x = torch.randn(2, *small(name))
    with torch.no_grad():
        whole(x)
        expected = dict(seen)
        found = maps(some, x)
    assert len(found) == len(some.names) > 1
    assert all(torch.equal(y, expected[key]) for y, key in zip(found, some.names, strict=True))
    assert tuple(y.shape[1] for y in found) == some.channels
    kept, all_of_it = some.state_dict(), whole.state_dict()
    assert all(torch.equal(tensor, all_of_it[key]) for key, tensor in kept.items())
    assert not any(key.startswith(entry(name).head + ".") for key in kept)


@pytest.mark.parametrize("name", EACH)
def test_the_reductions_are_the_strides_that_the_receptive_fields_have(name: str) -> None:
    with without_numbers():
        whole = create_model(name)
    some = features(whole, entry(name).head, entry(name).input[0])
    rows = cost(whole, entry(name).input).rows
    for key, reduction in zip(some.names, some.reductions, strict=True):
        field = [row.field for row in rows if f"{row.name}.".startswith(f"{key}.")][-1]
        if field is not None and not field.merged:  # a gate sees all positions
            assert field.jump == (reduction, reduction), key
    assert list(some.reductions) == sorted(set(some.reductions))


@pytest.mark.parametrize(
    "name", [name if name in (*QUICK, *OURS) else pytest.param(name, marks=pytest.mark.slow) for name in TIMM]
)
def test_channels_are_those_that_timm_gives(name: str) -> None:
    with without_numbers():
        some = create_model(name, features_only=True)
    assert isinstance(some, Features)
    assert dict(zip(some.reductions, some.channels, strict=True)) == TIMM[name] | OURS.get(name, {})


def test_what_stands_behind_the_last_map_is_not_there() -> None:
    some = create_model("resnet18", features_only=True, stages=(1, -3))
    assert isinstance(some, Features)
    assert (some.names, some.channels, some.reductions) == (("layer1", "layer2"), (64, 128), (4, 8))
    assert [name for name, _ in some.named_children()] == ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2"]
    assert [tuple(y.shape) for y in maps(some, torch.zeros(2, 3, 65, 33))] == [(2, 64, 17, 9), (2, 128, 9, 5)]
    assert "layer2: 128 channels at 1/8" in repr(some)


def test_a_chain_that_holds_stages_is_kept_up_to_the_last_step_that_is_needed() -> None:
    with without_numbers():
        some = create_model("vgg11", features_only=True, stages=[2])
    assert list(some.state_dict())[-1] == "features.8.bias"
    assert [name for name, _ in some.get_submodule("features").named_children()] == [str(i) for i in range(10)]


def test_stages_come_in_the_order_of_the_network() -> None:
    some = create_model("cifar_resnet20", features_only=True, stages=(2, 0))
    assert isinstance(some, Features)
    assert some.names == ("layer1", "layer3")


@pytest.mark.parametrize("stages", [(), (5,), (-6,), (0, 0), (1, -4), (True,), ("layer1",), (1.0,)])
def test_stages_that_are_none_are_refused_with_those_that_are(stages: Any) -> None:
    with without_numbers(), pytest.raises(UsageError, match=r"stages? .*0: relu \(1/2\), 1: layer1 \(1/4\)"):
        create_model("resnet18", features_only=True, stages=stages)


def test_stages_without_features_are_refused() -> None:
    with pytest.raises(UsageError, match=r"stages is .*, which only features_only=True can give"):
        create_model("resnet18", stages=(1,))


def test_an_image_that_is_too_small_is_refused_where_it_is() -> None:
    some = create_model("inception_v3", features_only=True)
    assert len(maps(some.eval(), torch.zeros(1, 3, 75, 80))) == 5
    with pytest.raises(ShapeError, match=r"^Mixed_7a\..* too small; the network was given \(1, 3, 60, 60\)"):
        some(torch.zeros(1, 3, 60, 60))


def test_a_network_for_one_size_gives_maps_of_any() -> None:
    some = create_model("deck_vgg16_dense", features_only=True, stages=(0, 5))
    assert [tuple(y.shape[1:]) for y in maps(some, torch.zeros(1, 3, 64, 33))] == [(64, 64, 33), (512, 2, 1)]


def test_the_weights_file_of_the_whole_network_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = create_model("cifar_resnet20").eval()
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    some = create_model("cifar_resnet20", weights=tmp_path / "weights.safetensors", features_only=True).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(whole.get_submodule("linear")(maps(some, x)[-1].mean((2, 3))), whole(x))


def test_heads_aside_are_left_out() -> None:
    with without_numbers():
        some = create_model("googlenet", aux=True, features_only=True)
    assert isinstance(maps(some.train(), torch.empty(2, 3, 64, 64, device="meta")), list)
    assert not any("aux" in key for key in some.state_dict())


def test_every_map_sends_a_gradient_back() -> None:
    some = create_model("cifar_resnet20", features_only=True)
    x = torch.randn(2, 3, 16, 16)
    for i in range(3):
        some.zero_grad()
        maps(some, x)[i].square().sum().backward()
        reached = {key.partition(".")[0] for key, p in some.named_parameters() if p.grad is not None}
        assert reached == {"conv1", "bn1", "layer1", "layer2", "layer3"} - {"layer2", "layer3"} | {
            f"layer{n}" for n in range(1, i + 2)
        }


@pytest.mark.parametrize(
    "name", ["cifar_resnet20", *(pytest.param(n, marks=pytest.mark.slow) for n in ("nasnet_a_mobile", "inception_v4"))]
)
def test_it_is_one_graph_for_the_compiler_and_can_be_exported(name: str) -> None:
    torch._dynamo.reset()
    some, x = create_model(name, features_only=True).eval(), torch.randn(2, *small(name))
    with torch.no_grad():
        expected = maps(some, x)
        for other in (torch.compile(some, fullgraph=True, backend="eager"), torch.export.export(some, (x,)).module()):
            assert all(torch.equal(a, b) for a, b in zip(other(x), expected, strict=True))


def test_a_step_that_is_assigned_anew_takes_effect() -> None:
    some = create_model("cifar_resnet20", features_only=True).eval()
    some.layer3 = nn.Identity()
    low, middle, high = maps(some, torch.randn(1, 3, 16, 16))
    assert high is middle
    assert low is not middle


def test_a_chain_is_one_step_unless_a_block_stands_in_it_before_it_halves() -> None:
    def halve() -> nn.Conv2d:
        return nn.Conv2d(4, 4, 3, 2, 1)

    def block() -> Residual:
        return Residual(nn.Identity(), nn.ReLU(), conv=nn.Conv2d(4, 4, 1))

    def names(**steps: nn.Module) -> tuple[str, ...]:
        net = Chain(stem=nn.Conv2d(3, 4, 1), **steps, flatten=nn.Flatten(), fc=nn.Linear(9, 9))
        return features(net, "fc", 3).names

    assert names(down=Chain(expand=nn.Conv2d(4, 4, 1), halve=halve())) == ("stem", "down")
    assert names(stage=Chain(halve(), block())) == ("stem", "stage")
    assert names(stage=Chain(block(), Chain(block()), halve())) == ("stage.1", "stage.2")
    assert names(all=Chain(halve(), nn.ReLU(), halve())) == ("stem", "all.1", "all.2")


def test_a_model_that_has_no_maps_or_no_wiring_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no step of this Chain gives a map"):
        features(Chain(flatten=nn.Flatten(), fc=nn.Linear(3, 2)), "fc", 3)
    with pytest.raises(UsageError, match="a Chain or a Graph; not a Sequential"):
        features(nn.Sequential(nn.Conv2d(3, 2, 1)), "0", 3)
    graph = Graph("x", a=(nn.Conv2d(3, 2, 1), "x"), head=(nn.Conv2d(2, 2, 1), "a"))
    assert features(graph, "head", 3).names == ("a",)
