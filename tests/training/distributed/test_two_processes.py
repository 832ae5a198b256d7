"""Two processes that train one network: equal to one process, to themselves after a stop, and one voice for all.

Both processes are started once, and carry out all the trainings one after the other.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.data.shards.packing import pack
from striate.errors import DataError, DatasetError, RecipeError, UsageError
from striate.models import registry
from striate.run.folder import read_model
from striate.training.job import train
from striate.training.options import Options
from tests.training.conftest import write_images
from tests.training.distributed.worker import register_networks
from tests.training.runs import files

ROOT = Path(__file__).parents[3]
BASE: dict[str, Any] = {"epochs": 2, "batch": 6, "lr": 0.02, "augment": "hflip", "precision": "float32"}
SYNCHRONISED = BASE | {"model": "test_normed", "sync_batch_norm": True}
MIXED = {"augment": "mixup:0.4 cutmix:1", "class_weights": "balanced", "smoothing": 0.1, "clip": 0.5, "ema": 0.9}
EQUAL = {  # trainings in which nothing depends on the process
    "without batch norm": BASE | {"model": "test_plain"},
    "synchronised batch norm": SYNCHRONISED,
    "an idle process": SYNCHRONISED | {"batch": 11},
    "accumulated, of unequal parts": SYNCHRONISED | {"batch": 5, "accumulate": 2},
    "mixed labels, weights, averages": BASE | MIXED | {"model": "test_plain"},
    "cached features": BASE | {"model": "test_plain", "freeze": "relu", "features": "cached", "augment": "none"},
    "cached, then not": BASE
    | {
        "model": "test_plain",
        "freeze": "relu",
        "features": "cached",
        "augment": "none",
        "unfreeze": [{"epoch": 2, "down_to": "all"}],
    },
    "sgd, a plateau": BASE | {"model": "test_plain", "optimizer": "sgd", "schedule": "plateau", "patience": 1},
}
UNLIKE = BASE | {"model": "test_norm"}  # batch norm of each part, and dropout of its own in each process
FROZEN = BASE | {"model": "test_norm", "freeze": "conv", "unfreeze": [{"epoch": 2, "down_to": "all"}]}


def together(jobs: dict[str, Any], where: Path, world: int = 2) -> list[dict[str, Any]]:
    """What each process answers, by job."""
    where.mkdir()
    (where / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.training.distributed.worker", where / "jobs.json", where / "answers"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=270)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(said)
    return [json.loads((where / f"answers-{rank}.json").read_text(encoding="utf-8")) for rank in range(world)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def bands(home: Path) -> Path:
    return write_images(home / "bands")


@pytest.fixture(scope="module")
def networks(small_networks: None) -> Iterator[None]:
    register_networks()
    yield
    del registry._entries["test_normed"], registry._names["test_normed"]


@pytest.fixture(scope="module")
def answers(home: Path, bands: Path, networks: None) -> list[dict[str, Any]]:
    others = write_images(home / "others", train=26)
    (home / "alone").mkdir()
    pack(str(bands), home / "bands in shards", size=8000)
    train(bands, out=home / "by one", options=Options(threads=1, workers=0), **UNLIKE | {"epochs": 1})

    def job(name: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"data": str(bands), "out": str(home / name), "settings": settings} | more

    jobs = {name: job(name, settings) for name, settings in EQUAL.items()}
    jobs |= {
        "unlike": job("unlike", UNLIKE),
        "stopped": job("stopped", UNLIKE, what="signal", rank=1, step=3),
        "gone on": job("stopped", {}, resume=True),
        "stopped at the end": job("late", UNLIKE, what="signal", rank=0, step=7),
        "gone on at the end": job("late", {}, resume=True),
        "frozen": job("frozen", FROZEN),
        "frozen, stopped": job("frozen again", FROZEN, what="signal", rank=0, step=5),
        "frozen, gone on": job("frozen again", {}, resume=True),
        "of one process": job("by one", {}, resume=True),
        "not a number": job("nan", UNLIKE, what="nan", rank=1, step=3),
        "looked at later": job("later", UNLIKE, together=3),
        "stopped, looked at later": job("later again", UNLIKE, what="signal", rank=1, step=1, together=3),
        "gone on, looked at later": job("later again", {}, resume=True, together=3),
        "not a number, looked at later": job("nan later", UNLIKE, what="nan", rank=1, step=2, together=3),
        "small batch": job("small", UNLIKE | {"batch": 3}),
        "by hand": job("hand", UNLIKE | {"engine": "by-hand"}),
        "other images": job("other", UNLIKE) | {"data_of_others": str(others)},
        "shards": job("shards", UNLIKE) | {"data": str(home / "bands in shards")},
        "nothing there": job("none", UNLIKE) | {"data": str(home / "alone")},
    }
    return together(jobs, home / "work")


def test_two_processes_train_on_shards_as_on_the_folder_that_they_were_made_of(
    answers: list[dict[str, Any]], home: Path
) -> None:
    assert "error" not in answers[0]["shards"], answers[0]["shards"]
    for name in ("model.safetensors", "results.csv"):
        assert (home / "shards" / name).read_bytes() == (home / "unlike" / name).read_bytes()


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_train_to_what_one_trains_to_with_the_same_batch(
    name: str, answers: list[dict[str, Any]], home: Path, bands: Path, tmp_path: Path
) -> None:
    alone = train(bands, out=tmp_path / "alone", options=Options(threads=1, workers=0), **EQUAL[name])
    assert "error" not in answers[0][name], answers[0][name]
    for row, expected in zip(answers[0][name]["rows"], alone.rows, strict=True):
        assert {k: row[k] for k in ("step", "lr", "train_accuracy", "val_accuracy", "best")} == {
            k: expected[k] for k in ("step", "lr", "train_accuracy", "val_accuracy", "best")
        }
        assert (row["train_loss"], row["val_loss"]) == pytest.approx(
            (expected["train_loss"], expected["val_loss"]), 1e-5
        )
    weights, expected_weights = (read_model(run / "model.safetensors")[0] for run in (home / name, alone.folder))
    for key, tensor in weights.items():
        torch.testing.assert_close(
            tensor, expected_weights[key], rtol=1e-4, atol=2e-5, msg=lambda m, key=key: f"{key}: {m}"
        )


def test_both_processes_keep_the_same_account(answers: list[dict[str, Any]]) -> None:
    done = [name for name, answer in answers[0].items() if "rows" in answer]
    assert len(done) >= len(EQUAL) + 3
    assert all(answers[0][name]["rows"] == answers[1][name]["rows"] for name in done)
    assert all(answers[0][name]["folder"] == answers[1][name]["folder"] for name in done)


def test_batch_norm_of_the_parts_and_own_dropout_make_another_training(
    answers: list[dict[str, Any]], bands: Path, tmp_path: Path
) -> None:
    """Or the comparisons above could not fail."""
    alone = train(bands, out=tmp_path / "alone", options=Options(threads=1, workers=0), **UNLIKE)
    assert answers[0]["unlike"]["rows"][0]["train_loss"] != pytest.approx(alone.rows[0]["train_loss"], 1e-3)


@pytest.mark.parametrize(("stopped", "whole"), [("stopped", "unlike"), ("late", "unlike"), ("frozen again", "frozen")])
def test_a_run_that_one_process_was_told_to_stop_goes_on_to_the_same_bytes(
    stopped: str, whole: str, answers: list[dict[str, Any]], home: Path
) -> None:
    by_name = {"stopped": "gone on", "late": "gone on at the end", "frozen again": "frozen, gone on"}
    assert "error" not in answers[0][by_name[stopped]], answers[0][by_name[stopped]]
    assert files(home / stopped) == files(home / whole)


def test_a_signal_to_one_process_stops_both_after_the_same_step(answers: list[dict[str, Any]]) -> None:
    said = [answer["stopped"] for answer in answers]
    assert [one["error"] for one in said] == ["Interrupted", "Interrupted"]
    assert (
        said[0]["message"] == said[1]["message"] == "stopped by SIGTERM at epoch 1, batch 4 of 4; go on with --resume"
    )


@pytest.mark.parametrize("run", ["later", "later again"])
def test_processes_that_look_at_the_numbers_of_three_batches_at_once_train_to_the_same_bytes(
    run: str, answers: list[dict[str, Any]], home: Path
) -> None:
    assert answers[0]["stopped, looked at later"]["message"].startswith("stopped by SIGTERM at epoch 1, batch 4 of 4")
    assert "error" not in answers[0]["gone on, looked at later"]
    assert files(home / run) == files(home / "unlike")


def test_a_number_that_went_wrong_is_told_by_both_when_they_look(answers: list[dict[str, Any]]) -> None:
    leader, other = (answer["not a number, looked at later"] for answer in answers)
    assert leader["message"] == other["message"]
    assert "step 3: the loss is nan: weights of conv.weight are not finite" in leader["message"]


@pytest.mark.parametrize("name", ["stopped", "not a number", "small batch", "by hand", "other images", "nothing there"])
def test_one_process_tells_what_went_wrong(name: str, answers: list[dict[str, Any]]) -> None:
    assert sorted(answer[name]["told"] for answer in answers) == [False, True]


def test_where_the_numbers_of_one_process_go_wrong_both_name_the_layer(
    answers: list[dict[str, Any]], home: Path
) -> None:
    leader, other = (answer["not a number"] for answer in answers)
    assert leader["error"] == other["error"] == "TrainingError"
    assert leader["message"] == other["message"]
    assert "step 4: the loss is nan: weights of conv.weight are not finite" in leader["message"]
    assert not list((home / "nan" / "last").glob("*"))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("small batch", RecipeError, "batch = 3 is too small for 2 processes"),
        ("by hand", RecipeError, "works in one process"),
        ("other images", DataError, 'process 1 has another plan than process 0: "images = '),
        ("nothing there", DatasetError, "alone"),
        ("of one process", UsageError, "was begun by 1 process, not 2"),
    ],
)
def test_what_can_not_be_shared_is_refused(
    name: str, kind: type[Exception], words: str, answers: list[dict[str, Any]]
) -> None:
    (teller,) = (answer[name] for answer in answers if not answer[name]["told"])
    assert teller["error"] == kind.__name__
    assert words in teller["message"]


def test_nothing_is_left_of_a_training_that_was_refused(answers: list[dict[str, Any]], home: Path) -> None:
    assert not (home / "small").exists()
    assert not (home / "hand").exists()


def test_a_run_of_two_processes_is_not_gone_on_with_by_one(answers: list[dict[str, Any]], home: Path) -> None:
    assert answers
    with pytest.raises(UsageError, match=r"was begun by 2 processes, not 1: .* give --nproc 2"):
        train(out=home / "unlike", resume=True)


def test_the_run_says_how_many_processes_made_it(answers: list[dict[str, Any]], home: Path) -> None:
    assert answers
    assert json.loads((home / "unlike" / "config.json").read_text(encoding="utf-8"))["machine"]["processes"] == 2


@pytest.mark.slow
def test_three_processes_are_as_good_as_two(home: Path, bands: Path, networks: None, tmp_path: Path) -> None:
    """With three, the order in which numbers are added can matter, and parts are unequal."""
    settings = SYNCHRONISED | {"batch": 8}

    def job(name: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"data": str(bands), "out": str(tmp_path / name), "settings": settings} | more

    jobs = {
        "whole": job("whole", settings),
        "stopped": job("again", settings, what="signal", rank=2, step=1),
        "gone on": job("again", {}, resume=True),
    }
    leader, *others = together(jobs, tmp_path / "work", world=3)
    assert leader["stopped"]["error"] == "Interrupted"
    assert files(tmp_path / "again") == files(tmp_path / "whole")
    alone = train(bands, out=tmp_path / "alone", options=Options(threads=1, workers=0), **settings)
    for row, expected in zip(leader["whole"]["rows"], alone.rows, strict=True):
        assert (row["train_loss"], row["val_loss"]) == pytest.approx(
            (expected["train_loss"], expected["val_loss"]), 1e-5
        )
    assert all(other["whole"]["rows"] == leader["whole"]["rows"] for other in others)
