"""The table of all models, and the fact sheet of one."""

import json

import pytest

from striate.errors import UnknownName
from striate.look.costs.zoo import facts, models_table
from striate.models.registry import entry, list_models


def test_every_model_is_in_the_table_once_under_its_year() -> None:
    lines = [line for line in str(models_table()).splitlines()[1:] if line]
    years = [int(line[:4]) for line in lines if not line.startswith(" ")]
    names = [
        line.split()[0] for line in lines if line.startswith("      ") and "×" in line and line.split()[1][0].isdigit()
    ]
    assert names == list_models()
    assert years == sorted(years)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, models_table().text(width).splitlines())) <= width
    for name in ("alexnet_2gpu", "inception_v3", "resnet50"):
        assert max(map(len, facts(name).text(width).splitlines())) <= width


def test_a_pattern_chooses() -> None:
    table = models_table("resnet18")
    assert "resnet18  11,689,512  1,814,073,344  3×224×224" in str(table)
    assert [line["name"] for line in table.to_json()] == ["resnet18"]


def test_json_holds_what_one_must_know_to_use_a_model() -> None:
    stored = json.loads(json.dumps(models_table("lenet5").to_json()))[0]
    assert stored["input"] == [1, 32, 32]
    assert (stored["parameters"], stored["macs"]) == (61_706, 416_520)
    assert stored["about"] == entry("lenet5").about
    assert stored["fixed_size"] is True


def test_a_pattern_that_nothing_matches_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="no model matches 'resnet19'; did you mean 'resnet18'"):
        models_table("resnet19")


def test_a_fact_sheet_has_paper_figures_and_where_the_form_differs() -> None:
    text = str(facts("resnet50"))
    for said in (
        "Deep Residual Learning for Image Recognition, arXiv:1512.03385",
        "MACs: 3.8 billion",
        "25,557,032 parameters, 4,089,184,256 MACs",
        "a bottleneck strides on its 3×3",
        "keras ResNet50",
        "IMAGENET1K_V1",
    ):
        assert said in " ".join(text.split())


def test_an_alias_finds_its_sheet() -> None:
    assert facts("alexnet").sheet.entry.name == "alexnet_torchvision"
    assert json.loads(json.dumps(facts("alexnet").to_json()))["parameters"] == 61_100_840
