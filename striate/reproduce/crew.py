"""Runs side by side, each in a process of its own with the threads that it would have alone: the same numbers, sooner.

Small networks gain little from a second thread and all of a second core. A process is started by `spawn`, so that it
begins as any other, and ends with the crew; it ignores what the terminal sends, which the first process answers.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from striate.errors import StriateError
from striate.reproduce.result import Measured
from striate.reproduce.runs import Means, Opened, Task
from striate.training.machine import settle, survey
from striate.training.report import Report, Step

FATAL = ("SIGINT", "SIGTERM", "SIGHUP")


class Crew:
    """So many processes, started when there is first more than one run to do, and kept until the end of the `with`."""

    def __init__(self, together: int, threads: int, means: Means) -> None:
        self.together, self.threads, self.means = together, threads, means
        self._members: dict[Connection, SpawnProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe, process in self._members.items():
            process.kill()  # nothing that it holds is to be kept
            process.join()
            pipe.close()
        self._members.clear()

    def runs(self, tasks: Sequence[Task], alone: Callable[[Task], Measured]) -> Iterator[tuple[int, Measured]]:
        """(number of the task, what it gave) in the order in which they are done.

        `alone` does a run in this process. It also repeats one that came to nothing elsewhere: so an error is raised
        here, whole.
        """
        side_by_side = min(self.together, len(tasks))
        if side_by_side > 1:
            self._hire(side_by_side)
        left = deque(range(len(tasks)))
        if side_by_side <= 1:
            for i in left:
                yield i, alone(tasks[i])
            return
        busy: dict[Connection, int] = {}
        while left or busy:
            for pipe in [pipe for pipe in self._members if pipe not in busy][: len(left)]:
                busy[pipe] = left.popleft()
                pipe.send(tasks[busy[pipe]])
            if not busy:  # all of them have died
                i = left.popleft()
                yield i, alone(tasks[i])
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                i = busy.pop(ready)
                found = self._answer(ready)
                yield i, alone(tasks[i]) if found is None else found

    def _hire(self, wanted: int) -> None:
        context = get_context("spawn")
        while len(self._members) < wanted:
            here, there = context.Pipe()
            arguments = (there, self.threads, self.means, os.getpid())
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            there.close()
            self._members[here] = process

    def _answer(self, pipe: Connection) -> Measured | None:
        """None where the run came to nothing; who died is no member any more."""
        try:
            found = pipe.recv()
        except (EOFError, OSError):
            self._members.pop(pipe).join()
            return None
        assert found is None or isinstance(found, Measured)
        return found


class Watching(Report):
    """Ends the process when the one that started it is gone."""

    def __init__(self, parent: int) -> None:
        self.parent = parent

    def step(self, step: Step) -> None:
        self._look()

    def prepare(self, what: str, done: int, of: int) -> None:
        self._look()

    def _look(self) -> None:
        if os.getppid() != self.parent:
            raise SystemExit(1)


def _serve(pipe: Connection, threads: int, means: Means, parent: int) -> None:
    """Carry out one task after the other."""
    for name in FATAL:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    machine = survey(threads)
    settle(machine)
    opened, report = Opened(means, machine), Watching(parent)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            found = opened.run(task, report)
        except StriateError:  # told by the first process, which does the run again
            found = None
        pipe.send(found)
