"""Training on photographs, side by side: the loop that a user of PyTorch writes, and Striate by default.

Same network, images, batch, optimiser (SGD, 0.01, momentum 0.9) and machine; each contender is a process of its own,
and they take turns. The first epoch warms up and is not counted. For PyTorch the better of no worker and two worker
processes counts in each round. Not counted for Striate: images are decoded once, before the first epoch.

    photographs_torch.py    float32, a DataLoader over PIL images with transforms
    photographs_striate.py  striate.train()
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import ROOT, Table, arguments, fresh, middle, place, ratios, report, take_turns
from PIL import Image

HERE = ROOT / "benchmarks"
TORCH, TORCH_2, STRIATE = "PyTorch loop", "PyTorch loop, 2 workers", "Striate"


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50", "mobilenet_v2", "densenet121"])
    parser.add_argument("--epochs", type=int, default=2, help="the first one warms up (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=128, help="500 x 375 JPEGs, made up (default %(default)s)")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: the first one only warms up")
    where = place("torch", "numpy", "pillow", "striate")
    measured, rows = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        make_photographs(Path(scratch), options.images)
        for network in options.networks:
            answers = take_turns(contenders(network, Path(scratch), options), options.rounds)
            counts = {name: {answer["parameters"] for answer in rounds} for name, rounds in answers.items()}
            if len(set.union(*counts.values())) > 1:
                raise SystemExit(f"not the same network: {counts}")
            measured[network] = answers
            rows += rows_of(network, answers)
    title = f"{options.images} photographs of 500 x 375 at 224 x 224, batch {options.batch}"
    chosen = json.dumps(next(iter(measured.values()))[STRIATE][0]["chosen"])
    columns = ["network", "", "images/s", "x better loop", "rounds"]
    report(options, where, [Table(f"{title}; Striate chose {chosen}", columns, rows)], measured)


def contenders(network: str, folder: Path, options: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    common = [network, "--folder", folder, "--epochs", str(options.epochs), "--batch", str(options.batch)]

    def run(script: str, *more: str) -> Callable[[], dict[str, Any]]:
        return lambda: fresh([sys.executable, HERE / script, *common, *more])

    return {
        TORCH: run("photographs_torch.py"),
        TORCH_2: run("photographs_torch.py", "--workers", "2"),
        STRIATE: run("photographs_striate.py"),
    }


def rows_of(network: str, answers: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    rates = {name: [middle(one["images_per_s"][1:]) for one in rounds] for name, rounds in answers.items()}
    loop = [max(pair) for pair in zip(rates[TORCH], rates[TORCH_2], strict=True)]
    rows = []
    for name, values in rates.items():
        gain = ratios(values, loop)
        spread = f"{min(gain):.2f} to {max(gain):.2f}"
        rows.append([network if name == TORCH else "", name, f"{middle(values):.1f}", f"{middle(gain):.2f}", spread])
    return rows


def make_photographs(folder: Path, n: int) -> None:
    """Smooth colours with grain, of two classes; their contents do not change the time, and decode like photographs."""
    draw = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), Image.BICUBIC)
        grain = draw.normal(0, 8, (375, 500, 3))
        pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        place = folder / "train" / ("first", "second")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:04d}.jpg", quality=88)


if __name__ == "__main__":
    main()
