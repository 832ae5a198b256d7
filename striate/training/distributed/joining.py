"""How the processes of a training find each other: `torchrun`, or `striate train --nproc`, says it in the environment.

    RANK, WORLD_SIZE               which one this is, of how many
    LOCAL_RANK, LOCAL_WORLD_SIZE   the same for those of this machine (one machine, where they are not set)
    MASTER_ADDR, MASTER_PORT       where they meet
    STRIATE_LAUNCHER               number of the process that started them all, with --nproc

Without WORLD_SIZE there is one process.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import cast

import torch
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from striate.errors import EnvironmentFault, StriateError, UsageError
from striate.training.distributed.ranks import ALONE, Ranks
from striate.training.distributed.together import Lost, Together

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LAUNCHER = "STRIATE_LAUNCHER"
_BROKEN = re.compile(r"gloo|connection (closed|reset|refused)|nccl|socket|broken pipe", re.IGNORECASE)
_times = count()


def several(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that train together.  Raises: UsageError where it can't tell."""
    world = environment.get("WORLD_SIZE", "1")
    if world == "1" and "TORCHELASTIC_RUN_ID" not in environment:
        return False
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={world} is set in the environment, and {', '.join(missing)} not; `torchrun` sets them all. "
            "To train in one process, unset WORLD_SIZE"
        )
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not environment[name].isdecimal():
            raise UsageError(f"{name}={environment[name]!r} in the environment: expected a whole number")
    if int(environment["RANK"]) >= int(world):
        raise UsageError(f"RANK={environment['RANK']} and WORLD_SIZE={world}: ranks are 0 to {int(world) - 1}")
    return world != "1"


def restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun has started this training again after it had lost a process."""
    return environment.get("TORCHELASTIC_RESTART_COUNT", "0") not in ("", "0")


@contextmanager
def joined() -> Iterator[Ranks]:
    """Meet the other processes, and leave them at the end. One process alone has nobody to meet.

    An error that leaves it carries `told`: whether the user will be told of it elsewhere.

    Raises: EnvironmentFault where the others can't be reached, or are lost on the way.
    """
    if not several():
        yield ALONE
        return
    if dist.is_initialized():
        raise UsageError("torch.distributed is initialised already; Striate meets the other processes by itself")
    together = _meet()
    try:
        yield together
        together.agree("end", "of the training")
        dist.barrier()  # all have read what was said: whoever keeps the store may go
    except BaseException as error:
        fault = _understood(error)
        lost = isinstance(fault, Lost)
        silent = lost and LAUNCHER in os.environ  # the launcher knows better why
        fault.told = silent or not together.first_to_tell()  # type: ignore[attr-defined]
        if fault is error:
            raise
        raise fault from error
    finally:
        dist.destroy_process_group()


def _meet() -> Together:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    cuda = torch.cuda.is_available() and torch.cuda.device_count() >= here
    if torch.cuda.is_available() and not cuda:
        raise EnvironmentFault(
            f"{here} processes on this machine, and it has {torch.cuda.device_count()} CUDA devices; each needs one. "
            "To train on its processors, set CUDA_VISIBLE_DEVICES= (nothing)"
        )
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
    try:
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"striate/{attempt}/{next(_times)}", _meeting_place())
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo", store=PrefixStore("torch", store), rank=rank, world_size=world
        )
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise EnvironmentFault(f"process {rank} of {world} could not meet the others at {place}: {first}") from error
    launcher = os.environ.get(LAUNCHER)
    return Together(store, rank, world, here, int(launcher) if launcher else None)


@cache
def _meeting_place() -> Store:
    """The same for all trainings of this process: who keeps it may not leave while another one is looking for it."""
    store, _, _ = next(rendezvous("env://"))
    return cast(Store, store)


def _understood(error: BaseException) -> BaseException:
    """What torch says where another process is gone, as an error of ours."""
    of_torch = isinstance(error, RuntimeError) and not isinstance(error, StriateError)
    if of_torch and (isinstance(error, dist.DistError) or _BROKEN.search(str(error))):
        return Lost("the connection to it is broken")
    return error
