"""The command line as a whole: mistakes, exit codes, machine-readable output."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.cli.main import explain
from striate.errors import StriateError
from tests.cli.conftest import Command

CODES = {0, 2, 3, 4, 5, 130, 143}
WORDS = [
    "train", "evaluate", "predict", "doctor", "models", "summary", "look", "augment", "data", "list", "demo",
    "digits", "lenet5", "nowhere", "--model", "--set", "lr=0.1", "lr=x", "--json", "--help", "-h", "--top",
    "-1", "0", "", "--", "-", "--resume", "--out", "a\nb", "--no-such-flag", "é", "\udcff", "--workers", "9999",
    "resnet*", "[", "--size",
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train"], 2, "what should be learnt"),
        (["train", "digits"], 2, "--model"),
        (["train", "digits", "--model", "lenet6"], 2, "lenet5"),
        (["train", "digit", "--model", "lenet5"], 2, "digits"),
        (["train", "digits", "--model", "lenet5", "--set", "learning_rate=1"], 2, "learning_rate"),
        (["train", "digits", "--model", "lenet5", "--set", "lr=fast"], 2, "lr = 'fast'"),
        (["train", "digits", "--model", "lenet5", "--set", "lr"], 2, "key=value"),
        (["train", "digits", "--model", "lenet5", "--set", "augment=rotate:10"], 2, "rotation"),
        (["train", "digits", "--model", "lenet5", "--set", "class_weights=[1,2]"], 2, "10 classes"),
        (["train", "digits", "--model", "lenet5", "--set", "loss=bce"], 2, "two classes"),
        (["train", "digits", "--resume"], 2, "--resume"),
        (["train", "digits", "--model", "lenet5", "--out", "/dev/null"], 2, "/dev/null"),
        (["train", "missing.toml"], 2, "missing.toml"),
        (["evaluate", "nowhere"], 4, "nowhere"),
        (["predict", "nowhere", "x.png"], 4, "nowhere"),
        (["summary", "resnet81"], 2, "resnet18"),
        (["models", "zzz*"], 2, "zzz*"),
        (["look", "augment", "digits", "spin:3"], 2, "spin"),
        (["doctor", "nowhere"], 2, "nowhere"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_its_exit_code(
    striate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = striate(*words)
    assert answer.code == code, answer.err
    assert said in answer.err
    assert not list(tmp_path.iterdir()), "a usage error wrote something"


def test_summary_and_models_answer_as_json(striate: Command) -> None:
    summary = json.loads(striate("summary", "lenet5", "--json").out)
    assert "61706" in json.dumps(summary)
    listed = json.loads(striate("models", "--json").out)
    assert "lenet5" in json.dumps(listed)


def test_summary_of_a_run_is_that_of_its_model(striate: Command, small_run: Path) -> None:
    said = striate("summary", small_run)
    assert said.code == 0, said.err
    assert "61,706" in said.out


def test_settings_are_listed_with_their_defaults(striate: Command) -> None:
    said = striate("train", "--settings")
    assert said.code == 0
    assert "smoothing" in said.out
    assert "0.002" in said.out


def test_the_same_command_twice_refuses_to_overwrite_a_run(striate: Command, small_run: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in small_run.iterdir() if p.is_file() and p.name != ".lock"}
    said = striate("train", "digits", "--model", "lenet5", "--out", small_run)
    assert said.code == 2
    assert "already holds a run" in said.err
    assert {p.name: p.stat().st_mtime_ns for p in small_run.iterdir() if p.name in before} == before


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "striate", "train", "digits", "--debug"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("striate: which network?")


def test_an_error_that_nobody_foresaw_is_called_a_bug() -> None:
    message, code = explain(ZeroDivisionError("x"))
    assert code == 1
    assert "bug in Striate" in message
    assert explain(StriateError("y")) == ("y", 4)
    assert explain(OSError(28, "No space left on device", "f"))[1] == 3


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS), max_size=5))
def test_any_words_end_in_a_known_exit_code_and_never_in_a_traceback(
    striate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Words that would really train are left out: they are what the other tests are about."""
    monkeypatch.chdir(tmp_path)
    if words and words[0] == "demo" and not {"--help", "-h", "--no-such-flag"} & set(words):
        return
    if "train" in words and "--model" in words and "lenet5" in words:
        return
    assert striate(*words).code in CODES
