"""A classifier from weights without a run: its classes and its preprocessing, and what had to be assumed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from striate import load
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, UnknownName, UsageError
from striate.models.published import class_names
from striate.models.registry import create_model
from striate.run.folder import Identity, ModelSpec, write_model

MODEL = "cifar_resnet20"


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(create_model(MODEL, num_classes=3).state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


def test_a_file_that_says_nothing_gets_what_is_assumed_and_a_note(weights: Path) -> None:
    found = load(MODEL, weights=weights)
    assert found.classes == ("0", "1", "2")
    assert found.preprocess.size == (32, 32)
    assert any("numbered from 0" in note for note in found.notes)
    assert any("assumed: RGB" in note and "mine.pth" in note for note in found.notes)
    assert found.predict(picture())[0].label in found.classes


def test_classes_and_preprocessing_can_be_given(weights: Path) -> None:
    prepared = Preprocess(size=(32, 32), resize="letterbox", mean=(0.5,) * 3, std=(0.5,) * 3)
    found = load(MODEL, weights=str(weights), classes=["a", "b", "c"], preprocess=prepared)
    assert (found.classes, found.preprocess, found.notes) == (("a", "b", "c"), prepared, ())


def test_a_json_beside_the_file_says_them_too(weights: Path) -> None:
    weights.with_suffix(".json").write_text(
        json.dumps(
            {"classes": ["x", "y", "z"], "preprocess": {"size": [36, 36], "order": "bgr", "mean": [0.1, 0.2, 0.3]}}
        )
    )
    found = load(MODEL, weights=weights)
    assert found.classes == ("x", "y", "z")
    assert found.preprocess.size == (36, 36)
    assert (found.preprocess.order, found.preprocess.mean) == ("bgr", (0.1, 0.2, 0.3))
    assert found.notes == ()


def test_a_wrong_preprocessing_beside_the_file_is_named(weights: Path) -> None:
    weights.with_suffix(".json").write_text(json.dumps({"preprocess": {"order": "rbg"}}))
    with pytest.raises(ArtefactError, match=r"mine\.json.*did you mean 'rgb'"):
        load(MODEL, weights=weights)


def test_a_wrong_number_of_classes_is_refused(weights: Path) -> None:
    with pytest.raises(UsageError, match=r"2 classes are given; mine\.pth tells 3 apart"):
        load(MODEL, weights=weights, classes=["a", "b"])


def test_a_thousand_unnamed_classes_are_taken_for_imagenets(tmp_path: Path) -> None:
    torch.save(create_model("mobilenet_v1_0.25_128").state_dict(), tmp_path / "x.pth")
    found = load("mobilenet_v1_0.25_128", weights=tmp_path / "x.pth")
    assert found.classes == class_names("imagenet")
    assert found.preprocess.size == (128, 128)
    assert any("ImageNet's" in note for note in found.notes)


def test_the_weights_of_a_run_bring_what_the_run_says(tmp_path: Path) -> None:
    module = create_model(MODEL, num_classes=2)
    prepared = Preprocess(size=(32, 32), resize="pad", mean=(0.4,) * 3, std=(0.2,) * 3)
    identity = Identity(ModelSpec(MODEL, {"num_classes": 2}), ("cat", "dog"), prepared)
    write_model(tmp_path / "model.safetensors", module.state_dict(), identity, {})
    found = load(MODEL, weights=tmp_path / "model.safetensors")
    assert (found.classes, found.preprocess, found.notes) == (("cat", "dog"), prepared, ())
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(found.module(x), module.eval()(x))
    with pytest.raises(ArtefactError, match="a trained cifar_resnet20, not a resnet18"):
        load("resnet18", weights=tmp_path / "model.safetensors")
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtefactError, match="damaged"):
        load(MODEL, weights=tmp_path / "model.safetensors")


def test_a_model_without_weights_is_told_from_a_run() -> None:
    with pytest.raises(UsageError, match=r"is a model, not a run.*imagenet"):
        load("resnet18")
    with pytest.raises(ArtefactError, match="no such folder"):
        load("no such run")


def test_classes_are_not_for_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a run has its own"):
        load(tmp_path, classes=["a"])
    with pytest.raises(UsageError, match="is a run and has its own weights"):
        load(tmp_path, weights="imagenet")


def test_a_model_that_nobody_knows_is_answered_with_the_nearest(weights: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        load("cifar_resnet2O", weights=weights)


def test_published_cifar_weights_know_their_classes_and_pixels(shared: Path) -> None:
    found = load(MODEL, weights=shared / "weights" / "cifar10_resnet20_akamaster.safetensors")
    assert found.classes[:3] == ("airplane", "automobile", "bird")
    assert found.preprocess.size == (32, 32)
    assert all("assumed" not in note for note in found.notes)


def test_published_imagenet_weights_name_a_photograph(shared: Path) -> None:
    weights = shared / "weights" / "imagenet_mobilenet_v1_0.25_128_uint8.safetensors"
    found = load("mobilenet_v1_0.25_128", weights=weights)
    assert found.preprocess == Preprocess(size=(128, 128), short_side=146, mean=(0.5,) * 3, std=(0.5,) * 3)
    image = shared / "data" / "imagenet_samples" / "images" / "n01440764" / "tench.jpg"
    best = found.predict(image)[0]
    assert best.label == "tench"
    assert best.probability > 0.5
