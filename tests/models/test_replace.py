"""Another head or another first convolution: what is replaced, and that all else stays."""

from typing import Any

import pytest
import torch
from torch import nn

from striate.errors import ShapeError, UnknownName, UsageError
from striate.models.registry import create_model, entry, list_models
from striate.models.replace import replace_head, replace_stem
from striate.models.shapes import without_numbers

QUICK = ("lenet5_1998", "nin_cifar10", "squeezenet1_1", "cifar_resnet20", "googlenet_aux", "deck_cats_dogs",
         "capsnet_mnist", "mobilenet_v2_0.35")  # fmt: skip
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
# What depends on the number of classes or channels beside head and first convolution.
MORE = {
    "googlenet_aux": ({"aux1.fc2", "aux2.fc2"}, set()),
    "capsnet_mnist": ({"decoder.fc1"}, {"decoder.fc3"}),  # it takes all capsules, and draws all channels
}  # fmt: skip


def layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in model.named_modules() if not list(layer.children())}


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", EACH)
def test_the_head_and_the_stem_are_replaced_and_nothing_else(name: str) -> None:
    """Without numbers: layers are compared as objects."""
    known = entry(name)
    heads, stems = MORE.get(name, (set(), set()))
    with without_numbers():
        model = create_model(name).eval()
        first = layers(model)
        assert replace_head(model, name, 7) is model
        second = layers(model)
        assert {key for key in second if second[key] is not first[key]} == {known.head} | heads
        replace_stem(model, name, 5)
        third = layers(model)
        assert {key for key in third if third[key] is not second[key]} == {known.stem} | stems
        assert list(third) == list(first)  # each in its place
        assert shapes(model) == shapes(create_model(name, num_classes=7, in_chans=5))
        _, h, w = known.input
        assert model(torch.empty(2, 5, h, w, device="meta")).shape == (2, 7)
    assert not model.get_submodule(known.head).training


def test_all_other_weights_stay_and_the_new_ones_are_the_files_first_weights() -> None:
    torch.manual_seed(0)
    model = create_model("nin_cifar10")
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    replace_head(model, "nin_cifar10", 4)
    assert [key for key, t in model.state_dict().items() if not torch.equal(t, before[key])] == [
        "cccp6.weight", "cccp6.bias"]  # fmt: skip
    assert torch.equal(model.get_parameter("cccp6.bias"), torch.ones(4))  # its maps begin open
    assert 0.005 < model.get_parameter("cccp6.weight").std() < 0.02


def test_the_new_head_has_the_type_of_the_old_one_and_is_trained() -> None:
    model = create_model("lenet5").double().requires_grad_(False)
    replace_head(model, "lenet5", 3)
    assert model.get_parameter("output.weight").dtype == torch.float64
    assert [key for key, p in model.named_parameters() if p.requires_grad] == ["output.weight", "output.bias"]


def test_the_same_number_changes_nothing() -> None:
    model = create_model("lenet5")
    head = model.get_submodule("output")
    assert replace_head(model, "lenet5", 10).get_submodule("output") is head


def test_options_of_the_model_are_options_here() -> None:
    with without_numbers():
        model = create_model("googlenet", aux=True, in_chans=1)
        replace_head(model, "googlenet", 5, aux=True)
        assert model.get_submodule("aux1.fc2").out_features == 5
        padded = create_model("mobilenet_v2", tensorflow=True)
        kind = type(padded.get_submodule("features.0.0"))
        replace_stem(padded, "mobilenet_v2", 1, tensorflow=True)
        assert type(padded.get_submodule("features.0.0")) is kind is not nn.Conv2d
        sized = create_model("lenet5", input_size=(40, 36))
        replace_head(sized, "lenet5", 2, input_size=(40, 36))
    assert sized.get_submodule("output").out_features == 2


@pytest.mark.parametrize(
    ("built", "asked", "said"),
    [
        ({"name": "resnet18"}, {"name": "resnet34"}, "it has no layer1.2.conv1.weight"),
        ({"name": "resnet34"}, {"name": "resnet18"}, "it has layer1.2.conv1.weight, too"),
        ({"name": "resnet18"}, {"name": "lenet5"}, "is not lenet5: it has no layer output"),
        ({"name": "googlenet", "aux": True}, {"name": "googlenet"}, r"it has aux1.*, too"),
        ({"name": "lenet5", "input_size": (40, 40)}, {"name": "lenet5"}, r"F6.weight is \(84, 1080\), not \(84, 120\)"),
    ],
)
def test_a_model_of_another_name_is_refused_with_the_difference(
    built: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    with without_numbers():
        model = create_model(**built)
    before = layers(model)
    with pytest.raises(ShapeError, match=said):
        replace_head(model, num_classes=5, **asked)
    assert layers(model) == before


def test_nonsense_is_refused() -> None:
    model = create_model("lenet5")
    with pytest.raises(UnknownName, match="did you mean 'lenet5'"):
        replace_head(model, "lenet6", 5)
    with pytest.raises(UsageError, match="num_classes is 0"):
        replace_head(model, "lenet5", 0)
    with pytest.raises(UsageError, match=r"in_chans is 2\.5"):
        replace_stem(model, "lenet5", 2.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="in_chans can't be an option here"):
        replace_head(model, "lenet5", 5, in_chans=3)
    with pytest.raises(UsageError, match="lenet5 has no option 'aux'"):
        replace_head(model, "lenet5", 5, aux=True)
