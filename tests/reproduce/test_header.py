"""What a recipe's header says of its stored result is written by the program, and nothing else is touched."""

import tomllib
from pathlib import Path

import pytest

from striate.errors import RecipeError
from striate.reproduce.experiment import Experiment
from striate.reproduce.header import restate, speaks_for
from striate.reproduce.reading import open_experiment
from striate.reproduce.result import Measured, Outcome, Result, store


def result_of(experiment: Experiment, machine: str = 'a "machine"') -> Result:
    outcomes = tuple(Outcome(arm.name, (Measured(90.0), Measured(91.0))) for arm in experiment.arms)
    return Result(experiment.name, experiment.quick, experiment.digest, "2026-11-21", machine, 100, outcomes)


def test_lines_are_rewritten_or_put_in_and_all_else_stays(recipes: Path) -> None:
    path = recipes / "small.toml"
    path.write_text(path.read_text().replace('who = "nobody"', 'who = "nobody"  # as far as is known'))
    before, rest = tomllib.loads(path.read_text()), path.read_text().partition("[work]")[2]
    experiment = open_experiment(recipes, "small", quick=True)
    for machine in ('a "machine"', "another one"):
        restate(experiment, result_of(experiment, machine))
        assert "# as far as is known" in path.read_text()
        assert path.read_text().partition("[work]")[2] == rest
        claim = open_experiment(recipes, "small", quick=True).claim
        assert (claim.hardware, claim.n, str(claim.measured)) == (machine, 2, "2026-11-21")
        assert claim.command == "striate reproduce small --quick"
    after = tomllib.loads(path.read_text())
    told = ("command", "hardware", "n", "measured")
    assert {k: v for k, v in after["claim"].items() if k not in told} == {
        k: v for k, v in before["claim"].items() if k not in told
    }
    assert open_experiment(recipes, "small", quick=True).digest == experiment.digest


def test_the_header_speaks_of_the_whole_form_once_it_is_stored(recipes: Path) -> None:
    whole, quick = (open_experiment(recipes, "small", quick=form) for form in (False, True))
    assert speaks_for(whole)
    assert speaks_for(quick)
    store(result_of(whole), whole)
    assert speaks_for(whole)
    assert not speaks_for(quick)


def test_a_header_that_is_written_otherwise_is_left_alone(recipes: Path) -> None:
    path = recipes / "small.toml"
    path.write_text(path.read_text().replace('command = "striate', '"command" = "striate'))
    before = path.read_text()
    experiment = open_experiment(recipes, "small")
    with pytest.raises(RecipeError, match="write them yourself: command = "):
        restate(experiment, result_of(experiment))
    assert path.read_text() == before
