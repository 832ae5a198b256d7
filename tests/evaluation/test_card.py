"""The card: derived from predictions, honest about what they can't tell, the same for the same inputs."""

import json
from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DatasetError
from striate.evaluation.card import Card, Example, Facts, Quarantined, Rival, make_card, tidy
from striate.evaluation.predictions import Predictions

CLASSES = ("a", "b", "c")


def predictions(
    n: int = 300, role: str = "test", skill: float = 3.0, k: int = 3, seed: int = 0, **changes: object
) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    z = rng.normal(size=(n, k)) + skill * np.eye(k)[truth]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    classes = CLASSES if k == 3 else tuple(f"c{i}" for i in range(k))
    return replace(Predictions(tuple(f"{role}/{i}" for i in range(n)), truth, p, classes, role), **changes)  # type: ignore[arg-type]


def facts(**changes: object) -> Facts:
    counts = {"train": dict.fromkeys(CLASSES, 100), "test": dict.fromkeys(CLASSES, 100)}
    known = {"run": "run", "model": "m", "data": "d", "preprocess": "gray.", "counts": counts}
    known |= {"chosen_on": "val", "same_data": True, "seen_in_training": 0}
    return Facts(**(known | changes))  # type: ignore[arg-type]


def kinds(card: Card) -> list[str]:
    return [one.kind for one in card.cautions]


KEYS = [
    "format", "headline", "cautions", "run", "split", "accuracy", "baseline", "top5", "balanced_accuracy", "macro",
    "log_loss", "classes", "confusion", "calibration", "wrong", "unsure", "compared", "model", "data", "preprocess",
    "recipe", "curves", "environment", "made",
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), k=st.integers(2, 8), skill=st.floats(-5, 30), seed=st.integers(0, 99))
def test_card_json_has_its_keys_and_no_nan_whatever_the_predictions(n: int, k: int, skill: float, seed: int) -> None:
    p = predictions(n, k=k, skill=skill, seed=seed)
    card = make_card(p, facts=facts(), val_predictions=predictions(n, "val", k=k, skill=skill, seed=seed + 1))
    assert list(card.to_json()) == KEYS
    assert json.loads(json.dumps(card.to_json(), allow_nan=False))["accuracy"]["images"] == n


def test_the_same_inputs_give_the_same_card() -> None:
    first, second = (json.dumps(make_card(predictions(), facts=facts()).to_json()) for _ in range(2))
    assert first == second


def test_the_headline_says_what_was_counted() -> None:
    truth = np.zeros(360, np.int64)
    said = np.where(np.arange(360) < 355, 0, 1)
    p = Predictions(tuple(map(str, range(360))), truth, np.eye(2)[said], ("a", "b"), "test")
    assert (
        make_card(p, facts=facts()).headline
        == "Right on 355 of 360 test images: 98.6\xa0% (95\xa0% interval 96.8 to 99.4)"
    )
    whole = make_card(replace(p, truth=said, role="val"), facts=facts())
    assert whole.headline == "Right on all 360 val images: 100\xa0% (95\xa0% interval 98.9 to 100)"
    one = Predictions(("x",), np.array([1]), np.array([[0.9, 0.1]]), ("a", "b"), "test")
    assert make_card(one, facts=facts()).headline.startswith(
        "Right on 0 of 1 test image: 0\xa0% (95\xa0% interval 0 to "
    )


def test_a_good_split_that_had_no_part_in_anything_raises_no_caution() -> None:
    assert kinds(make_card(predictions(), facts=facts())) == []


def split(truth: list[int], said: list[int]) -> Predictions:
    return predictions(len(truth), truth=np.array(truth), probabilities=np.eye(3)[said])


BAD = (Quarantined("x", "test", "cut off"), Quarantined("y", "train", "empty"))
PLANTED = [
    ("trained", predictions(role="train"), {}, True),
    ("chosen", predictions(role="val"), {}, True),
    ("leak", predictions(), {"seen_in_training": 3}, True),
    ("baseline", predictions(skill=0.1), {}, True),
    ("changed", predictions(), {"same_data": False}, False),
    ("few", predictions(30), {}, False),
    ("imbalance", split([0] * 280 + [1] * 20, [0] * 285 + [1] * 15), {}, False),
    ("absent", split([0, 1] * 150, [0, 1] * 150), {}, False),
    ("rare", split([0, 1] * 150 + [2] * 5, [0, 1] * 150 + [2] * 5), {}, False),
    ("quarantined", predictions(), {"quarantined": BAD}, False),
]


@pytest.mark.parametrize(("kind", "p", "known", "grave"), PLANTED, ids=[kind for kind, *_ in PLANTED])
def test_a_planted_weakness_is_said(kind: str, p: Predictions, known: dict[str, object], grave: bool) -> None:
    card = make_card(p, facts=facts(**known))
    found = {one.kind: one for one in card.cautions}
    assert kind in found
    assert found[kind].grave is grave
    assert [one.grave for one in card.cautions] == sorted((one.grave for one in card.cautions), reverse=True), (
        "gravest first"
    )


def test_weights_that_were_chosen_elsewhere_are_not_suspected() -> None:
    assert "chosen" not in kinds(make_card(predictions(role="val"), facts=facts(chosen_on=None)))
    other = make_card(predictions(role="train"), facts=facts(same_data=None, chosen_on=None))
    assert "trained" not in kinds(other), "a split of other data that is merely called train"


def test_the_temperature_is_fitted_on_val_and_never_tested_on_the_same_images() -> None:
    bold = predictions(role="val", seed=1)
    card = make_card(predictions(), facts=facts(), val_predictions=bold)
    assert card.temperature is not None
    assert card.to_json()["calibration"]["temperature"]["fitted_on"] == "val"
    assert make_card(bold, facts=facts(), val_predictions=bold).temperature is None
    assert make_card(predictions(), facts=facts()).to_json()["calibration"]["temperature"] is None


def test_another_run_is_compared_on_the_same_images_or_refused() -> None:
    better, worse = predictions(skill=4.0), predictions(skill=1.0, seed=5)
    card = make_card(better, facts=facts(), compare_with=[Rival("plain", worse, (("augment", "hflip", "none"),))])
    found = card.to_json()["compared"][0]
    assert found["difference"]["value"] == pytest.approx(
        card.metrics.accuracy.value - found["accuracy"]["value"], abs=1e-5
    )
    assert found["difference"]["mcnemar_p"] < 0.05
    assert found["differs"] == [{"setting": "augment", "here": "hflip", "there": "none"}]
    with pytest.raises(DatasetError, match="only on the same images"):
        make_card(better, facts=facts(), compare_with=[Rival("other", predictions(200))])


def test_pictures_stay_out_of_the_json() -> None:
    one = Example(
        key="k", truth="a", predicted="b", probability=0.9, truth_probability=0.1, runner_up="a",
        runner_up_probability=0.1, layer="conv", nothing_positive=False, image=b"\x89PNG", evidence=b"\x89PNG",
    )  # fmt: skip
    found = make_card(predictions(), facts=facts(), wrong=[one]).to_json()["wrong"][0]
    assert set(found) == {
        "key", "truth", "predicted", "probability", "truth_probability", "runner_up", "runner_up_probability", "layer",
        "nothing_positive",
    }  # fmt: skip


def test_numbers_are_rounded_and_what_is_no_number_or_no_text_is_mended() -> None:
    value = {"x": [1 / 3, nan, 12345678.9, 3], "name": "caf\udce9", "none": None, "tuple": (True, 1e-12)}
    assert tidy(value) == {
        "x": [0.333333, None, 12345700.0, 3],
        "name": "caf\ufffd",
        "none": None,
        "tuple": [True, 1e-12],
    }


def test_marks_are_ordered_from_the_surest_to_the_least_sure() -> None:
    card = make_card(predictions(), facts=facts())
    assert list(card.confidences) == sorted(card.confidences, reverse=True)
    assert sum(card.mistakes) == card.metrics.images - card.metrics.right
