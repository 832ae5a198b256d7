"""How a run is carried out, beside its recipe."""

from dataclasses import dataclass
from pathlib import Path

from striate.training.distributed.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Options:
    """How a run is carried out. None of it changes a result."""

    data_dir: Path | None = None  # where named data sets lie
    download: bool = False  # fetch a named data set that is not there
    workers: int | None = None  # threads that prepare batches; None: by the data
    threads: int | None = None  # of the network's arithmetic; None: all cores. Recorded: it decides the last bits
    save_every: float = 60.0  # seconds between checkpoints
    allow_changed_data: bool = False  # resume although the images are not those of the run
    strict: bool = False  # refuse to start where an image can't be read
    tensorboard: bool = False
    keep: int | None = None  # bytes of prepared pixels kept in memory; None: half of what is free
    together: int | None = None  # batches whose losses are looked at at once; None: one, on a GPU more
    ranks: Ranks = ALONE  # the processes that train together; recorded
