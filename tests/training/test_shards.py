"""A training on tar shards is the training on the folder that they were made of, to the byte."""

from pathlib import Path

import pytest

from striate.data.shards.packing import pack
from striate.evaluation.job import evaluate
from tests.training.runs import chain, files, go, half

SAME = ("model.safetensors", "results.csv", "preprocess.json")


@pytest.fixture(scope="module")
def shards(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of `images` in several shards a role."""
    out = tmp_path_factory.mktemp("shards") / "bands"
    pack(str(images), out, size=8000)
    assert len(list(out.glob("train-*.tar"))) > 2
    return out


def same(run: Path, other: Path) -> bool:
    one, two = files(run), files(other)
    return all(one[name] == two[name] for name in SAME)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_shards_train_the_same_bytes_as_their_folder(
    finished: Path, shards: Path, tmp_path: Path, workers: int
) -> None:
    go(shards, tmp_path / "run", workers=workers, keep=0)
    assert same(tmp_path / "run", finished)


def test_a_pattern_trains_the_same_bytes_and_is_found_again_from_elsewhere(
    finished: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shards)
    last = {role: len(list(shards.glob(f"{role}-*.tar"))) - 1 for role in ("train", "val")}
    pattern = "::".join(f"{role}-{{00000..{n:05}}}.tar" for role, n in last.items())
    go(pattern, tmp_path / "run")
    assert same(tmp_path / "run", finished)
    monkeypatch.chdir(tmp_path)
    assert evaluate(tmp_path / "run").metrics.images == 7


@pytest.mark.parametrize("how", ["signal", "kill"])
def test_a_training_on_shards_that_is_stopped_and_resumed_is_the_same(
    finished: Path, shards: Path, tmp_path: Path, how: str
) -> None:
    assert chain(shards, tmp_path / "run", iter([2, 5]), how) == 2
    assert same(tmp_path / "run", finished)


def test_a_run_on_a_folder_goes_on_with_its_shards(images: Path, finished: Path, shards: Path, tmp_path: Path) -> None:
    half(images, tmp_path / "run")
    go(shards, tmp_path / "run", resume=True)
    assert same(tmp_path / "run", finished)
    assert evaluate(tmp_path / "run", shards).facts.same_data
