"""The main job, done by several processes: the one that leads writes the run, the others follow in a scratch folder.

A follower carries out the same job on the same data with a folder of its own, so it checks what the leader checks. It
gets the leader's files by way of the network: the machines need no common disk. Before the first step all compare
what they are about to do.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from striate import durable
from striate.errors import UsageError
from striate.run.folder import CONFIG, RECIPE
from striate.training import checkpoint, job
from striate.training.distributed.joining import joined, restarted
from striate.training.distributed.together import Together
from striate.training.options import Options
from striate.training.report import Report


def train_together(
    data: str | Path | None,
    model: str | None,
    *,
    out: str | Path | None,
    resume: bool,
    options: Options,
    report: Report,
    settings: dict[str, Any],
) -> "job.Trained":
    """`train`, as one of several processes. For a follower the run that comes out names the leader's folder.

    After a restart by torchrun it goes on with the run.

    Raises: as `train`; EnvironmentFault where the other processes can't be reached, or are lost on the way.
    """
    if restarted() and out is None:
        raise UsageError("torchrun has started the training again, and can't tell which run it was; name it with --out")
    with joined() as ranks:
        assert isinstance(ranks, Together)
        options = replace(options, ranks=ranks)
        resume = resume or restarted()
        if ranks.leads:
            files = _to_send(Path(out)) if resume and out is not None else {}
            ranks.store.set("begin", "\n".join(files) or "anew")
            for path in files.values():
                _send(path.read_bytes())
            done = job.train(data, model, out=out, resume=resume, options=options, report=report, **settings)
            ranks.store.set("folder", str(done.folder))
            return done
        said = ranks.wait("begin")
        with tempfile.TemporaryDirectory(prefix="striate-follower-") as scratch:
            folder = Path(scratch) / "run"
            for name in said.splitlines() if said != "anew" else ():
                durable.make_folder((folder / name).parent)
                durable.write_bytes(folder / name, _receive())
            done = job.train(
                data, model, out=folder, resume=said != "anew", options=replace(options, tensorboard=False),
                report=Report(), **settings,
            )  # fmt: skip
            return replace(done, folder=Path(ranks.wait("folder")))


def _to_send(folder: Path) -> dict[str, Path]:
    """What a follower needs to go on with a run, by its place in the run's folder."""
    if not (folder / RECIPE).is_file():
        return {}
    found = [folder / CONFIG, folder / RECIPE, *(path for _, path in checkpoint.stored(folder))]
    return {str(path.relative_to(folder)): path for path in found if path.is_file()}


def _send(content: bytes) -> None:
    size = torch.tensor([len(content)])
    dist.broadcast(size, 0)
    dist.broadcast(torch.frombuffer(bytearray(content), dtype=torch.uint8), 0)


def _receive() -> bytes:
    size = torch.zeros(1, dtype=torch.int64)
    dist.broadcast(size, 0)
    content = torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(content, 0)
    return content.numpy().tobytes()
