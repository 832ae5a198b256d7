"""Sheets of every layer's channels for an image of 224 pixels: seconds, and memory beyond a prediction.

Against the lectures' loop: a Python loop over the channels of a layer, matplotlib for the picture. Each turn is a fresh
process; what is timed begins when network and image are there. Random weights, norms that have seen the image.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Table, arguments, fresh, middle, place, ratios, report, take_turns

import striate  # noqa: F401 (before torch: it says how torch's threads wait)

SIDE = 224
FOLDED, EVERY, DECK = "Striate, folded", "Striate, all layers", "the lectures' loop, all layers"
LARGE = ("resnet50", "resnet152", "densenet201")


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=3)
    options.add_argument("--child", nargs=2, metavar=("WAY", "MODEL"), help=argparse.SUPPRESS)
    options.add_argument("--no-lectures", action="store_true", help="leave the slowest out")
    given = options.parse_args()
    if given.child:
        print(json.dumps(child(*given.child)))
        return
    where = place("torch", "numpy", "pillow", "matplotlib", "striate")
    turns = take_turns(
        {way: (lambda way=way: fresh([sys.executable, __file__, "--child", way, "resnet50"]))
         for way in (FOLDED, EVERY, DECK)[: 2 if given.no_lectures else 3]},
        given.rounds,
    )  # fmt: skip
    memory = {name: fresh([sys.executable, __file__, "--child", EVERY, name]) for name in LARGE}
    del given.child
    wall = {way: [turn["seconds"] for turn in found] for way, found in turns.items()}
    rows = []
    for way, found in turns.items():
        gain = f"{middle(ratios(wall[DECK], wall[way])):.1f}" if DECK in wall else "–"
        files = found[0]["files"]
        cpu = middle([turn["cpu_seconds"] for turn in found])
        rows.append([way, f"{files}", f"{middle(wall[way]):.1f}", f"{min(wall[way]):.1f} to {max(wall[way]):.1f}",
                     f"{cpu:.1f}", gain])  # fmt: skip
    columns = ["ResNet-50", "sheets", "seconds", "rounds", "CPU seconds", "times as fast"]
    large = [
        [name, f"{one['files']}", f"{one['seconds']:.1f}", f"{one['predicting_mib']:,.0f}", f"{one['peak_mib']:,.0f}"]
        for name, one in memory.items()
    ]
    heads = ["all layers", "sheets", "seconds", "MiB after a prediction", "MiB at most"]
    tables = [Table("Sheets of one image, 224 × 224", columns, rows), Table("Memory of the process", heads, large)]
    report(given, where, tables, {"turns": turns, "large": memory})


def child(way: str, name: str) -> dict[str, Any]:
    """One turn: seconds, files, and the most memory before and after."""
    import torch

    from striate.look.activations.folder import FOLDED as SOME
    from striate.look.activations.folder import Named, write_sheets
    from striate.models.registry import create_model

    torch.manual_seed(0)
    net = create_model(name).train()
    x = torch.nn.functional.interpolate(torch.randn(2, 3, 28, 28), (SIDE, SIDE), mode="bicubic")
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net(x)
        net.eval()(x[:1])
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        begun, cpu = time.perf_counter(), time.process_time()
        if way == DECK:
            lectures(net, x[:1], Path(folder))
        else:
            named = Named(x[:1], ("noise",), (b"",))
            write_sheets(net, named, Path(folder), SOME if way == FOLDED else None, title=name)
        seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
        files = len(list(Path(folder).glob("*.png")))
    memory = {"predicting_mib": before, "peak_mib": peak()}
    return {"seconds": seconds, "cpu_seconds": spent, "files": files, "threads": torch.get_num_threads()} | memory


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def lectures(net: Any, x: Any, folder: Path) -> None:
    """All activations at once, a loop over channels, sixteen in a row, one matplotlib picture a layer."""
    import matplotlib as mpl
    import numpy as np
    import torch

    from striate.look.activations.steps import makers, steps_of
    from striate.look.trace import trace

    mpl.use("agg")
    import matplotlib.pyplot as plt

    names = [step.name for step in makers(steps_of(net, x).found)]
    with torch.no_grad(), trace(net, clone=False) as seen:
        net(x)
    for i, name in enumerate(names):
        maps = seen[name][0].numpy()
        maps = maps.reshape(len(maps), -1, maps.shape[-1] if maps.ndim > 1 else 1)
        c, h, w = maps.shape
        rows = -(-c // 16)
        display = np.zeros((h * rows, w * 16), np.uint8)
        for k in range(c):
            one = maps[k] - maps[k].mean()
            one = one / (one.std() or 1) * 64 + 128
            top, left = k // 16 * h, k % 16 * w
            display[top : top + h, left : left + w] = np.clip(one, 0, 255).astype(np.uint8)
        figure = plt.figure(figsize=(16, min(100, max(1, 16 * h * rows / (16 * w)))))
        plt.title(name)
        plt.grid(False)
        plt.imshow(display, aspect="auto", cmap="viridis")
        figure.savefig(folder / f"{i:03d}.png")
        plt.close(figure)


if __name__ == "__main__":
    main()
