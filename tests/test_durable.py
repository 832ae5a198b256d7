"""A file that matters is the old one or the new one, never half of either; a folder has one writer."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate import durable
from striate.errors import Busy, EnvironmentFault

OLD = b"the old content"


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that says a word when it is ready."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=st.binary(max_size=300), new=st.binary(max_size=300))
def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "file.bin"
    durable.write_bytes(path, old)
    assert path.read_bytes() == old
    durable.write_bytes(path, memoryview(new))
    assert path.read_bytes() == new
    assert names(tmp_path) == ["file.bin"]


def test_texts_are_utf_8_and_json_keeps_the_order_of_its_keys(tmp_path: Path) -> None:
    durable.write_text(tmp_path / "t", "naïve 猫\n")
    assert (tmp_path / "t").read_bytes() == "naïve 猫\n".encode()
    durable.write_json(tmp_path / "j", {"b": 1, "a": [0.1, None, "猫"]})
    assert (tmp_path / "j").read_text(
        encoding="utf-8"
    ) == '{\n  "b": 1,\n  "a": [\n    0.1,\n    null,\n    "猫"\n  ]\n}\n'


def test_a_number_that_json_does_not_know_is_refused_before_the_old_file_is_touched(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(OLD)
    with pytest.raises(ValueError):
        durable.write_json(tmp_path / "j", {"loss": float("nan")})
    assert (tmp_path / "j").read_bytes() == OLD


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- faults ------------------------------------------------------------------------------------------------------------


def the_file_is_as_it_was(folder: Path) -> bool:
    return (folder / "file").read_bytes() == OLD and names(folder) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_call_that_fails_leaves_the_old_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    (tmp_path / "file").write_bytes(OLD)

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    if call == "write":

        class Full:
            def __init__(self, file: object) -> None:
                self.file = file

            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()  # type: ignore[attr-defined]

            write = fail

        opened = Path.open
        monkeypatch.setattr(Path, "open", lambda self, *a, **k: Full(opened(self, *a, **k)))
    else:
        monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(EnvironmentFault) as caught:
        durable.write_bytes(tmp_path / "file", b"x" * 12_345)
    monkeypatch.undo()
    assert the_file_is_as_it_was(tmp_path)
    assert str(tmp_path / "file") in str(caught.value)
    assert "12,345 bytes" in str(caught.value)
    assert os.strerror(number) in str(caught.value)


def test_a_disk_that_takes_only_the_first_bytes_never_shows_them(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write short as a full disk does: after each possible number of bytes."""
    (tmp_path / "file").write_bytes(OLD)
    done = run(
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from striate import durable\n"
        "from striate.errors import EnvironmentFault\n"
        "path, refused = Path(sys.argv[1]) / 'file', 0\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "for limit in range(100):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))\n"
        "    try:\n"
        "        durable.write_bytes(path, b'n' * 100)\n"
        "    except EnvironmentFault:\n"
        "        refused += 1\n"
        "    assert path.read_bytes() == b'the old content', limit\n"
        "    assert os.listdir(path.parent) == ['file'], limit\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))\n"
        "durable.write_bytes(path, b'n' * 100)\n"
        "sys.exit(refused != 100)\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == b"n" * 100


def test_no_file_handle_left_is_said_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    done = run(
        "import resource, sys, traceback, encodings.idna\n"
        "from pathlib import Path\n"
        "from striate import durable\n"
        "from striate.errors import EnvironmentFault\n"
        "for what in (lambda p: durable.write_bytes(p / 'file', b'x'), lambda p: durable.lock(p).__enter__()):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "    try:\n"
        "        what(Path(sys.argv[1]))\n"
        "    except EnvironmentFault as error:\n"
        "        print(error)\n",
        tmp_path,
    )
    assert done.stdout.count("Too many open files") == 2, done.stderr
    assert the_file_is_as_it_was(tmp_path)


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    """In a process of its own, which gives up root where it has it: root may write anywhere."""
    done = run(
        "import os, shutil, sys, tempfile\n"
        "from pathlib import Path\n"
        "from striate import durable\n"
        "from striate.errors import EnvironmentFault\n"
        "folder = Path(tempfile.mkdtemp())\n"
        "try:\n"
        "    (folder / 'file').write_bytes(b'the old content')\n"
        "    folder.chmod(0o555)\n"
        "    was = os.geteuid()\n"
        "    if was == 0:\n"
        "        os.seteuid(65534)\n"
        "    for what in (lambda: durable.write_bytes(folder / 'file', b'x'),\n"
        "                 lambda: durable.make_folder(folder / 'a'),\n"
        "                 lambda: durable.lock(folder).__enter__(), lambda: durable.claim(folder / 'b').__enter__()):\n"
        "        try:\n"
        "            what()\n"
        "        except EnvironmentFault as error:\n"
        "            assert 'Permission denied' in str(error) and str(folder) in str(error), error\n"
        "        else:\n"
        "            sys.exit('it was allowed')\n"
        "    assert (folder / 'file').read_bytes() == b'the old content'\n"
        "    assert os.listdir(folder) == ['file']\n"
        "finally:\n"
        "    os.seteuid(was)\n"
        "    folder.chmod(0o755)\n"
        "    shutil.rmtree(folder)\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda folder: folder / "missing" / "file", "No such file or directory"),
        (lambda folder: folder / "plain" / "file", "Not a directory"),
        (lambda folder: folder / "folder", "Is a directory"),
        (lambda folder: folder / ("n" * 300), "File name too long"),
    ],
)
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, make: Callable[[Path], Path], cause: str) -> None:
    (tmp_path / "plain").write_bytes(OLD)
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFault, match=cause) as caught:
        durable.write_bytes(make(tmp_path), b"x")
    assert str(make(tmp_path)) in str(caught.value)
    assert names(tmp_path) == ["folder", "plain"]


def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_we_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power, a rename that came before its bytes would be an empty file."""
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spy(handle: int) -> None:
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        if Path(name) != tmp_path:
            assert Path(name).stat().st_size == 5
        calls.append("folder" if Path(name) == tmp_path else "bytes")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(Path, "replace", lambda self, target: (calls.append("rename"), replace(self, target))[1])
    durable.write_bytes(tmp_path / "file", b"12345")
    assert calls == ["bytes", "rename", "folder"]


def test_new_folders_reach_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert set(synced) == {str(tmp_path), str(tmp_path / "a")}
    synced.clear()
    durable.make_folder(tmp_path / "a" / "b")
    assert synced == []


def test_a_folder_that_can_not_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(OLD)
    for path in (tmp_path / "plain", tmp_path / "plain" / "below"):
        with pytest.raises(EnvironmentFault, match="could not make this folder"):
            durable.make_folder(path)


def test_a_killed_writer_leaves_one_of_the_two_files_whole(tmp_path: Path) -> None:
    path, rng = tmp_path / "file", random.Random(1)
    size = 200_000
    path.write_bytes(b"a" * size)
    for _ in range(8):
        process = start(
            "import sys\n"
            "from pathlib import Path\n"
            "from striate import durable\n"
            "print('ready', flush=True)\n"
            "while True:\n"
            "    for letter in b'ab':\n"
            f"        durable.write_bytes(Path(sys.argv[1]), bytes([letter]) * {size})\n",
            path,
        )
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.communicate()
        assert path.read_bytes() in (b"a" * size, b"b" * size)
    durable.sweep(tmp_path)
    assert names(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_bytes(path, b"a" * 50_000)
    seen: set[bytes] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        durable.write_bytes(path, b"ab"[i % 2 : i % 2 + 1] * (50_000 + i % 2))
    over.set()
    reader.join()
    assert seen <= {b"a" * 50_000, b"b" * 50_001}


def test_sweeping_removes_what_a_crash_left_and_nothing_else(tmp_path: Path) -> None:
    for name in (".tmp-model.safetensors-01ab23ef", "model.safetensors", "tmp-mine", ".tmpfile", ".tmp-of-an-editor"):
        (tmp_path / name).write_bytes(b"x")
    durable.sweep(tmp_path)
    assert names(tmp_path) == [".tmp-of-an-editor", ".tmpfile", "model.safetensors", "tmp-mine"]
    durable.sweep(tmp_path / "not there")


# -- one writer --------------------------------------------------------------------------------------------------------

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from striate import durable\n"
    "with durable.{}(Path(sys.argv[1])):\n"
    "    print('ready', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture(params=["lock", "claim"])
def holder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(HOLD.format(request.param), tmp_path)
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_refused_at_once_and_told_who_is_first(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    begun = time.monotonic()
    for hold in (durable.lock, durable.claim):
        with pytest.raises(Busy, match=rf"pid {holder.pid}\b") as caught, hold(tmp_path):
            pytest.fail("there were two writers")
        assert str(tmp_path) in str(caught.value)
    assert time.monotonic() - begun < 1


def test_a_writer_that_is_killed_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with durable.lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"pid {os.getpid()}"


def test_a_lock_is_free_again_afterwards_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), durable.lock(tmp_path):
        raise KeyError
    with durable.lock(tmp_path), pytest.raises(Busy), durable.lock(tmp_path):
        pytest.fail("there were two writers")
    with durable.lock(tmp_path):
        pass


def test_the_text_of_an_old_lock_alone_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("pid 1 and a long text from another time")
    with durable.lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"pid {os.getpid()}"


def test_of_many_that_start_at_once_one_wins(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from striate import durable\n"
        "from striate.errors import Busy\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with durable.claim(Path(sys.argv[1]) / 'run'):\n"
        "        (Path(sys.argv[1]) / 'run' / 'mine').touch()\n"
        "        print('won', flush=True)\n"
        "        sys.stdin.readline()\n"
        "except Busy:\n"
        "    print('refused', flush=True)\n"
    )
    pipe = subprocess.PIPE
    many = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=pipe, stdout=pipe, text=True) for _ in range(6)
    ]
    for process in many:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in many:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in many if process.stdout]
    for process in many:
        process.communicate("end\n")
    assert sorted(said) == ["refused\n"] * 5 + ["won\n"]


def test_a_lock_that_can_not_be_taken_on_this_file_system_is_not_blamed_on_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(durable.fcntl, "flock", no_locks)
    with pytest.raises(EnvironmentFault, match="No locks available"), durable.lock(tmp_path):
        pytest.fail("it was not locked")


def test_a_full_disk_only_leaves_the_holder_unnamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with durable.lock(tmp_path), pytest.raises(Busy, match="unknown"), durable.lock(tmp_path):
        pytest.fail("there were two writers")


def test_a_claim_in_which_nothing_was_written_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(KeyError), durable.claim(tmp_path / "runs" / "first"):
        raise KeyError
    assert names(tmp_path) == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_claim_in_which_something_was_written_stays(tmp_path: Path, fails: bool) -> None:
    with ExitStack() as stack:
        if fails:
            stack.enter_context(pytest.raises(KeyError))
        with durable.claim(tmp_path / "runs" / "first"):
            (tmp_path / "runs" / "first" / "config.json").touch()
            if fails:
                raise KeyError
    assert names(tmp_path / "runs" / "first") == [".lock", "config.json"]


def test_a_claim_keeps_a_folder_that_was_there_before_and_a_parent_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with durable.claim(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()
    with durable.claim(tmp_path / "runs" / "first"):
        (tmp_path / "runs" / "other").mkdir()
    assert names(tmp_path / "runs") == ["other"]


def test_a_lock_on_a_file_that_is_gone_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the one who held it may have removed it, and a third may hold a new one."""
    opened, first = os.open, True

    def open_and_lose(path: Path, *arguments: int) -> int:
        nonlocal first
        handle = opened(path, *arguments)
        if first and Path(path).name == ".lock":
            first = False
            Path(path).unlink()
        return handle

    monkeypatch.setattr(os, "open", open_and_lose)
    with durable.lock(tmp_path):
        monkeypatch.undo()
        with pytest.raises(Busy), durable.lock(tmp_path):
            pytest.fail("there were two writers")
