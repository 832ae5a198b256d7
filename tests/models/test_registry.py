"""The list of models: names, defaults, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.errors import ArtefactError, ShapeError, UnknownName, UsageError
from striate.models import registry
from striate.models.registry import create_model, entry, list_models, register


def test_importing_the_list_does_not_import_torch() -> None:
    code = "import sys, striate.models.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_models_are_listed_by_year_and_in_the_order_of_their_paper() -> None:
    names = list_models()
    years = [entry(name).year for name in names]
    assert years == sorted(years)
    first = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    assert [n for n in names if n in first] == first


def test_a_pattern_finds_a_model_by_its_alias_once() -> None:
    assert list_models("mnist_*") == ["deck_mnist_convnet"]
    assert list_models("*resnet20") == ["cifar_resnet20"]
    assert list_models("no such *") == []


def test_an_alias_is_the_same_entry() -> None:
    assert entry("resnet110") is entry("cifar_resnet110")


@pytest.mark.parametrize("call", [entry, create_model])
def test_an_unknown_name_is_answered_with_the_nearest(call: object) -> None:
    with pytest.raises(UnknownName, match="did you mean 'resnet50'"):
        call("resnet_50")  # type: ignore[operator]
    with pytest.raises(UnknownName, match="striate models"):
        call("qqqqqqqq")  # type: ignore[operator]


def test_two_models_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = entry("lenet5")
    monkeypatch.setattr(registry, "_names", dict(registry._names))
    with pytest.raises(ValueError, match="two models are called 'lenet5'"):
        register(first)


def test_what_is_not_given_is_the_papers() -> None:
    model = create_model("deck_cats_dogs")
    assert model.conv1.in_channels == 3
    assert model.dense2.out_features == 1


@pytest.mark.parametrize("name", ["lenet5", "cifar_resnet20", "resnet18", "deck_cats_dogs"])
def test_outputs_channels_and_size_can_be_chosen(name: str) -> None:
    known = entry(name)
    model = create_model(name, num_classes=7, in_chans=2, input_size=(known.smallest, known.smallest + 9)).eval()
    assert model(torch.zeros(2, 2, known.smallest, known.smallest + 9)).shape == (2, 7)
    assert model.get_submodule(known.stem).in_channels == 2
    assert model.get_submodule(known.head).out_features == 7


@pytest.mark.parametrize("value", [0, -3, 2.5, True, "10"])
@pytest.mark.parametrize("argument", ["num_classes", "in_chans"])
def test_nonsense_numbers_are_refused(argument: str, value: object) -> None:
    with pytest.raises(UsageError, match=argument):
        create_model("lenet5", **{argument: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(32,), (32, 32, 1), ("32", 32), (32.0, 32.0)])
def test_a_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(UsageError, match="input_size"):
        create_model("resnet18", input_size=size)  # type: ignore[arg-type]


def test_a_size_that_is_too_small_is_refused_with_the_smallest() -> None:
    with pytest.raises(ShapeError, match=r"lenet5 can't take images of 28×40 pixels; the smallest are 32×32"):
        create_model("lenet5", input_size=(28, 40))


class TestWeights:
    """Weights of a file, by name."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> tuple[nn.Module, Path]:
        torch.manual_seed(3)
        model = create_model("cifar_resnet20").eval()
        path = tmp_path / "weights.safetensors"
        save_file(model.state_dict(), path)
        return model, path

    def test_saved_weights_give_the_same_logits(self, saved: tuple[nn.Module, Path]) -> None:
        model, path = saved
        x = torch.randn(2, 3, 32, 32)
        torch.manual_seed(4)
        assert torch.equal(create_model("cifar_resnet20", weights=path).eval()(x), model(x))

    @pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
    def test_the_prefix_of_a_wrapper_is_taken_off(
        self, saved: tuple[nn.Module, Path], tmp_path: Path, wrapper: str
    ) -> None:
        model, _ = saved
        wrapped = {wrapper + name: tensor for name, tensor in model.state_dict().items() if "tracked" not in name}
        save_file(wrapped, tmp_path / "wrapped.safetensors")
        loaded = create_model("cifar_resnet20", weights=str(tmp_path / "wrapped.safetensors"))
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))

    def test_weights_of_another_head_are_refused_with_both_shapes(self, tmp_path: Path) -> None:
        save_file(create_model("cifar_resnet20", num_classes=3).state_dict(), tmp_path / "three.safetensors")
        with pytest.raises(ArtefactError, match=r"linear.weight is \(3, 64\) in the file and \(10, 64\) in the model"):
            create_model("cifar_resnet20", weights=tmp_path / "three.safetensors")

    def test_weights_of_another_model_are_refused_by_name(self, saved: tuple[nn.Module, Path]) -> None:
        with pytest.raises(ArtefactError, match=r"the file lacks layer1.3.conv1.weight.* and \d+ more"):
            create_model("cifar_resnet32", weights=saved[1])
        with pytest.raises(ArtefactError, match="the model has no "):
            create_model("lenet5", weights=saved[1])

    def test_a_refused_file_leaves_the_model_as_it_was(self, saved: tuple[nn.Module, Path]) -> None:
        from striate.models.weights import load_weights

        model = create_model("cifar_resnet20", num_classes=3)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(ArtefactError):
            load_weights(model, saved[1])
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    @pytest.mark.parametrize("damage", ["cut", "json", "empty", "folder", "absent"])
    def test_a_damaged_file_is_named(self, saved: tuple[nn.Module, Path], tmp_path: Path, damage: str) -> None:
        path = tmp_path / "damaged.safetensors"
        whole = saved[1].read_bytes()
        match damage:
            case "cut":
                path.write_bytes(whole[: len(whole) // 2])
            case "json":
                path.write_text(json.dumps({"weights": 1}))
            case "empty":
                path.write_bytes(b"")
            case "folder":
                path.mkdir()
        with pytest.raises(ArtefactError, match=r"damaged\.safetensors"):
            create_model("cifar_resnet20", weights=path)


def test_the_list_has_one_order_whichever_file_was_imported_first() -> None:
    told = "import striate.models.{}, striate; print(striate.list_models())"
    first, second = (
        subprocess.run([sys.executable, "-c", told.format(file)], capture_output=True, text=True, check=True).stdout
        for file in ("lenet_1998", "registry")
    )
    assert first == second
