"""What the machine offers, and the settings that follow from it. All of it is recorded in the run."""

import platform
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from striate.data.loader import available_cores
from striate.run.buffers import keep_big_buffers
from striate.run.precision import settle_float32

Precision = Literal["float32", "bf16"]
Device = torch.device  # `Machine.torch` is another thing


@dataclass(frozen=True)
class Machine:
    """Where a run is carried out. Device, threads and torch's version decide the last bits of its numbers."""

    device: str  # "cpu" or "cuda"
    name: str
    threads: int
    capability: str  # widest vector instructions that torch uses
    bf16: bool  # has instructions for bf16 products
    torch: str
    python: str
    processes: int = 1  # that train together, on this machine and others

    @property
    def place(self) -> Device:
        """The device with its number: a thread that has just begun knows no other than the first one."""
        number = torch.cuda.current_device() if self.device == "cuda" else None
        return torch.device(self.device) if number is None else torch.device(self.device, number)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        bf16 = "bf16 products" if self.bf16 else "no bf16 products"
        each = f"{self.processes} processes of {self.threads}" if self.processes > 1 else str(self.threads)
        return f"{self.name}, {each} threads, {self.capability}, {bf16}; torch {self.torch}"


def survey(threads: int | None = None, *, processes: int = 1, here: int = 1) -> Machine:
    """The machine as it is; `threads` for the network's arithmetic (None: all cores this process may use).

    Of several processes that train together, those that are here share its cores.
    """
    cuda = torch.cuda.is_available()
    return Machine(
        device="cuda" if cuda else "cpu",
        name=torch.cuda.get_device_name() if cuda else _processor(),
        threads=threads or max(1, available_cores() // here),
        capability=torch.backends.cpu.get_cpu_capability(),
        bf16=torch.cuda.is_bf16_supported() if cuda else _cpu_bf16(),
        torch=torch.__version__,
        python=platform.python_version(),
        processes=processes,
    )


def settle(machine: Machine) -> None:
    """Put the process into the state in which the machine computes fast and the same each time."""
    torch.set_num_threads(machine.threads)
    if machine.device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        settle_float32()
    keep_big_buffers()


def _cpu_bf16() -> bool:
    supported = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(ask() for ask in supported if ask is not None)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
