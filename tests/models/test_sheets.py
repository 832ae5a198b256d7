"""Fact sheets: there for every model, true to the counts, and written by the script that says so."""

import json
from pathlib import Path

import pytest

from striate.errors import UnknownName
from striate.models.published import catalogue
from striate.models.registry import list_models
from striate.models.sheets import differs, sheet
from tests.models import make_sheets

COSTS = json.loads((make_sheets.SHEETS.parent / "costs.json").read_text(encoding="utf-8"))


def test_every_model_has_a_sheet_and_no_sheet_is_left_over() -> None:
    assert list(json.loads(make_sheets.SHEETS.read_text(encoding="utf-8"))) == list_models()


@pytest.mark.parametrize("name", list_models())
def test_what_is_built_here_is_what_somebody_else_counts(name: str) -> None:
    counts = [(one.parameters, one.macs) for one in sheet(name).counts]
    ours = (COSTS[name]["parameters"], COSTS[name]["macs"])
    if counts and name not in {"googlenet_aux", "deck_vgg16_dense"}:  # counted there with what we run in training only
        assert ours in counts


@pytest.mark.parametrize("name", list_models())
def test_figures_are_percentages_of_one_network(name: str) -> None:
    found = sheet(name)
    for one in (*found.weights, *([found.printed] if found.printed else [])):
        assert 30 < one.top1 < 100
        assert one.top5 is None or one.top1 < one.top5 < 100
        assert 16 <= one.side <= 1000
    for paper in found.papers:
        assert paper.title
        assert paper.checked
        assert all(paper.printed.values())


def test_accuracies_of_known_weights() -> None:
    """As torchvision's documentation lists them."""
    for name, tag, top1 in [
        ("resnet50", "IMAGENET1K_V1", 76.13),
        ("vgg16", "IMAGENET1K_V1", 71.592),
        ("efficientnet_b0", "IMAGENET1K_V1", 77.692),
    ]:
        assert next(one.top1 for one in sheet(name).weights if one.tag == tag) == top1


def test_weights_that_learnt_from_other_images_are_left_out() -> None:
    tags = [one.tag for name in list_models() for one in sheet(name).weights]
    assert not [tag for tag in tags if "jft" in tag or "in21k" in tag or "in12k" in tag]


def test_where_a_form_differs_is_what_its_file_says() -> None:
    assert "strides on its 3×3" in sheet("resnet50").differs
    assert sheet("cifar_resnet20").differs == ""
    assert differs("A net.\n\nNothing here.") == ""
    assert not [name for name in list_models() if "Names are" in sheet(name).differs]


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(UnknownName, match="resnet50"):
        sheet("resnet51")


def test_the_file_is_what_the_script_writes(shared: Path) -> None:
    made = make_sheets.sheets(shared / "facts" / "facts.json")
    assert json.loads(json.dumps(made)) == json.loads(make_sheets.SHEETS.read_text(encoding="utf-8"))


def test_an_accuracy_of_weights_is_stated_in_one_place() -> None:
    """In the catalogue, for weights that can be loaded; in sheets.json for those of others."""
    kept = json.loads(make_sheets.SHEETS.read_text(encoding="utf-8"))
    beside = {one["publisher"] for known in kept.values() for one in known["weights"]}
    assert not beside & {one.publisher.partition("/")[0] for one in catalogue()}
    claimed = {(one.model, one.top1, one.top5) for one in catalogue()}
    for name in list_models():
        for one in sheet(name).weights:
            assert (one.publisher in beside) != ((name, one.top1, one.top5) in claimed)


def test_weights_of_another_graph_are_on_no_sheet() -> None:
    assert not [one for one in sheet("resnet50").weights if one.publisher == "Keras"]
    assert [one.top1 for one in sheet("resnet50.paper").weights if one.publisher == "Keras"] == [74.9]
