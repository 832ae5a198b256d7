"""What torch's compiler makes of a training step on this machine: step and warm-up, and from how many steps on it pays.

Each network is a process of its own. Steps of the network as it is and compiled take turns there, as training has them:
the machine's precision, channels last, layers that were made faster, SGD.
"""

import copy
import json
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial

import torch
from measure import ROOT, Table, arguments, fresh, place, report, take_turns
from torch import Tensor, nn

from striate.models.registry import create_model, entry
from striate.training.compiled import Compiled
from striate.training.engine import Forward
from striate.training.faster import faster_layers
from striate.training.machine import settle, survey

NETWORKS = {  # side of the images, batch; 0: the network's own side
    "lenet5": (0, 128), "deck_mnist_convnet": (0, 128), "cifar_resnet20": (0, 128), "resnet18": (32, 128),
    "mobilenet_v2": (0, 32), "resnet50": (0, 32),
}  # fmt: skip
TURNS, WARM = 9, 2


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=1)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--alone", choices=NETWORKS, help="one network, in this process; prints JSON")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(measure(options.alone)))
        return
    where = place("torch", "striate")
    run = {
        name: partial(fresh, [sys.executable, ROOT / "benchmarks/compiled.py", "--alone", name])
        for name in options.networks
    }
    answers = take_turns(run, options.rounds)
    rows = [row(name, found) for name, rounds in answers.items() for found in rounds]
    columns = ["network", "batch", "step, ms", "compiled, ms", "x", "warm-up, s", "pays from"]
    report(options, where, [Table("A training step, compiled", columns, rows)], answers)


def measure(name: str) -> dict[str, float]:
    machine = survey()
    settle(machine)
    side, n = NETWORKS[name]
    channels, height, width = entry(name).input
    height, width = (side, side) if side else (height, width)
    torch.manual_seed(0)
    module = create_model(name, num_classes=10, in_chans=channels, input_size=(height, width))
    images = torch.randn(n, channels, height, width).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (n,))
    plain, compiled = (
        steps(copy.deepcopy(module), images, labels, machine.bf16, forward)
        for forward in (nn.Module.__call__, Compiled())
    )
    for _ in range(WARM):
        next(plain)
    first = timed(compiled)
    for _ in range(WARM):
        next(compiled)
    pairs = [(timed(plain), timed(compiled)) for _ in range(TURNS)]
    plain_s, compiled_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {"plain_s": plain_s, "compiled_s": compiled_s, "warm_up_s": first - compiled_s}


def steps(module: nn.Module, images: Tensor, labels: Tensor, bf16: bool, forward: Forward) -> Iterator[None]:
    """Each `next` is one step."""
    module = module.to(memory_format=torch.channels_last).train()
    rule = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    with faster_layers(module, images.device):
        while True:
            rule.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                z = forward(module, images)
            nn.functional.cross_entropy(z.float(), labels).backward()
            rule.step()
            yield


def timed(steps: Iterator[None]) -> float:
    begun = time.perf_counter()
    next(steps)
    return time.perf_counter() - begun


def row(name: str, found: dict[str, float]) -> list[str]:
    plain, compiled, warm_up = found["plain_s"], found["compiled_s"], found["warm_up_s"]
    pays = f"{warm_up / (plain - compiled):,.0f} steps" if compiled < 0.95 * plain else "never"
    return [name, str(NETWORKS[name][1]), f"{1000 * plain:.1f}", f"{1000 * compiled:.1f}", f"{plain / compiled:.2f}",
            f"{warm_up:.0f}", pays]  # fmt: skip


if __name__ == "__main__":
    main()
