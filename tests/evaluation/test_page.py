"""The page: one file that asks for nothing, runs nothing, and says what the card says."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from striate.evaluation import charts, plots
from striate.evaluation.calibration import reliability
from striate.evaluation.card import Card, Example, Facts, Quarantined, Rival, make_card
from striate.evaluation.confusion import FOCUS, confusion_map, in_focus
from striate.evaluation.metrics import Share, measure
from striate.evaluation.origins import recipe_sentence
from striate.evaluation.page import card_html
from striate.evaluation.parts import plain
from striate.evaluation.predictions import Predictions

VOID = {"meta", "br", "img"}
HARMLESS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "aside", "figure", "div",
    "figcaption", "span", "p", "b", "h1", "h2", "h3", "ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr",
    "th", "td", "small", "code", "bdi", "details", "summary", "img", "svg", "rect", "line", "circle", "path", "text",
    "g",
}  # fmt: skip
PIXEL = bytes.fromhex("89504e470d0a1a0a")


class Page(HTMLParser):
    """Elements, attributes, text; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[name] += 1
        self.attributes += [(name, key, value or "") for key, value in attributes]
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def guess(n: int, k: int, skill: float = 3.0, seed: int = 0, role: str = "test") -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, size=n)
    z = rng.normal(size=(n, k)) + skill * np.eye(k)[truth]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return Predictions(
        tuple(f"{role}/{i}.png" for i in range(n)), truth, p, tuple(f"class {i}" for i in range(k)), role
    )


def known(p: Predictions, **changes: object) -> Facts:
    counts = {"train": dict.fromkeys(p.classes, 7), p.role: dict.fromkeys(p.classes, 3)}
    values = {
        "run": "my run",
        "model": "lenet5",
        "data": "digits",
        "counts": counts,
        "preprocess": "gray; 28x28.",
        "same_data": True,
    }
    return Facts(**(values | changes))  # type: ignore[arg-type]


def example(truth: str, predicted: str, **changes: object) -> Example:
    values = {
        "key": "k/1.png", "truth": truth, "predicted": predicted, "probability": 0.9, "truth_probability": 0.05,
        "runner_up": truth, "runner_up_probability": 0.05, "layer": "conv3", "nothing_positive": False,
        "image": PIXEL, "evidence": PIXEL,
    }  # fmt: skip
    return Example(**(values | changes))  # type: ignore[arg-type]


ROWS = [
    {
        "epoch": float(e), "train_loss": 2 / e, "val_loss": 1.5 / e, "train_accuracy": 1 - 0.8 / e,
        "val_accuracy": 1 - 0.7 / e, "best": float(e == 4),
    }
    for e in range(1, 6)
]  # fmt: skip
RECIPE = {"epochs": 5, "batch": 32, "optimizer": "adamw", "lr": 0.002, "loss": "cross_entropy", "augment": "hflip"}
COST = {"input": [1, 28, 28], "parameters": 61706, "macs": 416520, "weight_bytes": 246824, "training_s": 75.0}


def full(p: Predictions, **changes: object) -> Card:
    names = p.classes
    about = known(
        p, quarantined=(Quarantined("bad.png", "train", "cut off"),), notes=("A note.",), fingerprint="ab" * 32,
        cost=COST, recipe=RECIPE, environment={"torch": "2.13"}, made="2026-11-21", chosen_on="val",
        chosen_how="epoch 4 of 5",
    )  # fmt: skip
    mirrored = replace(p, probabilities=p.probabilities[:, ::-1])
    values = {
        "facts": about,
        "val_predictions": replace(guess(60, len(names), 1.0, 9, "val"), classes=names),
        "wrong": [example(names[0], names[1]), example(names[1], names[0], nothing_positive=True)],
        "unsure": [example(names[0], names[0])],
        "curves": ROWS,
        "compare_with": [Rival("other run", mirrored, (("lr", "0.1", "0.2"),))],
    }
    return make_card(p, **(values | changes))  # type: ignore[arg-type]


def assert_harmless(html: str) -> Page:
    page = Page(html)
    assert set(page.elements) <= HARMLESS, "script, link, iframe, object, form ... have no place here"
    for name, key, value in page.attributes:
        assert not key.startswith("on"), (name, key)
        if key in {"src", "href", "data", "action", "xlink:href", "srcset", "poster"}:
            assert (name, key) == ("img", "src")
            assert value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
        assert "javascript:" not in value.lower()
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http:" not in html
    assert "https:" not in html
    return page


SIZES = [(2, 40), (10, 300), (26, 400), (100, 1500), (300, 900)]


@pytest.mark.parametrize(("k", "n"), SIZES)
def test_the_page_is_whole_harmless_and_asks_for_nothing_for_any_number_of_classes(k: int, n: int) -> None:
    html = card_html(full(guess(n, k)))
    page = assert_harmless(html)
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src 'none'" in html
    assert not re.search(r'="[^"]*\b(nan|inf)\b', html), "every place of every mark is a number"
    assert len(html) < 1_500_000
    assert page.elements["h1"] == 1


HOSTILE = (
    '<script>alert("cats")</script>', "\"><img src=x onerror=alert(1)>", "</title></style><svg onload=alert(2)>",
    "a & b, 'c'\n\"d\"", "\u202eevil\x00", "", " ", "'); DROP", "{{7*7}}", "漢字 עברית 🐱",
)  # fmt: skip


def test_names_that_are_code_are_shown_and_never_run() -> None:
    p = replace(guess(200, len(HOSTILE), 1.0), classes=HOSTILE, keys=tuple(f"<b onclick=x>{i}</b>" for i in range(200)))
    script = HOSTILE[0]
    recipe = {"epochs": 1, "batch": 2, "optimizer": script, "lr": 0.1, "augment": HOSTILE[1], script: script}
    facts = known(
        p, run=script, model=HOSTILE[1], data=HOSTILE[2], preprocess=script, chosen_how=script, trained_on=HOSTILE[1],
        quarantined=(Quarantined(script, HOSTILE[1], HOSTILE[2]),), notes=HOSTILE, fingerprint=script, made=script,
        recipe=recipe, environment={script: HOSTILE[1]}, cost={"input": [script]},
    )  # fmt: skip
    wrong = [example(script, HOSTILE[1], key=HOSTILE[2], layer=script)]
    rivals = [Rival(script, p, ((script, HOSTILE[1], HOSTILE[2]),))]
    page = assert_harmless(card_html(full(p, facts=facts, wrong=wrong, unsure=wrong, compare_with=rivals)))
    assert script in page.text
    assert HOSTILE[1] in page.text
    assert "漢字 עברית 🐱" in page.text
    assert "\u202e" not in page.text
    assert "\x00" not in page.text


def test_the_page_says_what_the_card_says() -> None:
    card = full(guess(300, 10, 2.0))
    page = Page(card_html(card))
    text = " ".join(page.text.split())
    worst = card.metrics.confusions()[0]
    for words in (
        card.headline,
        f"{worst.count} of {worst.images} “{worst.truth}” were called “{worst.predicted}”",
        "Grad-CAM at layer conv3", "nothing positive found", "1 file left out", "ab" * 32, "61,706 (247 kB)",
        "5 epochs in batches of 32 with AdamW, learning rate 0.002; cross-entropy loss; augmentation: hflip; seed 0.",
        "417 thousand", "1 min 15 s", "Gray; 28x28.", "epoch 4 of 5", "kept: 4", "than ‘other run’ by",
        "lr: 0.1 here, 0.2 there", "exact McNemar test", "Dividing the logits by", "2026-11-21",
        "A perfectly calibrated network would show about",
    ):  # fmt: skip
        assert " ".join(words.split()) in text, words
    for one in card.cautions:
        assert " ".join(one.text.split()) in text


def test_a_grave_caution_is_seen_at_the_top_and_a_clean_card_has_none() -> None:
    p = guess(300, 3, 4.0)
    clean = card_html(make_card(p, facts=known(p, chosen_on="val", seen_in_training=0)))
    assert "<aside" not in clean
    assert "No image of this split was used in training, and none to choose the weights." in Page(clean).text
    grave = card_html(make_card(replace(p, role="val"), facts=known(p, chosen_on="val")))
    assert grave.index("<aside") < grave.index('class="figures"')
    assert '<h1 class="doubt">' in grave
    assert "Read this first" in grave
    unknown = card_html(make_card(p, facts=known(p, same_data=None)))
    assert "Whether any of these images was used in training is not known." in Page(unknown).text


@pytest.mark.parametrize("case", ["one image", "all right", "all wrong", "a class without images", "no facts"])
def test_the_page_stands_when_there_is_little_to_say(case: str) -> None:
    p = guess(50, 3, 2.0)
    if case == "one image":
        p = guess(1, 2)
    elif case == "all right":
        p = replace(p, probabilities=np.eye(3)[p.truth])
    elif case == "all wrong":
        p = replace(p, probabilities=np.eye(3)[(p.truth + 1) % 3])
    elif case == "a class without images":
        p = replace(p, truth=p.truth % 2)
    page = assert_harmless(card_html(make_card(p, facts=Facts(run="", model="", data="", counts={}, preprocess=""))))
    assert "It made no mistake" in page.text or case != "all right"


def test_every_picture_has_words_and_every_image_an_alt() -> None:
    page = Page(card_html(full(guess(300, 10))))
    labels = [value for name, key, value in page.attributes if (name, key) == ("svg", "aria-label")]
    hidden = [value for name, key, value in page.attributes if (name, key) == ("svg", "aria-hidden")]
    assert len(labels) + len(hidden) == page.elements["svg"]
    assert all(len(label) > 10 for label in labels)
    alts = [value for name, key, value in page.attributes if (name, key) == ("img", "alt")]
    assert len(alts) == page.elements["img"]
    assert all(alts)
    scopes = [value for name, key, value in page.attributes if (name, key) == ("th", "scope")]
    assert len(scopes) == page.elements["th"], "every head of a table says what it heads"


def test_light_dark_print_and_phone_are_provided_for() -> None:
    html = card_html(make_card(guess(10, 2), facts=known(guess(10, 2))))
    for words in (
        "@media screen and (prefers-color-scheme: dark)",
        "@media print",
        "@media (max-width",
        'name="viewport"',
        'content="light dark"',
    ):
        assert words in html


@pytest.mark.parametrize("k", [2, 4, 10, 24, 50, 100])
def test_the_confusion_matrix_names_every_class_twice_and_marks_every_cell_that_is_not_empty(k: int) -> None:
    metrics = measure(guess(20 * k, k, 2.0))
    drawn = confusion_map(metrics)
    page = Page(drawn)
    kinds = Counter(value for name, key, value in page.attributes if (name, key) == ("rect", "class"))
    filled = metrics.confusion > 0
    assert kinds["hit"] == int(np.diag(filled).sum())
    assert kinds["miss"] == int(filled.sum() - np.diag(filled).sum())
    labels = Counter(re.findall(r">(class \d+)</text>", drawn))
    assert labels == dict.fromkeys((f"class {i}" for i in range(k)), 2)
    sizes = [float(value) for name, key, value in page.attributes if key == "font-size"]
    assert min(sizes) >= 8.5, "small print has a limit; the box scrolls instead"


def test_with_too_many_classes_the_matrix_shows_those_that_are_confused_most() -> None:
    metrics = measure(guess(3000, 300, 3.0))
    chosen = in_focus(metrics)
    assert FOCUS <= len(chosen) <= FOCUS + 1
    worst = metrics.confusions()[0]
    names = {metrics.classes[i].name for i in chosen}
    assert {worst.truth, worst.predicted} <= names


@pytest.mark.parametrize(("n", "wrong"), [(1, 0), (7, 7), (360, 5), (1200, 600), (10_000, 63), (50_000, 49_999)])
def test_the_field_shows_every_mistake_however_many_images_share_a_mark(n: int, wrong: int) -> None:
    mistakes = [i < wrong for i in range(n)]
    page = Page(charts.field_of_images([0.9] * n, mistakes))
    kinds = Counter(value for _, key, value in page.attributes if key == "class")
    share = -(-n // charts.MARKS)
    groups = [mistakes[i : i + share] for i in range(0, n, share)]
    assert kinds["miss"] == sum(any(group) for group in groups)
    assert kinds["hit"] == sum(not all(group) for group in groups)


def test_a_row_of_the_class_table_lies_where_its_numbers_are() -> None:
    page = Page(charts.whisker(Share(0.75, 0.6, 0.9), 0.5))
    place = {
        (name, key): float(value)
        for name, key, value in page.attributes
        if key in {"cx", "x", "width"} and name != "line"
    }
    assert place["circle", "cx"] == pytest.approx(90)  # halfway from 0.5 to 1 on 6..174
    assert place["rect", "x"] == pytest.approx(6 + 0.2 * 168)
    assert place["rect", "width"] == pytest.approx(0.6 * 168)
    assert charts.whisker(None, 0.5) == ""


def test_the_reliability_diagram_has_a_point_for_each_bin_with_images() -> None:
    p = guess(400, 3, 1.0)
    bins = reliability(p.confidence, p.right)
    page = Page(plots.reliability(bins))
    points = [float(value) for name, key, value in page.attributes if (name, key) == ("circle", "cy")]
    want = [350 - 340 * b.right.value for b in bins if b.right]
    assert points == pytest.approx(want, abs=0.01)


def test_curves_are_drawn_where_there_is_something_to_draw() -> None:
    drawn = plots.curves(ROWS, "accuracy", "Accuracy")
    assert drawn is not None
    assert "kept: 4" in drawn
    assert drawn.count("<path") == 2
    assert plots.curves(ROWS[:1], "loss", "Loss") is None
    assert plots.curves([], "loss", "Loss") is None
    alone = plots.curves([{**row, "val_loss": None} for row in ROWS], "loss", "Loss")
    assert alone is not None
    assert alone.count("<path") == 1
    for flat in (0.0, 1.0, 1e-9, 2.5):
        rows = [{"epoch": float(e), "train_loss": flat, "train_accuracy": min(flat, 1.0)} for e in (1, 2, 3)]
        for quantity in ("loss", "accuracy"):
            assert "nan" not in (plots.curves(rows, quantity, "x") or "nan")


def test_a_recipe_that_is_not_known_is_not_made_up() -> None:
    assert recipe_sentence({}) == ""
    assert recipe_sentence({"epochs": 3}) == ""
    assert plain(None) == "none"


@pytest.mark.parametrize(
    ("boldness", "verdict"),
    [(1.0, "can be taken at their word"), (3.0, "surer than it should be"), (0.3, "more often right than it says")],
)
def test_the_words_about_calibration_fit_a_network_that_was_made_so(boldness: float, verdict: str) -> None:
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(2000, 4))
    exact = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    truth = (exact.cumsum(1) < rng.random((2000, 1))).sum(1).clip(max=3)
    claimed = exact**boldness / (exact**boldness).sum(1, keepdims=True)
    p = Predictions(tuple(map(str, range(2000))), truth, claimed, tuple("abcd"), "test")
    text = Page(card_html(make_card(p, facts=known(p)))).text
    said = [
        one
        for one in ("taken at their word", "surer than it should be", "more often right than it says")
        if one in text
    ]
    assert said == [verdict.removeprefix("can be ")]
