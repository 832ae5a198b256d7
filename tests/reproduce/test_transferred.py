"""Transfer as a claim: images drawn by a seed, `striate train` as it is, tested on what was set apart."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from striate.errors import DatasetError, RecipeError
from striate.models.registry import create_model
from striate.reproduce.carry_out import carry_out, hired
from striate.reproduce.reading import open_experiment
from striate.reproduce.runs import Means
from striate.reproduce.transferred import drawn

RECIPE = """
[claim]
title = "Bars"
says = "Weights help."
who = "nobody"
metric = "test accuracy, %"
command = "striate reproduce bars"

[work]
kind = "transfer"
seeds = 2

[settings]
model = "lenet5"
data = "data/bars"
size = 32
channels = "gray"
augment = "none"
precision = "float32"
batch = 8
epochs = 12

[arms.nothing]
images = 10

[arms.features]
images = 10
against = "nothing"
[arms.features.settings]
weights = "some.safetensors"
weights_to = "C5"
freeze = "head"
"""


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """Horizontal against vertical bars: 12 a class to train with, 7 set apart; and weights."""
    rng = np.random.default_rng(0)
    for role, n in (("train", 12), ("validation", 7)):
        for label in ("flat", "upright"):
            folder = tmp_path / "data" / "bars" / role / label
            folder.mkdir(parents=True)
            for i in range(n):
                image = rng.integers(0, 60, (32, 32), dtype=np.uint8)
                at = rng.integers(4, 28)
                image[(at, slice(None)) if label == "flat" else (slice(None), at)] = 255
                Image.fromarray(image).save(folder / f"{i:02}.png")
    (tmp_path / "weights").mkdir()
    save_file(create_model("lenet5").state_dict(), tmp_path / "weights" / "some.safetensors")
    return tmp_path


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "bars.toml").write_text(RECIPE)
    return folder


def test_every_arm_is_trained_and_tested_on_all_that_was_set_apart(recipes: Path, material: Path) -> None:
    experiment = open_experiment(recipes, "bars")
    with hired(Means(material=material, threads=1, together=1)) as crew:
        result = carry_out(experiment, crew)
    assert result.images == 14
    assert [run.details["images"] for one in result.outcomes for run in one.runs] == [14] * 4
    assert result.outcome("nothing").mean.mean > 75
    assert all(0 <= value <= 100 for value in result.outcome("features").values)
    assert experiment.against == {"features": "nothing"}


def test_a_seed_draws_its_own_images_and_all_seeds_are_tested_on_the_same(material: Path) -> None:
    listings = [list(csv.DictReader(drawn(material / "data/bars", 5, seed).splitlines())) for seed in (0, 0, 1)]
    train = [[row["file_name"] for row in one if row["split"] == "train"] for one in listings]
    test = [[row["file_name"] for row in one if row["split"] == "test"] for one in listings]
    assert train[0] == train[1]
    assert train[0] != train[2]
    assert test[0] == test[2]
    assert len(test[0]) == 14
    for one in listings:
        drawn_of = [row["label"] for row in one if row["split"] == "train"]
        assert [drawn_of.count(label) for label in ("flat", "upright")] == [5, 5]
        assert all(Path(row["file_name"]).parent.name == row["label"] for row in one)


def test_more_images_than_there_are_are_refused(material: Path) -> None:
    with pytest.raises(DatasetError, match="asks for 13 images of flat; there are 12"):
        drawn(material / "data/bars", 13, 0)


def test_material_that_is_not_there_is_named(recipes: Path, material: Path) -> None:
    experiment = open_experiment(recipes, "bars")
    with hired(Means(threads=1, together=1)) as crew, pytest.raises(DatasetError, match="--material names"):
        carry_out(experiment, crew)
    (material / "weights" / "some.safetensors").unlink()
    with (
        hired(Means(material=material, threads=1, together=1)) as crew,
        pytest.raises(DatasetError, match=r"some\.safetensors: not there"),
    ):
        carry_out(experiment, crew)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("images = 10", "images = 0", "images = 0: expected how many of each class"),
        ("images = 10", "image = 10", "'image': expected images, settings or against"),
        ("epochs = 12", "", "epochs must be given"),
        ('precision = "float32"', "", "precision must be given"),
    ],
)
def test_a_mistake_in_the_recipe_is_named(recipes: Path, was: str, now: str, said: str) -> None:
    path = recipes / "bars.toml"
    path.write_text(path.read_text().replace(was, now, 1))
    with pytest.raises(RecipeError, match=said):
        open_experiment(recipes, "bars")
