"""`striate models`, `summary`, `compare` and `look diagram`: what they print and write."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_models_shows_a_sheet_for_a_name_and_a_table_for_a_pattern(striate: Command) -> None:
    assert "printed there" in striate("models", "resnet18").out
    assert "printed there" not in striate("models", "resnet18*").out
    both = [json.loads(striate("models", word, "--json").out) for word in ("alexnet", "alexnet*")]
    assert [one["name"] for one in both[0]] == ["alexnet_torchvision"]
    assert len(both[1]) == 4
    assert both[0][0]["macs"] == 714_188_480


def test_summary_takes_batch_depth_and_writes_a_page(striate: Command, tmp_path: Path) -> None:
    said = striate("summary", "lenet5", "--batch", "8", "--optimiser", "adam", "--html", tmp_path / "lenet.html")
    assert said.code == 0
    assert "Memory for a batch of 8, Adam" in said.out
    assert (tmp_path / "lenet.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(striate("summary", "resnet18", "--depth", "1").out) < len(striate("summary", "resnet18", "--every").out)


def test_json_is_alone_on_the_output(striate: Command, tmp_path: Path) -> None:
    found = json.loads(striate("summary", "lenet5", "--json", "--html", tmp_path / "a.html").out)
    assert found["totals"]["parameters"] == 61_706
    networks = json.loads(striate("compare", "resnet18", "--json", "-o", tmp_path / "a.png").out)["networks"]
    assert networks[0]["reached"]["top1"] == 69.758
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_compare_draws_and_writes_a_page(striate: Command, tmp_path: Path) -> None:
    said = striate("compare", "resnet18", "vgg16", "-o", tmp_path / "a.svg", "--html", tmp_path / "a.html")
    assert said.code == 0
    assert "not measured here" in said.out
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "vgg16" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_diagram_writes_a_picture(striate: Command, tmp_path: Path) -> None:
    assert striate("look", "diagram", "lenet5", "-o", tmp_path / "lenet.svg").code == 0
    assert "5×5 conv, 120" in (tmp_path / "lenet.svg").read_text(encoding="utf-8")
    assert striate("look", "diagram", "lenet5", "-o", tmp_path / "lenet.png").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models", "resnet19"], "resnet18"),
        (["summary", "lenet5", "--every", "--depth", "1"], "give one of them"),
        (["summary", "lenet5", "--batch", "2", "--optimiser", "adamm"], "adam"),
        (["compare", "resnet19"], "resnet18"),
        (["compare", "resnet18", "--from", "hearsay"], "weights, paper"),
        (["compare", "resnet18", "-o", "a.gif"], ".svg or .png"),
        (["look", "diagram", "lenet5", "-o", "a"], ".svg or .png"),
    ],
)
def test_mistakes_end_in_one_line(striate: Command, words: list[str], said: str) -> None:
    answer = striate(*words)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "nasnet_a_large", "cifar_resnet1202", "stochastic_depth_resnet1202"])
def test_a_summary_takes_less_than_a_second_beyond_importing_torch(name: str) -> None:
    """Processor time, since others may be using the machine; the least of three, whose files are in memory by then."""

    def seconds(*arguments: str) -> float:
        found = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(found)

    assert seconds("-m", "striate", "summary", name) - seconds("-c", "import torch") < 1.0
