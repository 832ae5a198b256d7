"""What "auto" becomes for a data set, a network and a machine, and which combinations are refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from striate.data.augment import Augment
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.errors import DatasetError, RecipeError, UnknownName
from striate.training.machine import Machine, survey
from striate.training.recipe import Recipe
from striate.training.resolve import Resolved, resolve

MACHINE = Machine("cpu", "a processor", 2, "AVX2", False, "2.0", "3.11")


def dataset(n: int = 60, classes: int = 3, side: int = 8, channels: int = 1, name: str = "mine") -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    split = Split(ArrayImages(pixels), np.arange(n) % classes, tuple(map(str, range(n))))
    return Dataset(name, tuple("abcdefghij"[:classes]), {"train": split}, channels)


def resolved(data: Dataset | None = None, machine: Machine = MACHINE, side: int | None = None, **more: Any) -> Resolved:
    data = data or dataset()
    shape = data.split("train").images.shape()
    assert shape is not None
    sizes = np.array([shape[:2]] * len(data.split("train"))) if side is None else np.array([[side, side]])
    return resolve(Recipe.make({"model": "test_norm", "data": "d"} | more), data, sizes, machine)


@pytest.mark.parametrize("machine", [MACHINE, replace(MACHINE, bf16=True, device="cuda")])
@pytest.mark.parametrize("model", ["test_norm", "test_sigmoid", "lenet5", "cifar_resnet20"])
@pytest.mark.parametrize("classes", [2, 5])
def test_nothing_is_left_open_but_what_a_trial_has_to_tell(machine: Machine, model: str, classes: int) -> None:
    recipe = resolved(dataset(classes=classes), machine, model=model).recipe
    assert [key for key, value in recipe.model_dump().items() if value == "auto"] == ["compile"]
    assert Recipe.make(recipe.model_dump()) == recipe
    known = recipe.model_dump(exclude={"data"})
    assert resolved(dataset(classes=classes), machine, **known).recipe == recipe


@pytest.mark.parametrize(
    ("n", "batch", "expected"), [(60, "auto", 32), (20, "auto", 20), (5000, "auto", 128), (60, 100, 60)]
)
def test_batches_are_not_larger_than_the_data(n: int, batch: int | str, expected: int) -> None:
    assert resolved(dataset(n, side=5), batch=batch).recipe.batch == expected


@pytest.mark.parametrize(("n", "more", "epochs"), [
    (60, {}, 100), (2000, {}, 24), (2000, {"accumulate": 2}, 47), (6000, {}, 32), (60, {"epochs": 3}, 3),
    (20_000, {}, 20),
])  # fmt: skip
def test_epochs_are_enough_for_1500_steps_and_between_20_and_100(n: int, more: dict[str, Any], epochs: int) -> None:
    assert resolved(dataset(n, side=5), **more).recipe.epochs == epochs


@pytest.mark.parametrize(
    ("model", "classes", "loss", "kind", "outputs"),
    [
        ("test_norm", 3, "auto", "cross_entropy", 3),
        ("test_norm", 2, "auto", "cross_entropy", 2),
        ("test_norm", 2, "bce", "bce", 1),
        ("test_norm", 4, "mse", "mse", 4),
        ("test_sigmoid", 2, "auto", "bce", 1),
        ("test_sigmoid", 2, "cross_entropy", "cross_entropy", 2),
        ("test_sigmoid", 3, "auto", "cross_entropy", 3),
    ],
)
def test_the_loss_decides_the_number_of_outputs(model: str, classes: int, loss: str, kind: str, outputs: int) -> None:
    found = resolved(dataset(classes=classes), model=model, loss=loss)
    assert (found.recipe.loss, found.outputs) == (kind, outputs)


@pytest.mark.parametrize(("side", "model", "size"), [
    (32, "cifar_resnet20", 32), (28, "cifar_resnet20", 28), (30, "cifar_resnet20", 30), (8, "cifar_resnet20", 32),
    (64, "cifar_resnet20", 32), (28, "lenet5", 32), (20, "resnet18", 224), (32, "resnet18", 32), (300, "resnet18", 224),
])  # fmt: skip
def test_small_images_are_seen_at_their_own_size_where_the_network_allows_it(side: int, model: str, size: int) -> None:
    found = resolved(side=side, model=model)
    assert found.recipe.size == size
    assert found.choice.preprocess.size == (size, size)
    assert resolved(side=side, model=model, size=48).recipe.size == 48


def test_the_kind_of_data_decides_what_is_varied() -> None:
    for name in ("digits", "mnist", "cifar10", "mine"):
        for channels in (1, 3):
            spec = resolved(dataset(name=name, channels=channels)).recipe.augment
            assert str(Augment.parse(spec)) == spec
            if name in ("digits", "mnist"):
                assert "flip" not in spec  # a mirrored 2 is no digit
    assert resolved(augment="none").recipe.augment == "none"
    assert resolved(augment="hflip:0.5   crop:4").recipe.augment == "crop:4 hflip"


@pytest.mark.parametrize(
    ("asked", "images", "found"), [("auto", 1, "gray"), ("auto", 3, "rgb"), ("rgb", 1, "rgb"), ("gray", 3, "gray")]
)
def test_channels_are_those_of_the_images_unless_asked_for(asked: str, images: int, found: str) -> None:
    made = resolved(dataset(channels=images), channels=asked)
    assert (made.recipe.channels, made.choice.preprocess.order) == (found, found)
    assert made.channels == made.choice.preprocess.channels


def test_the_machine_decides_the_precision_unless_asked_for() -> None:
    fast = replace(MACHINE, bf16=True)
    assert resolved().recipe.precision == "float32"
    assert resolved(machine=fast).recipe.precision == "bf16"
    assert resolved(machine=fast, precision="float32").recipe.precision == "float32"
    assert resolved(precision="bf16").recipe.precision == "bf16"
    assert resolved().recipe.channels_last is True
    assert resolved(channels_last=False).recipe.channels_last is False


def test_an_alias_is_stored_by_its_own_name() -> None:
    assert resolved(model="resnet20").recipe.model == "cifar_resnet20"


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(DatasetError, match="at least two classes"):
        resolved(dataset(classes=1))
    with pytest.raises(RecipeError, match="there are 3"):
        resolved(loss="bce")
    with pytest.raises(RecipeError, match="2 numbers for 3 classes: a, b, c"):
        resolved(class_weights=[1.0, 2.0])
    with pytest.raises(UnknownName):
        resolved(model="lenet6")


def test_the_machine_is_surveyed_as_it_is() -> None:
    found = survey(3)
    assert found.threads == 3
    assert survey().threads >= 1
    assert found.device in ("cpu", "cuda")
    assert set(found.to_json()) == {"device", "name", "threads", "capability", "bf16", "torch", "python", "processes"}
    assert "3 threads" in found.describe()
    assert "2 processes of 3 threads" in survey(3, processes=2, here=2).describe()
    assert survey(here=10_000).threads == 1
    assert found.name
