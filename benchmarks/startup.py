"""What it costs to begin: `striate --help`, `import striate` on top of torch, and a summary, in fresh processes.

"everything" also touches each name that the package offers, since names are imported when they are first used.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measure import Table, arguments, middle, place, report, take_turns

EVERYTHING = "import torch, striate; [getattr(striate, name) for name in striate.__all__]"
PYTHON = {
    "python": "pass",
    "import numpy": "import numpy",
    "import striate": "import striate",
    "import torch": "import torch",
    "import torch, striate": "import torch, striate",
    "import torch, striate; everything": EVERYTHING,
}
SUMMARIES = ("resnet18", "nasnet_a_large", "cifar_resnet1202", "stochastic_depth_resnet1202")  # the longest


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=10).parse_args()
    where = place("torch", "numpy", "typer", "striate")
    command = Path(sys.executable).with_name("striate")
    contenders = {name: clock([sys.executable, "-c", source]) for name, source in PYTHON.items()}
    contenders |= {
        "striate --help": clock([str(command), "--help"]),
        "striate train --help": clock([str(command), "train", "--help"]),
    }
    contenders |= {f"striate summary {name}": clock([str(command), "summary", name]) for name in SUMMARIES}
    for call in contenders.values():  # once, so that every file is in the page cache
        call()
    seconds = take_turns(contenders, options.rounds)
    rows = [[name, f"{middle(s):.3f}", f"{min(s):.3f}", f"{max(s):.3f}"] for name, s in seconds.items()]
    extra = {
        name: [a - b for a, b in zip(seconds[name], seconds["import torch"], strict=True)]
        for name in (
            "import torch, striate",
            "import torch, striate; everything",
            *(f"striate summary {name}" for name in SUMMARIES),
        )
    }
    rows += [
        [f"{name}: beyond torch", f"{middle(s):.3f}", f"{min(s):.3f}", f"{max(s):.3f}"] for name, s in extra.items()
    ]
    rows.append(
        [
            "import torch / striate --help",
            f"{middle(seconds['import torch']) / middle(seconds['striate --help']):.1f} x",
            "",
            "",
        ]
    )
    report(options, where, [Table("Seconds, whole processes", ["", "median", "least", "most"], rows)], seconds)


def clock(command: list[str]) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun

    return run


if __name__ == "__main__":
    main()
