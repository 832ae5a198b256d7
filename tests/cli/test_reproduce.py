"""`striate reproduce`: sentences and exit codes."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.reproduce.conftest import RECIPE

ONE = ("--threads", "1", "--workers", "0", "--together", "1", "--quick")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone's folder with two recipes."""
    (tmp_path / "recipes").mkdir()
    small = RECIPE.replace("train_images = 100", "train_images = 60\ntest_images = 50").replace(
        "epochs = 2", "epochs = 1"
    )
    (tmp_path / "recipes" / "small.toml").write_text(small)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_result_is_stored_then_reproduced_and_a_changed_one_is_not(striate: Command, folder: Path) -> None:
    first = striate("reproduce", "small", "--store", *ONE)
    assert (first.code, first.out.count("\n")) == (0, 1)
    assert first.out.startswith("small --quick: stored in recipes/results/small.quick.json, and small.toml says so (")
    again = striate("reproduce", "small", *ONE)
    assert again.code == 0
    assert again.out.startswith("small --quick reproduces: all 2 arms lie in their intervals (test accuracy, %);")
    path = folder / "recipes/results/small.quick.json"
    whole = json.loads(path.read_text())
    for arm, value in (("without", 40.0), ("with", 95.0)):
        for i, run in enumerate(whole["arms"][arm]["runs"]):
            run["value"] = value + i
    path.write_text(json.dumps(whole))
    wrong = striate("reproduce", "--all", *ONE)
    assert wrong.code == 1
    assert wrong.out.startswith("small --quick does not reproduce: 'with': ")
    listed = striate("reproduce", "--list")
    assert listed.code == 0
    assert "small: Dropout helps. (nobody)\n  whole  not run yet\n  small  test accuracy, %: without " in listed.out
    assert "n = 2" in listed.out
    assert "time not measured" in listed.out
    assert "in all" not in listed.out


def test_times_are_kept_where_asked_for_and_added_up(striate: Command, folder: Path) -> None:
    assert striate("reproduce", "small", "--store", "--timed", *ONE).code == 0
    whole = json.loads((folder / "recipes/results/small.quick.json").read_text())
    assert whole["seconds"] > 0
    assert whole["together"] == 1
    (folder / "recipes/other.toml").write_text((folder / "recipes/small.toml").read_text())
    for name, seconds in (("small", 60.0), ("other", 75.0)):
        path = folder / f"recipes/results/{name}.quick.json"
        path.write_text(json.dumps(whole | {"seconds": seconds}))
    listed = striate("reproduce", "--list")
    assert listed.out.endswith("small forms: 2.2 min in all, 2 of 2 measured\n")
    both = striate("reproduce", "--all", *ONE)
    assert both.code == 0
    assert both.out.splitlines()[-1].startswith("2 of 2 reproduce, in ")


def test_a_recipe_without_a_small_form_is_left_out_and_named(striate: Command, folder: Path) -> None:
    assert striate("reproduce", "small", "--store", *ONE).code == 0
    large = "quick = false\n" + RECIPE[: RECIPE.index("[quick.work]")] + "[arms.without]\n[arms.with]\n"
    (folder / "recipes/large.toml").write_text(large)
    every = striate("reproduce", "--all", *ONE)
    assert every.code == 0
    assert every.out.startswith("small --quick reproduces: ")
    assert every.out.splitlines()[1:] == ["Left out, there is no small form: large"]
    named = striate("reproduce", "small", "large", *ONE)
    assert (named.code, named.out) == (2, "")  # before anything is run
    assert "recipes/large.toml: quick = false: there is no small form; the whole one runs without --quick:" in named.err
    assert "striate reproduce large" in named.err
    listed = striate("reproduce", "--list")
    assert listed.out.startswith(
        "large: Dropout helps. (nobody)\n  whole  not run yet\n  small  there is none\nsmall: "
    )


def test_what_was_not_run_is_no_success(striate: Command, folder: Path) -> None:
    said = striate("reproduce", "--all", *ONE)
    assert said.code == 1
    assert said.out == "small --quick was not run: it has no stored result to compare with\n"


def test_the_page_is_written(striate: Command, folder: Path) -> None:
    said = striate("reproduce", "--page", "docs")
    assert (said.code, said.out) == (0, "Wrote docs/results.md and 0 pictures\n")
    assert "Not run yet" in (folder / "docs/results.md").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "what should be reproduced?"),
        (("small", "--all"), 2, "one of them"),
        (("smal",), 2, "no recipe is called 'smal'; did you mean 'small'"),
        (("small", "--recipes", "docs"), 2, "holds no recipes"),
        (("small", "--timed"), 2, "--timed keeps the time in the stored result, so it needs --store"),
        (("small",), 2, "small has no stored result to compare with; --store keeps"),
    ],
)
def test_what_was_typed_wrong_is_said(
    striate: Command, folder: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = striate("reproduce", *words)
    assert answer.code == code
    assert said in answer.err


def test_published_weights_that_are_not_there_are_said(striate: Command, folder: Path) -> None:
    text = (Path(__file__).parents[2] / "recipes" / "deep_compression.toml").read_text()
    (folder / "recipes" / "deep_compression.toml").write_text(text)
    answer = striate("reproduce", "deep_compression", "--store", "--material", "nowhere")
    assert answer.code == 4
    assert "--material names the folder" in answer.err


def test_a_recipe_of_a_claim_given_to_train_names_the_right_command(striate: Command, folder: Path) -> None:
    answer = striate("train", "recipes/small.toml")
    assert answer.code == 2
    assert "run it: striate reproduce small" in answer.err
