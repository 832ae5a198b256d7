"""Recipes: what is written is read back, and whoever mistypes is told what, where, and what was expected."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import preprocess
from striate.errors import RecipeError
from striate.training import recipe as recipes
from striate.training.recipe import Recipe, expected, parse, read, read_settings

MUST = {"model": "lenet5", "data": "digits"}
share = st.floats(0, 1, exclude_max=True)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
auto = st.just("auto")

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model": names,
    "data": names,
    "seed": st.integers(0, 2**63 - 1),
    "val_share": share,
    "group_by": st.text(st.characters(exclude_categories=("Cs",))),
    "size": st.integers(0, 4096),
    "channels": st.sampled_from(["auto", "gray", "rgb"]),
    "resize": st.sampled_from(["auto", "crop", "letterbox", "stretch", "pad"]),
    "interpolation": st.sampled_from(["nearest", "box", "bilinear", "bicubic", "lanczos"]),
    "augment": names,
    "epochs": auto | st.integers(1, 100_000),
    "batch": auto | st.integers(1, 65_536),
    "accumulate": st.integers(1, 4096),
    "optimizer": st.sampled_from(["sgd", "rmsprop", "adam", "adamw"]),
    "lr": st.floats(0, 100, exclude_min=True),
    "momentum": share,
    "nesterov": st.booleans(),
    "weight_decay": st.floats(0, 10),
    "schedule": st.sampled_from(["constant", "step", "plateau", "cosine", "onecycle"]),
    "warmup": share,
    "step_epochs": st.integers(1, 10**9),
    "patience": st.integers(1, 10**9),
    "stop_after": st.integers(0, 10**9),
    "loss": st.sampled_from(["auto", "cross_entropy", "bce", "mse"]),
    "smoothing": share,
    "class_weights": st.sampled_from(["none", "balanced"]) | st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5),
    "clip": st.floats(0, 1e30),
    "ema": share,
    "precision": st.sampled_from(["auto", "float32", "bf16"]),
    "channels_last": auto | st.booleans(),
    "compile": auto | st.booleans(),
    "sync_batch_norm": st.booleans(),
    "engine": st.sampled_from(["torch", "by-hand"]),
    "weights": st.text(st.characters(exclude_categories=("Cs",))),
    "weights_to": names,
    "freeze": names,
    "unfreeze": st.lists(st.integers(2, 99), max_size=4, unique=True)
    .map(sorted)
    .flatmap(
        lambda epochs: st.tuples(
            *(
                st.fixed_dictionaries({"epoch": st.just(e), "down_to": names}, optional={"lr": st.floats(1e-9, 100)})
                for e in epochs
            )
        ).map(list)
    ),
    "norms": st.sampled_from(["auto", "keep", "train"]),
    "head_factor": st.floats(1e-9, 1000),
    "layer_decay": st.floats(0, 1, exclude_min=True),
    "features": st.sampled_from(["auto", "cached", "live"]),
    "views": st.integers(0, 1000),
}


def test_the_strategies_know_every_setting() -> None:
    assert list(VALUES) == list(Recipe.model_fields)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({k: VALUES[k] for k in MUST}, optional={k: v for k, v in VALUES.items() if k not in MUST}))
def test_a_recipe_that_is_written_is_read_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    made = Recipe.make(values)
    path = tmp_path_factory.mktemp("r") / "recipe.toml"
    path.write_text(made.to_toml(), encoding="utf-8", newline="")
    assert read(path) == made
    assert read(path).to_toml() == made.to_toml()
    for key, value in values.items():
        assert getattr(made, key) == value
        assert type(getattr(made, key)) is type(value)


def test_what_is_not_given_has_its_default_and_the_text_states_all() -> None:
    made = Recipe.make(MUST)
    assert (made.lr, made.seed, made.epochs, made.class_weights) == (0.002, 0, "auto", "none")
    for key in Recipe.model_fields:
        assert f"{key} = " in made.to_toml()


def test_a_recipe_can_not_be_changed() -> None:
    with pytest.raises(ValueError):
        Recipe.make(MUST).lr = 1.0  # type: ignore[misc]


def test_whole_numbers_are_taken_where_a_share_is_meant() -> None:
    made = Recipe.make(MUST | {"lr": 1, "weight_decay": 0, "class_weights": [1, 2]})
    assert (made.lr, made.weight_decay, made.class_weights) == (1.0, 0.0, [1.0, 2.0])
    assert type(made.lr) is float


# -- errors ------------------------------------------------------------------------------------------------------------

WRONG: dict[str, list[Any]] = {
    "model": ["", 3, None, ["lenet5"]],
    "data": ["", 3, "folder\udcff", None],
    "seed": [-1, 2**63, 0.5, "0", True, None],
    "val_share": [-0.1, 1, 1.0, "0.1", math.nan, True],
    "group_by": [1, "\udcff"],
    "size": [-1, 4097, 32.0, [32, 32], True],
    "channels": ["grey", "RGB", 3, 1],
    "resize": ["crp", "", 0],
    "interpolation": ["cubic", 3],
    "augment": [3, ["hflip"], None],
    "epochs": [0, -1, 100_001, "aut", 1.0, True, None],
    "batch": [0, 65_537, "many", 32.0, True],
    "accumulate": [0, 4097, "auto", 1.0],
    "optimizer": ["adm", "SGD", 3],
    "lr": [0, -1, 101, 1e9, math.nan, math.inf, "fast", True, None],
    "momentum": [1, -0.1, math.nan],
    "nesterov": ["True", 1, 0.0, None],
    "weight_decay": [-1e-9, 11, math.nan, math.inf],
    "schedule": ["linear", "Cosine", ["cosine"]],
    "warmup": [1, -0.1, math.nan],
    "step_epochs": [0, 1.5],
    "patience": [0, -3],
    "stop_after": [-1, 2.0],
    "loss": ["ce", "nll", 1],
    "smoothing": [1, 1.5, -0.1, math.nan],
    "class_weights": ["even", [], [1.0, 0.0], [1.0, -1.0], [math.nan], [math.inf], ["a"], [[1.0]], [True], 1.0, None],
    "clip": [-1, math.nan, math.inf],
    "ema": [1, -0.1, math.nan],
    "precision": ["fp16", "float64", 32],
    "channels_last": ["yes", 1, 0, None],
    "compile": ["yes", 1, 0.0, None],
    "sync_batch_norm": ["True", 1, 0.0, None],
    "engine": ["numpy", "by_hand", 1, None],
    "weights": [3, None, "\udcff", ["imagenet"]],
    "weights_to": ["", 3, None],
    "freeze": ["", 3, None, True, "\udcff"],
    "unfreeze": [
        "layer4",
        3,
        None,
        [3],
        [{}],
        [{"epoch": 3}],
        [{"epoch": 1, "down_to": "a"}],
        [{"epoch": 3, "down_to": ""}],
        [{"epoch": 3, "down_to": 4}],
        [{"epoch": 3.0, "down_to": "a"}],
        [{"epoch": True, "down_to": "a"}],
        [{"epoch": 3, "down_to": "a", "lr": 0}],
        [{"epoch": 3, "down_to": "a", "lr": "x"}],
        [{"epoch": 3, "down_to": "a", "momentum": 0.5}],
        [{"epoch": 3, "down_to": "\udcff"}],
        [{"epoch": 3, "down_to": "a"}, {"epoch": 3, "down_to": "b"}],
    ],
    "norms": ["freeze", "", True],
    "head_factor": [0, -1, 1001, math.nan, "high"],
    "layer_decay": [0, 1.01, -1, math.nan, None],
    "features": ["cache", "", 1],
    "views": [-1, 1001, 1.5, True],
}


def test_something_wrong_is_known_for_every_setting() -> None:
    assert list(WRONG) == list(Recipe.model_fields)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_is_named_with_its_setting_and_what_was_expected(key: str, value: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.make(MUST | {key: value}, "my.toml")
    said = str(caught.value)
    assert said.startswith(f"my.toml: {key} = {value!r}: expected ")
    assert expected(key) in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lr", "a number, above 0, at most 100"),
        ("momentum", "a number, at least 0, below 1"),
        ("seed", "a whole number, at least 0, below 9223372036854775808"),
        ("epochs", "'auto' or a whole number, at least 1, at most 100000"),
        ("batch", "'auto' or a whole number, at least 1, at most 65536"),
        ("nesterov", "true or false"),
        ("channels_last", "'auto' or true or false"),
        ("optimizer", "'sgd' or 'rmsprop' or 'adam' or 'adamw'"),
        ("resize", "'auto' or 'crop' or 'letterbox' or 'stretch' or 'pad'"),
        ("class_weights", "'none' or 'balanced' or for each class a number, above 0"),
        ("data", "text, not empty"),
        ("unfreeze", "a list of {epoch = 3, down_to = 'STEP', lr = 0.0001}"),
    ],
)
def test_what_was_expected_states_the_type_and_the_range(key: str, said: str) -> None:
    assert expected(key) == said


@pytest.mark.parametrize(
    ("values", "near"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam' or 'adamw'?"),
        ({"resize": "crp"}, "did you mean 'crop'?"),
        ({"epochs": "aut"}, "did you mean 'auto'?"),
        ({"class_weights": "balance"}, "did you mean 'balanced'?"),
        ({"momentun": 0.5}, "did you mean 'momentum'?"),
        ({"learning_rate": 0.5}, "see `striate train --settings`"),
        ({"epoch": 3}, "did you mean 'epochs'"),
    ],
)
def test_the_nearest_right_name_is_offered(values: dict[str, Any], near: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.make(MUST | values)
    assert near in str(caught.value)


def test_what_must_be_given_is_asked_for() -> None:
    for values, missing in (({}, "model and data"), ({"model": "a"}, "data"), ({"data": "a"}, "model")):
        with pytest.raises(RecipeError, match=f"recipe: {missing} must be given"):
            Recipe.make(values)


# -- words of the command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=3", 3),
        ("x=0.5", 0.5),
        ("x=1e-3", 1e-3),
        ("x=true", True),
        ("x=sgd", "sgd"),
        ("x='hflip crop:4'", "hflip crop:4"),
        ('x="hflip crop:4"', "hflip crop:4"),
        ("x=hflip crop:4", "hflip crop:4"),
        ("x=[1, 2.5]", [1, 2.5]),
        (r"x=(\d+)_", r"(\d+)_"),
        ("x=a=b", "a=b"),
        ("x=", ""),
        (" x =3", 3),
        ("x=2024-01-01", "2024-01-01"),
        ("x=12:30:00", "12:30:00"),
        ("x={a = 1}", "{a = 1}"),
        ("x=C:\\data", "C:\\data"),
        ("x=../my images", "../my images"),
        ("x=0x10", 16),
        ("x=007", "007"),
        ("x=" + "[" * 20_000, "[" * 20_000),
    ],
)
def test_a_word_is_read_as_in_toml_or_else_as_it_stands(word: str, value: Any) -> None:
    found = parse([word])
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_word_is_a_setting_or_an_error_that_shows_it(word: str) -> None:
    try:
        (value,) = parse([word]).values()
    except RecipeError as error:
        said = str(error)
    else:
        assert isinstance(value, bool | int | float | str | list)
        return
    assert repr(word) in said


@pytest.mark.parametrize("word", ["lr", "", "=", "=3", " =3"])
def test_a_word_without_a_key_or_a_value_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(RecipeError, match="for example lr="):
        parse([word])


def test_a_setting_that_is_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="lr is given twice"):
        parse(["lr=1", "lr=2"])


# -- files -------------------------------------------------------------------------------------------------------------


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_words_change_what_a_file_says(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", 'model = "lenet5"\ndata = "digits"\nlr = 0.1\n')
    found = read(path, ["lr=0.2", "epochs=3"])
    assert (found.lr, found.epochs, found.model) == (0.2, 3, "lenet5")


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", b'\xef\xbb\xbfmodel = "lenet5"\r\ndata = "digits"\r\n')
    assert read(path) == Recipe.make(MUST)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"lr = 0.1\nlr = 0.2\n", "line 2"),
        (b"lr 0.1\n", "line 1"),
        (b"a = 1\nlr =\n", "line 2"),
        (b"\xff\xfe", "not a text file in UTF-8"),
        (b"lr = 0.1\x00", "not valid TOML"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path, text: bytes, said: str) -> None:
    path = write(tmp_path / "r.toml", text)
    with pytest.raises(RecipeError, match=said) as caught:
        read_settings(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(RecipeError, match="can't be read") as caught:
            read_settings(path)
        assert str(path) in str(caught.value)


def test_a_wrong_setting_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.toml", 'model = "lenet5"\ndata = "digits"\n[training]\nlr = 0.1\n')
    with pytest.raises(RecipeError, match="no setting is called 'training'") as caught:
        read(path)
    assert str(path) in str(caught.value)


# -- one fact, one place -----------------------------------------------------------------------------------------------


def test_the_rules_of_resizing_are_those_of_the_preprocessing() -> None:
    assert get_args(recipes.Resize) == get_args(preprocess.Resize)
    assert get_args(recipes.Interpolation) == get_args(preprocess.Interpolation)


def test_every_setting_is_described() -> None:
    for name, field in Recipe.model_fields.items():
        assert len(field.description or "") >= 10, name


def test_a_recipe_is_checked_without_torch() -> None:
    code = "import sys; from striate.training.recipe import Recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
