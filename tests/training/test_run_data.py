"""Which images a run was trained on: whether they are still those, where they lie, what could not be read."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from striate.errors import (
    DatasetError,
    Interrupted,
    StriateError,
)
from striate.evaluation.job import evaluate
from striate.run.folder import read_json
from striate.training.job import train
from striate.training.recipe import read
from striate.training.report import Report, Timing
from tests.training.runs import Listener, files, go, half, options

CHANGES: dict[str, Callable[[Path], object]] = {
    "one byte": lambda d: Image.new("L", (12, 12), 7).save(d / "train" / "ant" / "00.png"),
    "one image less": lambda d: (d / "train" / "bee" / "01.png").unlink(),
    "one image more": lambda d: shutil.copy(d / "train" / "bee" / "01.png", d / "train" / "ant" / "99.png"),
    "another name": lambda d: (d / "val" / "bee" / "01.png").rename(d / "val" / "bee" / "1.png"),
    "another label": lambda d: (d / "train" / "bee" / "01.png").rename(d / "train" / "cat" / "01.png"),
    "another split": lambda d: (d / "val" / "bee" / "01.png").rename(d / "train" / "bee" / "91.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_have_changed_are_noticed_and_can_be_allowed(mine: Path, tmp_path: Path, change: str) -> None:
    out = half(mine, tmp_path / "r")
    CHANGES[change](mine)
    with pytest.raises(DatasetError, match="--allow-changed-data"):
        go(mine, out, resume=True)
    trained = go(mine, out, resume=True, allow_changed_data=True)
    assert [row["epoch"] for row in trained.rows] == [1, 2]


def test_classes_that_have_changed_can_not_be_allowed(mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    for role in ("train", "val"):
        (mine / role / "bee").rename(mine / role / "wasp")
    with pytest.raises(DatasetError, match=r"gone \['bee'\], new \['wasp'\]"):
        go(mine, out, resume=True, allow_changed_data=True)


def test_files_that_were_only_touched_have_not_changed(finished: Path, mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    for path in mine.rglob("*.png"):
        os.utime(path, (0, 0))
    go(mine, out, resume=True)
    assert files(out)["model.safetensors"] == files(finished)["model.safetensors"]


def test_a_run_is_resumed_from_another_working_directory(
    finished: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    half(Path("mine"), Path("r"))
    assert read(Path("r/recipe.toml")).data == str(mine)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    train(out=Path("../r"), resume=True, options=options())
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


def test_images_that_lie_elsewhere_by_now_are_taken_from_there(finished: Path, mine: Path, tmp_path: Path) -> None:
    out = half(mine, tmp_path / "r")
    mine.rename(tmp_path / "moved")
    with pytest.raises(StriateError, match="mine"):
        go(mine, out, resume=True)
    go(tmp_path / "moved", out, resume=True)
    assert files(out)["model.safetensors"] == files(finished)["model.safetensors"]


def test_a_name_stays_a_name_even_where_a_folder_is_called_so(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the sources have it: the name wins."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(images, tmp_path / "digits")
    with pytest.raises(Interrupted):
        go("digits", tmp_path / "r", listener=Listener(1), batch=512)
    assert read(tmp_path / "r" / "recipe.toml").data == "digits"
    assert len(read_json(tmp_path / "r" / "config.json")["classes"]) == 10
    with pytest.raises(Interrupted):
        go("./digits", tmp_path / "s", listener=Listener(1))
    assert read(tmp_path / "s" / "recipe.toml").data == str(tmp_path / "digits")


def test_what_can_not_be_read_is_left_out_by_name(finished: Path, mine: Path, tmp_path: Path) -> None:
    (mine / "train" / "ant" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (mine / "val" / "bee" / "text.jpg").write_text("no image")
    listener = Listener()
    go(mine, tmp_path / "r", listener=listener)
    stored = read_json(tmp_path / "r" / "config.json")["data"]
    assert {(q["role"], Path(q["key"]).name) for q in stored["quarantined"]} == {
        ("train", "bad.png"),
        ("val", "text.jpg"),
    }
    assert all(len(q["reason"]) > 5 for q in stored["quarantined"])
    assert stored["counts"]["train"]["ant"] == 9
    (said,) = listener.warnings
    assert said.startswith("2 of 34 images can't be read: ")
    assert "bad.png" in said
    assert listener.plans[0].quarantined == 2
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


def test_strictly_nothing_is_left_out(mine: Path, tmp_path: Path) -> None:
    (mine / "train" / "ant" / "bad.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"1 of 33 images can't be read: .*bad\.png"):
        go(mine, tmp_path / "r", strict=True)
    assert not (tmp_path / "r").exists()


def test_an_image_that_goes_missing_while_training_stops_it_by_name_and_it_can_be_resumed(
    finished: Path, mine: Path, tmp_path: Path
) -> None:
    victim = mine / "train" / "ant" / "00.png"
    data = victim.read_bytes()

    class Remove(Report):
        def epoch(self, row: dict[str, Any], timing: Timing) -> None:
            victim.unlink()

    with pytest.raises(DatasetError, match=r"ant/00\.png was readable at the start"):
        go(mine, tmp_path / "r", keep=0, listener=Remove(), save_every=0)
    victim.write_bytes(data)
    go(mine, tmp_path / "r", resume=True)
    assert files(tmp_path / "r")["model.safetensors"] == files(finished)["model.safetensors"]


def test_named_data_are_found_again_where_they_were(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    copy = tmp_path / "data"
    (copy / "mnist").mkdir(parents=True)
    for role, n in (("train", 60), ("t10k", 20)):
        for kind, size in (("images-idx3", 784), ("labels-idx1", 1)):
            file = f"{role}-{kind}-ubyte.gz"
            with gzip.open(shared / "data" / "mnist" / file) as whole:
                head = bytearray(whole.read(16 if size > 1 else 8))
                body = whole.read(n * size)
            head[4:8] = n.to_bytes(4, "big")
            with gzip.open(copy / "mnist" / file, "wb") as short:
                short.write(bytes(head) + body)
    out = tmp_path / "r"
    one = {"epochs": 1, "batch": 16, "augment": "none"}
    train("mnist", "lenet5", out=out, options=options(data_dir=copy), **one)
    assert read_json(out / "config.json")["data"]["found_in"] == str(copy.resolve())
    assert evaluate(out).to_json()["accuracy"]["images"] == 20
    shutil.rmtree(out / "last")
    assert train(out=out, resume=True, options=options()).rows
    (copy / "mnist").rename(tmp_path / "away")
    with pytest.raises(DatasetError, match="not found in"):
        evaluate(out)
