"""A bar for each file that is downloaded, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def download_bars() -> Iterator[Callable[[str, int, int], None]]:
    """What a download calls with a file's name, the bytes that are there, and the bytes in all."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    rows: dict[str, TaskID] = {}

    def show(file: str, done: int, total: int) -> None:
        if file not in rows:
            bars.start()  # not before there is something to show
            rows[file] = bars.add_task(file, total=total)
        bars.update(rows[file], completed=done)

    try:
        yield show
    finally:
        if rows:
            bars.stop()
