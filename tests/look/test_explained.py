"""An explanation as a whole: numbers, picture, and what is said of it."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.data.preprocess import Preprocess
from striate.errors import UnknownName, UsageError
from striate.look.explain.explained import NOTHING, Explained, explain, number_of
from striate.look.explain.methods import ATTRIBUTION, CLASS_ACTIVATION, TITLES
from striate.look.explain.picture import draw_explained, over
from striate.look.png import figure_png
from striate.models.registry import create_model
from striate.run.classifier import Classifier
from tests.look.planted import planted

CLASSES = ("level", "falling", "upright")


@pytest.fixture
def classifier(reader: nn.Sequential) -> Classifier:
    gray = Preprocess(size=(32, 32), resize="stretch", order="gray", mean=(0.5,), std=(0.25,))
    return Classifier(reader, CLASSES, gray)


def pixels(n: int, seed: int = 6) -> tuple[dict[str, np.ndarray], list[int]]:
    x, y, _ = planted(n, seed)
    shown = ((x * 0.25 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return {f"{i}.png": one[0][:, :, None] for i, one in enumerate(shown)}, y.tolist()


def test_an_explanation_names_class_layer_and_place(classifier: Classifier) -> None:
    shown, y = pixels(3)
    found = explain(classifier, shown, "gradcam")
    assert found.layer == "6"
    assert found.grid == (16, 16)
    assert found.about == found.predicted == tuple(CLASSES[k] for k in y)
    assert [p.label for p in classifier.predict(list(shown.values()))] == list(found.predicted)
    assert all(place is not None and place.share == 0.5 for place in found.places)
    assert found.warnings == ()
    told = json.loads(json.dumps(found.to_json()))
    assert told["images"][0]["place"]["box"].keys() == {"top", "left", "height", "width"}
    assert told["randomised_weights"]["rank_correlation"][-1] < 0.5
    assert told["areas"]["deletion"] < told["areas"]["deletion_by_chance"]


def test_a_class_is_asked_for_by_name_or_number(classifier: Classifier) -> None:
    shown, _ = pixels(1)
    by_name = explain(classifier, shown, "saliency", about="upright", check=False)
    by_number = explain(classifier, shown, "saliency", about="2", check=False)
    assert by_name.about == by_number.about == ("upright",)
    assert torch.equal(by_name.maps, by_number.maps)
    assert number_of("3", ["1", "2", "3"]) == 2  # a name comes before a number
    with pytest.raises(UnknownName, match="no class is called 'uprigth'; did you mean 'upright'"):
        explain(classifier, shown, about="uprigth")
    with pytest.raises(UnknownName, match="no class is called '3'; there are 3, from 0 on: level, falling, upright"):
        explain(classifier, shown, about="3")


def test_the_declared_layer_of_a_zoo_model_is_read_while_it_has_places() -> None:
    torch.manual_seed(0)
    net = create_model("cifar_resnet20")
    for side, layer in ((32, "layer3"), (4, "layer2")):
        tiny = Classifier(net, [str(k) for k in range(10)], Preprocess(size=(side, side), resize="stretch"))
        image = {"a": np.zeros((side, side, 3), np.uint8)}
        assert explain(tiny, image, "gradcam", model="cifar_resnet20", check=False).layer == layer


def test_an_empty_map_is_noted_and_drawn(classifier: Classifier) -> None:
    shown, _ = pixels(1)
    with torch.no_grad():
        kept = classifier.module[9].weight.clone()
        classifier.module[9].weight.copy_(-kept.abs())
    try:
        found = explain(classifier, shown, "gradcam", check=False)
    finally:
        with torch.no_grad():
            classifier.module[9].weight.copy_(kept)
    assert found.places == (None,)
    assert found.notes == (f"0.png: {NOTHING}",)
    assert found.to_json()["images"][0]["nothing_positive"] is True
    assert size_of(found)[0] > 1000


@pytest.mark.parametrize("method", TITLES)
def test_every_method_has_a_picture(method: str, classifier: Classifier) -> None:
    shown, _ = pixels(1)
    assert (method in CLASS_ACTIVATION) != (method in ATTRIBUTION)
    width, height = size_of(explain(classifier, shown, method, check=method == "gradcam"))
    assert 500 < height < width


def size_of(found: Explained) -> tuple[int, int]:
    with Image.open(io.BytesIO(figure_png(draw_explained(found, "a run, $5")))) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_where_the_map_is_zero_the_image_shows_in_gray() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    map_ = np.zeros((4, 4))
    map_[1, 2] = 1
    shown = over(image, map_)
    gray = shown.std(axis=2) < 1e-9
    assert not gray[1, 2]
    assert gray.sum() == 15
    assert 0 <= shown.min() <= shown.max() <= 1


def test_what_makes_no_sense_is_refused(classifier: Classifier) -> None:
    shown, _ = pixels(1)
    with pytest.raises(UnknownName, match="did you mean 'gradcam'"):
        explain(classifier, shown, "grad-cam")
    with pytest.raises(UsageError, match="Saliency reads no layer; leave '6' out"):
        explain(classifier, shown, "saliency", layer="6")
    with pytest.raises(UsageError, match="no images"):
        explain(classifier, {})
