"""The recipes of transfer can be trained, and do what is said of them."""

from pathlib import Path

import pytest

from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
from striate.training.job import train
from striate.training.options import Options
from striate.training.recipe import read
from striate.training.transfer.phases import phases
from striate.training.transfer.places import frozen_steps, head_layers

RECIPES = Path(__file__).parents[3] / "recipes"
RECIPE = RECIPES / "transfer_two_phases.toml"


def test_the_recipe_freezes_all_but_the_head_and_then_all_but_the_last_stage() -> None:
    recipe = read(RECIPE)
    with without_numbers():
        net = create_model(recipe.model, num_classes=2)
    first, second = phases(net, recipe, entry(recipe.model).head, head_layers(recipe.model, {"num_classes": 2}))
    assert first.frozen == frozen_steps(net, "head", "classifier")
    assert second.begins == 10
    assert {name.split(".")[1] for name in first.frozen[len(second.frozen) :]} == {"4"}
    assert float(recipe.unfreeze[0]["lr"]) < recipe.lr


def test_the_two_backbones_that_are_compared_differ_in_their_images_alone() -> None:
    ten, eight = (read(RECIPES / f"backbone_{name}.toml") for name in ("ten", "eight"))
    assert (ten.data, eight.data) == ("cifar10", "cifar_eight")
    assert ten == eight.model_copy(update={"data": ten.data})
    assert ten.val_share == 0  # nothing is chosen by the images that are tested on


@pytest.mark.slow
def test_transfer_beats_guessing_by_far_from_twenty_images_a_class(shared: Path, tmp_path: Path) -> None:
    """Measured: 77.9 to 80.3 % over three seeds; from nothing 50.7 to 57.2 %."""
    rows = ["file_name,label,split"]
    for label in ("cats", "dogs"):
        for role, folder, most in (("train", "train", 20), ("val", "validation", 201)):
            images = sorted((shared / "data" / "cats_dogs" / folder / label).iterdir())[:most]
            rows += [f"{image},{label},{role}" for image in images]
    (tmp_path / "few.csv").write_text("\n".join(rows))
    weights = shared / "weights" / "imagenet_mobilenet_v1_0.25_128_uint8.safetensors"
    trained = train(tmp_path / "few.csv", "mobilenet_v1_0.25_128", out=tmp_path / "r", weights=str(weights),
                    freeze="head", epochs=60, options=Options(threads=1))  # fmt: skip
    assert trained.rows[-1]["val_accuracy"] > 0.7
