"""What `striate train DATA` takes its words for."""

from pathlib import Path

import pytest

from striate.cli.words import training_request
from striate.errors import UsageError


def test_a_name_stays_a_name_beside_a_run_that_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert training_request("digits", "lenet5", [], None, resume=False).settings["data"] == "digits"
    with pytest.raises(UsageError, match="mine is a run, not images"):
        training_request("mine", "lenet5", [], None, resume=False)
    assert training_request("digits", "", [], None, resume=True).out == Path("digits")
