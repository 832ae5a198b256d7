"""Signals that ask a training to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Signals that ask to stop are noted, so that the step under way ends and its state is saved. The second one of
    the same kind acts at once. Outside the main thread nothing is changed.
    """
    got: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield got
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {kind: signal.getsignal(kind) for kind in signal.Signals if kind.name in names}
    before = {kind: handler for kind, handler in before.items() if handler != signal.SIG_IGN}  # as nohup wants it

    def note(number: int, _frame: FrameType | None) -> None:
        got.append(number)
        signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)

    try:
        for kind in before:
            signal.signal(kind, note)
        yield got
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler or signal.SIG_DFL)
