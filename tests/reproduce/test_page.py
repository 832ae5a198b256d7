"""The page of results is what the recipes and the stored data give."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from striate.reproduce.page import IMAGES, PAGE, results_page
from striate.reproduce.pictures import _apart, _ticks
from striate.reproduce.reading import names, open_experiment, read_forms
from striate.reproduce.result import CURVE, Measured, Outcome, Result, _compact, store, stored

ROOT = Path(__file__).parents[2]
RECIPES, DOCS = ROOT / "recipes", ROOT / "docs"


def test_the_page_and_its_pictures_are_in_step_with_the_stored_results() -> None:
    files = results_page(RECIPES)
    stale = [str(place) for place, content in files.items() if (DOCS / place).read_text(encoding="utf-8") != content]
    assert stale == [], "run: striate reproduce --page docs"
    there = {path.relative_to(DOCS).as_posix() for path in (DOCS / IMAGES).glob("*")}
    assert there == {str(place) for place in files if place != PAGE}
    assert all(len(content) < 60_000 for place, content in files.items() if place != PAGE)


@pytest.mark.parametrize("name", names(RECIPES))
def test_the_header_of_a_recipe_says_what_its_stored_result_rests_on(name: str) -> None:
    forms = read_forms(RECIPES / f"{name}.toml")
    found = [(form, result) for form in forms if (result := stored(form)) is not None]
    claim = forms[0].claim
    if not found:
        assert (claim.n, claim.measured, claim.hardware) == (0, None, "")
        return
    form, result = found[0]
    assert claim.n == form.work.seeds == len(result.outcomes[0].runs)
    assert str(claim.measured) == result.made
    assert claim.hardware == result.machine
    assert claim.command == f"striate reproduce {form.form}"


def test_names_of_arms_are_short_enough_for_the_pictures() -> None:
    """To the right of a line there are 170 pixels; the widest of the names that fit takes 6.2 a sign."""
    for name in names(RECIPES):
        for arm in open_experiment(RECIPES, name).arms:
            assert 6.2 * len(arm.name) <= 170, (name, arm.name)


def test_every_stored_result_has_a_recipe_and_its_summary_is_derived_from_its_runs() -> None:
    for path in sorted((RECIPES / "results").glob("*.json")):
        name, _, quick = path.stem.partition(".")
        experiment = open_experiment(RECIPES, name, quick=bool(quick))
        result = stored(experiment)
        assert result is not None
        before = path.read_text(encoding="utf-8")
        assert _compact(result.to_json(experiment.against)) + "\n" == before


def result_of(recipes: Path, epochs: int = 3) -> Result:
    experiment = open_experiment(recipes, "small")

    def run(value: float, diverged: bool = False) -> Measured:
        rows = [(e, 0.5 / e, 0.9, 0.4, 1 - (1 - value / 100) * epochs / e) for e in range(1, epochs + 1)]
        curve = tuple(dict(zip(CURVE, map(float, row), strict=True)) for row in rows)
        return Measured(value, diverged, () if diverged else curve)

    outcomes = (Outcome("without", (run(90.0), run(91.0))), Outcome("with", (run(99.9), run(10.0, True))))
    return Result("small", False, experiment.digest, "2026-11-21", "a machine", 100, outcomes)


def test_the_page_says_the_claim_the_mean_the_difference_and_what_diverged(recipes: Path) -> None:
    store(result_of(recipes), open_experiment(recipes, "small"))
    page = results_page(recipes)[PAGE]
    assert "> Dropout helps." in page
    row = next(line for line in page.splitlines() if line.startswith("| with |"))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "with", "54.95 (0 to 100)", "-35.55 (-613.0 to +541.9)", "90.0", "1 of 2",
    ]  # fmt: skip
    assert "`striate reproduce small` · a machine, 2026-11-21" in page


def test_where_training_images_count_their_error_is_drawn_too_and_costs_are_told(recipes: Path) -> None:
    path = recipes / "small.toml"
    path.write_text(path.read_text().replace("seeds = 2", 'seeds = 2\ncounted = "training"\ncosts = true'))
    result = replace(result_of(recipes), digest=open_experiment(recipes, "small").digest)
    details = {"macs": 2_000_000, "macs_training": 1_500_000, "blocks_run": [3, 4], "step_ms": 12.3}
    outcomes = [
        replace(one, runs=tuple(replace(run, diverged=False, details=details) for run in one.runs[:1]) * 2)
        for one in result.outcomes
    ]
    store(replace(result, outcomes=tuple(outcomes)), open_experiment(recipes, "small"))
    files = results_page(recipes)
    assert IMAGES / "small.training.svg" in files
    assert "training error, %" in files[IMAGES / "small.training.svg"]
    assert files[IMAGES / "small.training.svg"] != files[IMAGES / "small.error.svg"]
    lines = files[PAGE].splitlines()
    row = next(line for line in lines if line.startswith("| with |"))
    assert row.endswith("| 99.9 | 2.0 | 1.5, 75.0 % of the blocks | 12 |")
    assert any("| test accuracy, % | million multiply-adds | in training, on average |" in line for line in lines)


def test_arms_with_different_partners_name_them(recipes: Path) -> None:
    path = recipes / "small.toml"
    path.write_text(path.read_text().replace("[arms.without]", '[arms.without]\nagainst = "with"'))
    store(result_of(recipes), open_experiment(recipes, "small"))
    page = results_page(recipes)[PAGE]
    assert "| difference |" in page
    assert "-35.55 (-613.0 to +541.9) against without |" in page
    assert "+35.55 (-541.9 to +613.0) against with |" in page


def test_a_recipe_without_a_result_claims_nothing(recipes: Path) -> None:
    page = results_page(recipes)[PAGE]
    assert "## Not run yet" in page
    assert "- **Small** (`small`): Dropout helps. (nobody)" in page
    assert "| with |" not in page
    path = recipes / "small.toml"
    path.write_text("quick = false\n" + path.read_text().replace("[quick.work]\ntrain_images = 100\n", ""))
    assert "- **Small** (`small`; no small form): Dropout helps. (nobody)" in results_page(recipes)[PAGE]


def test_pictures_are_svg_with_a_name_for_every_line_none_over_another(recipes: Path) -> None:
    store(result_of(recipes), open_experiment(recipes, "small"))
    files = results_page(recipes)
    picture = ElementTree.fromstring(files[IMAGES / "small.error.svg"])
    texts = [(t.text, float(t.get("y", 0))) for t in picture.iter("{http://www.w3.org/2000/svg}text")]
    named = {text: y for text, y in texts if text in ("without", "with (1 diverged)")}
    assert len(named) == 2
    assert abs(named["without"] - named["with (1 diverged)"]) >= 16
    for path in picture.iter("{http://www.w3.org/2000/svg}path"):
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.get("d", ""))]
        assert all(0 <= x <= 720 for x in numbers[::2])
        assert all(0 <= y <= 320 for y in numbers[1::2])


def test_words_at_line_ends_stand_apart_and_inside() -> None:
    assert _apart([100.0, 100.0, 200.0, 100.0]) == [84.0, 100.0, 200.0, 116.0]  # moved as little as is needed
    places = _apart([50.0, 51.0, 52.0, 270.0, 273.0, 10.0])
    gaps = sorted(places)
    assert all(b - a >= 16 - 1e-9 for a, b in pairwise(gaps))
    assert min(places) >= 0
    assert max(places) <= 320 - 46


@pytest.mark.parametrize(("low", "high"), [(0.7, 3.2), (0.05, 90), (1e-9, 2.0), (2.0, 2.0), (12, 88)])
def test_ticks_lie_around_the_values(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high or len(ticks) > 4
    assert 2 <= len(ticks) <= 16


def test_every_form_of_every_recipe_can_be_read() -> None:
    forms = {name: len(read_forms(RECIPES / f"{name}.toml")) for name in names(RECIPES)}
    assert [name for name, n in forms.items() if n == 1] == ["cifar10_degradation_paper"]
