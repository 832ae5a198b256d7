"""What every benchmark does: say where it ran, take turns, and print ratios.

Contenders take turns inside one run, because a shared machine drifts: a ratio is formed inside each round, and the
median of the rounds is what is quoted.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def arguments(about: str | None, rounds: int) -> ArgumentParser:
    parser = ArgumentParser(description=about)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="turns that every contender has (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything that was measured to this file too")
    return parser


def place(*packages: str) -> dict[str, Any]:
    """Hardware, software and date of a measurement."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def take_turns(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Call each contender once a round, in an order that moves on by one each round: what each answered, in rounds."""
    names, answers = list(contenders), {name: [] for name in contenders}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            print(f"round {turn + 1} of {rounds}: {name}", file=sys.stderr)
            answers[name].append(contenders[name]())
    return answers


def fresh(command: Sequence[str | Path], **environment: str) -> dict[str, Any]:
    """Run a program of its own; its answer is the JSON in the last line it prints."""
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """above / below, round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


@dataclass
class Table:
    """Columns of text under a heading."""

    heading: str
    columns: Sequence[str]
    rows: list[Sequence[str]]

    def __str__(self) -> str:
        lines = [list(self.columns), *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        text = [
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        return "\n".join([self.heading, "", text[0], "-" * len(text[0]), *text[1:], ""])


def report(options: Namespace, where: dict[str, Any], tables: Sequence[Table], measured: Any) -> None:
    """Print where and what; with `--json`, write all of it."""
    versions = ", ".join(f"{name} {v}" for name, v in where["versions"].items() if v)
    print(f"{where['processor']}, {where['cores']} cores, {where['memory_gib']} GiB, {where['system']}")
    print(f"Python {where['python']}, {versions}")
    print(f"{where['date']}, n = {options.rounds} rounds, load before {where['load_before']}\n")
    for table in tables:
        print(table)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k != "json"}
        command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
        document = {"command": command, "where": where, "settings": settings, "measured": measured}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(f"written to {options.json}")


def data_folder(given: Path | None, name: str) -> Path:
    """The folder that holds data set `name`: given, in STRIATE_DATA, or among the shared data beside the checkout."""
    shared = Path(os.environ.get("STRIATE_SHARED", ROOT.parent / "shared")) / "data"
    places = [p for p in (given, os.environ.get("STRIATE_DATA"), shared) if p]
    for folder in map(Path, places):
        if (folder / name).is_dir():
            return folder
    looked = ", ".join(map(str, places))
    raise SystemExit(f"no folder {name!r} in {looked}; say where the data are with --data-dir or STRIATE_DATA")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _line(path: str, key: str) -> str | None:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith(key)), None)
    except OSError:
        return None
