"""One of several processes that carry out a list of trainings, one after the other; what came of each, as JSON.

    WORLD_SIZE=2 RANK=0 ... python -m tests.training.distributed.worker JOBS.json ANSWERS

Each writes ANSWERS-RANK.json.
"""

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.blocks.wiring import Chain
from striate.errors import StriateError
from striate.models import registry
from striate.models.registry import Entry, register
from striate.training.job import train
from striate.training.loop import Trainer
from striate.training.options import Options
from striate.training.report import Report


def normed(num_classes: int, in_chans: int) -> Chain:
    """Batch norms at places and at single values, and no dropout: nothing in it depends on the process."""
    return Chain(
        conv=nn.Conv2d(in_chans, 4, 3, bias=False), bn=nn.BatchNorm2d(4), relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(2), flatten=nn.Flatten(), fc1=nn.Linear(16, 12, bias=False), bn1=nn.BatchNorm1d(12),
        relu1=nn.ReLU(), fc=nn.Linear(12, num_classes),
    )  # fmt: skip


def register_networks() -> None:
    from tests.training.conftest import NETS

    registry.list_models()
    for name, build, classes in [*NETS, ("test_normed", normed, 3)]:
        if name not in registry._entries:
            register(
                Entry(name, build, year=2026, paper="none", about="For the tests.", input=(1, 12, 12), classes=classes,
                      head="fc", stem="conv", look="relu", smallest=5)
            )  # fmt: skip


class Watching(Report):
    """On the process that leads; a follower's report is silent."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)

    def warn(self, text: str) -> None:
        self.told.append(text)


def interfere(job: dict[str, Any]) -> None:
    """In the middle of a training: at step `step`, process `rank` gets a signal, or its gradients are spoiled."""
    step, rank, what = (job.get(key) for key in ("step", "rank", "what"))
    update = Trainer._update
    if what is None:
        Trainer._update = original  # type: ignore[method-assign]
        return

    def watched(trainer: Trainer, group: Any, lr: float) -> None:
        if trainer.progress.step == step and trainer.ranks.rank == rank:
            if what == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
            elif what == "nan":
                with torch.no_grad():
                    next(trainer.module.parameters()).fill_(float("nan"))
            elif what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        update(trainer, group, lr)

    Trainer._update = watched  # type: ignore[method-assign]


original = Trainer._update


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    interfere(job)
    report = Watching()
    leads = os.environ["RANK"] == "0"
    data = job["data"] if leads else job.get("data_of_others", job["data"])
    options = Options(
        threads=1, workers=0, save_every=job.get("save_every", 1000.0), together=job.get("together")
    )  # fmt: skip
    try:
        done = train(data, out=job["out"], resume=job.get("resume", False), options=options, report=report,
                     **job["settings"])  # fmt: skip
    except StriateError as error:
        return {"error": type(error).__name__, "message": str(error), "told": getattr(error, "told", None)}
    finally:
        Trainer._update = original  # type: ignore[method-assign]
    return {"folder": str(done.folder), "rows": list(done.rows), "told": report.told}


def main() -> None:
    torch.set_num_threads(1)
    register_networks()
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    faulthandler.dump_traceback_later(260, exit=True)  # where it hangs, before those who wait give up
    answers = {name: carry_out(job) for name, job in jobs.items()}
    Path(f"{sys.argv[2]}-{os.environ['RANK']}.json").write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
