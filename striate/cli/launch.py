"""`--nproc N`: the same command, N times, as the processes of one training; and who of them speaks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from striate.errors import EnvironmentFault, UsageError

GRACE_S = 20.0  # for the others to notice that one has ended
_words: list[str] = []
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def follows() -> bool:
    """Whether this is one of several processes and another one leads them: then it shows nothing."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0"


def speaks(error: Exception) -> bool:
    """Whether this process is to tell of an error: of several that train together, one does."""
    told: bool | None = getattr(error, "told", None)
    return not follows() if told is None else not told


@contextmanager
def command_line(words: Sequence[str]) -> Iterator[None]:
    """While it is open, these are the words behind `striate`."""
    before, _words[:] = list(_words), words
    try:
        yield
    finally:
        _words[:] = before


def launched() -> bool:
    """Whether `launch` has started this process."""
    return "STRIATE_LAUNCHER" in os.environ


def launch(processes: int) -> None:
    """Run the command that is under way in several processes, and wait for them all.

    Signals are handed on to each of them once. When one fails, the others are ended.

    Raises: Exit, with the code of the first that failed, which has said why; EnvironmentFault where one was killed.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        raise UsageError("torchrun has started the processes already; leave out --nproc")
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "STRIATE_LAUNCHER": str(os.getpid()),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }  # fmt: skip
    children: list[subprocess.Popen[bytes]] = []
    with _handed_on(children):
        for rank in range(processes):
            own = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            stdin = None if rank == 0 else subprocess.DEVNULL
            # a group of their own: what the terminal sends comes to this process alone, which hands it on
            command = [sys.executable, "-m", "striate", *_words]
            children.append(subprocess.Popen(command, env=own, stdin=stdin, process_group=0))
        try:
            first = _first_failure(children)
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                child.wait()
    if first is None:
        return
    code = children[first].returncode
    if code < 0:
        raise EnvironmentFault(
            f"process {first} of {processes} was killed by {signal.Signals(-code).name} (out of memory?); "
            "what was done up to the last checkpoint is kept: go on with --resume"
        )
    if code == EnvironmentFault.exit_code:  # perhaps it has only lost another one, which had its reasons
        code = next((c.returncode for c in children if c.returncode > 0 and c.returncode != code), code)
    raise typer.Exit(code)  # it has said why


def _first_failure(children: Sequence["subprocess.Popen[bytes]"]) -> int | None:
    """Wait for all; which one failed first, None where none did. The others then get some time to end by themselves.

    Those that were interrupted get all the time they need: the one that leads is writing a checkpoint.
    """
    first, asked = None, False
    since = 0.0
    while any(child.poll() is None for child in children):
        if first is None:
            first = next((i for i, child in enumerate(children) if child.poll() not in (None, 0)), None)
            since = time.monotonic()
        elif children[first].returncode not in (128 + kind for kind in FORWARDED):
            late = time.monotonic() - since > GRACE_S * (1 + asked)
            if late and asked:
                break
            if late:
                asked = True
                for child in children:
                    child.terminate()
        time.sleep(0.05)
    return first if first is not None else next((i for i, child in enumerate(children) if child.returncode), None)


@contextmanager
def _handed_on(children: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    def hand_on(number: int, _frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    before = {kind: signal.getsignal(kind) for kind in FORWARDED}
    before = {kind: handler for kind, handler in before.items() if handler != signal.SIG_IGN}  # as nohup wants it
    try:
        for kind in before:
            signal.signal(kind, hand_on)
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler or signal.SIG_DFL)
