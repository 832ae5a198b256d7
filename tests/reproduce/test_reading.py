"""Recipes of claims: what they say, and what is wrong in them."""

from pathlib import Path

import pytest

from striate.errors import RecipeError, UnknownName
from striate.reproduce.experiment import Published, Trained, Transferred
from striate.reproduce.reading import names, open_experiment, read_experiment, read_forms

PLACES = [  # what is changed, what is said of it
    ('says = "Dropout helps."', 'say = "Dropout helps."', r"claim.say: no such key; did you mean 'says'"),
    ("seeds = 2", "seeds = 0", r"work.seeds = 0: input should be greater than or equal to 1"),
    ("seeds = 2", "seeds = 1", r"work.tolerance must say how far"),
    ('baseline = "without"', 'baseline = "witout"', r"'witout': no such arm; did you mean 'without'"),
    ("epochs = 2", 'epochs = "auto"', r"epochs must be given, so that it is the same on every machine"),
    ("size = 28", "", r"size must be given"),
    ("lr = 0.05", "rl = 0.05", r"no setting is called 'rl'"),
    ("dropout = 0.5", "drop = 0.5", r"with.drop: no such key; did you mean 'dropout'"),
    ("dropout = 0.5", "dropout = 1.5", r"dropout = 1.5: input should be less than 1"),
    ('data = "digits"', 'data = "digits"\nmodel = "lenet5"', r"a model and a \[network\]"),
    ("[quick.work]", "[quick.claim]", r"quick.claim: only work, settings, options, network and arms may differ"),
    ("[quick.work]", "[quick.arms]", r"quick.arms.train_images: no such arm"),
    ("[quick.work]", "[quick.arms.with.work]", r"quick.arms.with: 'work': expected settings, options or network"),
    ("[arms.with.network]", '[arms.with]\nagainst = "witout"\n[arms.with.network]', r"did you mean 'without'"),
    ("[network]", "[networks]", r"no table is called 'networks'; did you mean 'network'"),
    ("[arms.with.network]", "[arms.with.networks]", r"'networks': expected settings, options or network"),
]


@pytest.mark.parametrize(("was", "now", "said"), PLACES)
def test_a_mistake_is_named_with_its_place(recipes: Path, was: str, now: str, said: str) -> None:
    path = recipes / "small.toml"
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now, 1))
    with pytest.raises(RecipeError, match=said) as error:
        read_experiment(path)
    assert str(error.value).startswith(str(path))


def test_the_small_form_changes_what_it_says_and_nothing_else(recipes: Path) -> None:
    whole, quick = (open_experiment(recipes, "small", quick=form) for form in (False, True))
    assert (whole.work.train_images, quick.work.train_images) == (200, 100)
    assert whole.work.model_copy(update={"train_images": 100}) == quick.work
    assert [arm.does for arm in whole.arms] == [arm.does for arm in quick.arms]
    assert whole.result_path != quick.result_path


def test_a_recipe_may_have_no_small_form(recipes: Path) -> None:
    path = recipes / "small.toml"
    assert [form.form for form in read_forms(path)] == ["small", "small --quick"]
    before = read_experiment(path)
    text = path.read_text().replace("[quick.work]\ntrain_images = 100\n", "")
    path.write_text("quick = false\n" + text)
    assert read_forms(path) == (before,)  # and what decides the result is as it was
    with pytest.raises(RecipeError, match=r"there is no small form; the whole one .*: striate reproduce small$") as no:
        open_experiment(recipes, "small", quick=True)
    assert str(no.value).startswith(f"{path}: quick = false: ")
    path.write_text("quick = true\n" + text)
    with pytest.raises(
        RecipeError, match=r"quick = True: expected a table \[quick\], or false: there is no small form"
    ):
        read_experiment(path)


@pytest.mark.parametrize(
    ("kind", "arm", "type_"),
    [
        ("published", 'model = "m"\nweights = "w"\nsize = 8\nprepare = "caffe"', Published),
        ("compressed", 'model = "m"\nweights = "w"\nsize = 8\nprepare = "caffe"', Published),
        ("transfer", "images = 3", Transferred),
        ("training", "", Trained),
    ],
)
def test_what_an_arm_does_is_of_the_kind_of_its_recipe(recipes: Path, kind: str, arm: str, type_: type) -> None:
    path = recipes / "small.toml"
    text = (
        path.read_text().replace("[network]\n", "").replace("[arms.with.network]\ndropout = 0.5", "[arms.with]\n" + arm)
    )
    text = text.replace("[arms.without]", "[arms.without]\n" + arm).replace('"digits"', '"digits"\nmodel = "lenet5"')
    path.write_text(text.replace("[work]", f'[work]\nkind = "{kind}"'))
    whole = read_experiment(path)
    assert [type(one.does) for one in whole.arms] == [type_, type_]
    assert whole.against == {"with": "without"}
    assert bool(whole.trained) is (type_ is Trained)
    path.write_text(path.read_text().replace("[arms.with]", '[arms.with]\nagainst = "witout"'))
    with pytest.raises(RecipeError, match=r"arms.with: against = 'witout': no such arm; did you mean 'without'"):
        read_experiment(path)


def test_arms_differ_in_what_they_say(recipes: Path) -> None:
    without, with_ = open_experiment(recipes, "small").trained.values()
    assert without.recipe == with_.recipe
    assert without.network is not None
    assert with_.network == without.network.model_copy(update={"dropout": 0.5})


def test_the_digest_is_of_what_decides_the_result(recipes: Path) -> None:
    path = recipes / "small.toml"
    text, before = path.read_text(), open_experiment(recipes, "small").digest
    for was, now, same in (
        ('says = "Dropout helps."', 'says = "It does."', True),
        ('baseline = "without"', 'baseline = "with"', True),
        ("lr = 0.05", "lr = 0.06", False),
        ("seeds = 2", "seeds = 3", False),
        ("dropout = 0.5", "dropout = 0.4", False),
        ("seeds = 2", "seeds = 2\ncosts = true", True),
        ("seeds = 2", 'seeds = 2\ncounted = "training"', False),
        ("[arms.without]", '[arms.without]\nagainst = "with"', True),
        ("[network]", "[options]\nwidth = 0.5\n[network]", False),
        ("[quick.work]\ntrain_images = 100", "[quick.work]\ntrain_images = 90", True),
    ):
        path.write_text(text.replace(was, now))
        assert (open_experiment(recipes, "small").digest == before) is same, was


def test_an_unknown_name_is_answered_with_the_nearest(recipes: Path) -> None:
    with pytest.raises(UnknownName, match="no recipe is called 'smal'; did you mean 'small'"):
        open_experiment(recipes, "smal")


def test_a_folder_without_recipes_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no recipes"):
        open_experiment(tmp_path, "small")


def test_recipes_of_plain_trainings_lie_beside_those_of_claims(recipes: Path) -> None:
    (recipes / "plain.toml").write_text('model = "lenet5"\ndata = "digits"\n')
    assert names(recipes) == ["small"]
    with pytest.raises(RecipeError, match=r"plain\.toml claims nothing; to train by it: striate train .*plain\.toml"):
        open_experiment(recipes, "plain")


def test_the_small_form_may_change_or_leave_out_an_arm(recipes: Path) -> None:
    path = recipes / "small.toml"
    text = path.read_text().replace("[network]\n", "").replace("[arms.with.network]\ndropout = 0.5", "[arms.with]")
    path.write_text(
        text.replace('data = "digits"', 'data = "digits"\nmodel = "lenet5"')
        + """
[options]
a = 1
b = 1

[arms.with.options]
b = 2

[arms.third]
against = "with"

[quick.arms]
third = false

[quick.arms.with.options]
c = 3

[quick.arms.with.settings]
lr = 0.01
"""
    )
    whole, quick = (open_experiment(recipes, "small", quick=form) for form in (False, True))
    assert list(whole.trained) == ["without", "with", "third"]
    options = [[dict(arm.options) for arm in form.trained.values()] for form in (whole, quick)]
    assert options[0] == [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}]
    assert options[1] == [{"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 3}]
    assert [arm.recipe.lr for arm in quick.trained.values()] == [0.05, 0.01]
    assert whole.against == {"with": "without", "third": "with"}
    assert quick.against == {"with": "without"}
