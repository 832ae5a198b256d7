"""The command line with several processes: signals, kills, one line of error, torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from striate.cli.launch import follows, speaks
from striate.cli.main import main
from striate.errors import UsageError
from striate.training.distributed.joining import several
from tests.training.runs import files, rows
from tests.training.test_kill import check_readable

STRIATE = [sys.executable, "-m", "striate"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TRAIN = ["train", "digits", "--model", "lenet5", "--no-evaluate", "--quiet", "--save-every", "0.1"]


def started(run: Path, *more: str, batch: int = 64, command: list[str] | None = None) -> subprocess.Popen[str]:
    words = [*(command or STRIATE), *TRAIN, "--out", str(run), "--set", "epochs=3", "--set", f"batch={batch}", *more]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | {"GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until_saved(run: Path, process: subprocess.Popen[str]) -> None:
    """Until there is a checkpoint, so that training is under way."""
    while process.poll() is None and not list((run / "last").glob("step-*")):
        time.sleep(0.05)


def workers(parent: int) -> list[int]:
    """Processes below one, that train: those without processes of their own."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        below.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, todo = [], [parent]
    while todo:
        todo = [child for one in todo for child in below.get(one, [])]
        found += [one for one in todo if not below.get(one)]
    return sorted(found)


def came_out(run: Path) -> dict[str, bytes]:
    """Without the picture of the curves, which shows how long an epoch took."""
    return {name: content for name, content in files(run).items() if name != "curves.png"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("launch") / "whole"
    process = started(run, "--nproc", "2")
    assert process.communicate(timeout=250) == ("", "")
    assert process.returncode == 0
    return run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_stops_all_and_the_run_goes_on_to_the_same_bytes(
    number: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = started(run, "--nproc", "2")
    until_saved(run, process)
    process.send_signal(number)
    said = process.communicate(timeout=250)[1]
    assert process.returncode == 128 + number, said
    assert said.count("\n") == 1
    assert f"stopped by {number.name}" in said
    again = started(run, "--nproc", "2", "--resume")
    assert again.communicate(timeout=250)[1] == ""
    assert came_out(run) == came_out(whole)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_one_line_and_the_run_goes_on(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(run, "--nproc", "2")
    until_saved(run, process)
    os.kill(workers(process.pid)[-1], signal.SIGKILL)
    said = process.communicate(timeout=250)[1]
    assert process.returncode == 3
    assert said.count("\n") == 1
    assert "was killed by SIGKILL" in said
    check_readable(run)
    again = started(run, "--nproc", "2", "--resume")
    assert again.communicate(timeout=250)[1] == ""
    assert came_out(run) == came_out(whole)


@pytest.mark.slow
def test_torchrun_starts_again_after_a_killed_worker_and_nothing_is_lost(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    elastic = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "-m", "striate"]
    process = started(run, "--threads", "1", command=elastic)
    until_saved(run, process)
    os.kill(workers(process.pid)[-1], signal.SIGKILL)
    said = process.communicate(timeout=280)[1]
    assert process.returncode == 0, said
    assert came_out(run) == came_out(whole)


@pytest.mark.slow
def test_without_its_launcher_a_training_stops_and_can_be_gone_on_with(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(run, "--nproc", "2")
    until_saved(run, process)
    children = workers(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    again = started(run, "--nproc", "2", "--resume")
    assert again.communicate(timeout=250)[1] == ""
    assert came_out(run) == came_out(whole)


@pytest.mark.slow
def test_what_is_wrong_is_said_once_and_with_its_exit_code(tmp_path: Path) -> None:
    process = started(tmp_path / "run", "--nproc", "2", batch=2)
    said = process.communicate(timeout=250)[1]
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "batch = 2 is too small for 2 processes" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_of_the_command_line_learn_as_one_does(whole: Path, tmp_path: Path) -> None:
    process = started(tmp_path / "one")
    process.communicate(timeout=250)
    one, two = (float(rows(run)[-1]["val_accuracy"]) for run in (tmp_path / "one", whole))
    assert one == pytest.approx(two, abs=0.05)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT not; `torchrun` sets them all"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
            "RANK=2 and WORLD_SIZE=2: ranks are 0 to 1",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "-1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
            "RANK='-1' in the environment: expected a whole number",
        ),
    ],
)
def test_an_environment_that_is_not_whole_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        several(environment)
    assert words in str(caught.value)


def test_alone_there_is_nobody_to_meet() -> None:
    assert not several({})
    assert not several({"WORLD_SIZE": "1", "RANK": "0"})


def test_nproc_within_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", "--model", "lenet5", "--nproc", "2"])
    assert stop.value.code == 2
    assert "torchrun has started the processes already; leave out --nproc" in capsys.readouterr().err


def test_of_several_processes_one_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    error = UsageError("m")
    assert speaks(error)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert follows()
    assert not speaks(error)
    error.told = False  # type: ignore[attr-defined]  # nobody else has told it
    assert speaks(error)
