"""Training speed, side by side: the loop that a user of PyTorch writes, Keras' fit, and Striate.

Same network, data, batch, optimiser (Adam, 0.001), epochs and machine. Each contender is a process of its own, so that
no setting of one helps another; they take turns. The first epoch warms up and is not counted; of the others the median
is. For PyTorch the better of no worker and two worker processes counts in each round.

    train_torch.py    float32, a DataLoader over PIL images with transforms, loss.item() each step
    train_keras.py    fit() with arrays in memory
    train_striate.py  striate.train()
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import mnist
from measure import ROOT, Table, arguments, data_folder, fresh, middle, place, ratios, report, take_turns

HERE = ROOT / "benchmarks"
NETWORKS = ("lenet5", "deck_mnist_convnet")
TORCH, TORCH_2, KERAS, STRIATE = "PyTorch loop", "PyTorch loop, 2 workers", "Keras fit", "Striate"


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--data-dir", type=Path, help="folder that holds mnist/")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--epochs", type=int, default=3, help="the first one warms up (default %(default)s)")
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[128, 512], help="images a step, for all (default %(default)s)"
    )
    parser.add_argument("--images", type=int, default=60_000, help="training images to use (default all)")
    parser.add_argument(
        "--keras-python", type=Path, help="a Python that has Keras with TensorFlow; without it Keras is left out"
    )
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: the first one only warms up")
    where = place("torch", "numpy", "pillow", "striate")
    folder = data_folder(options.data_dir, "mnist")
    measured, tables = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        if options.images < 60_000:
            mnist.shorten(folder, Path(scratch), options.images)
            folder = Path(scratch)
        for network, batch in product(options.networks, options.batch):
            answers = take_turns(contenders(network, folder, batch, options), options.rounds)
            where["versions"] |= answers.get(KERAS, [{}])[0].get("versions", {})
            same_networks(answers)
            measured[f"{network}, batch {batch}"] = {name: list(map(_kept, rounds)) for name, rounds in answers.items()}
            tables.append(table(network, batch, answers, options))
            print(tables[-1], file=sys.stderr)
    report(options, where, tables, measured)
    print("Images a second of the training epochs; accuracy on the 10,000 test images after the last one.")
    print("The whole process: start, reading the data, training, testing.")


def contenders(network: str, folder: Path, batch: int, options: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    common = [network, "--data-dir", folder, "--epochs", str(options.epochs), "--batch", str(batch)]

    def timed(python: Path | str, script: str, *more: str) -> dict[str, Any]:
        begun = time.perf_counter()
        answer = fresh([python, HERE / script, *common, *more])
        return answer | {"process_s": time.perf_counter() - begun}

    found = {
        TORCH: lambda: timed(sys.executable, "train_torch.py"),
        TORCH_2: lambda: timed(sys.executable, "train_torch.py", "--workers", "2"),
        STRIATE: lambda: timed(sys.executable, "train_striate.py"),
    }
    if options.keras_python:
        found[KERAS] = lambda: timed(options.keras_python, "train_keras.py")
    return found


def rates(answers: list[dict[str, Any]]) -> list[float]:
    """Images a second, one figure a round: the median of the epochs after the first."""
    return [middle(answer["images_per_s"][1:]) for answer in answers]


def same_networks(answers: dict[str, list[dict[str, Any]]]) -> None:
    """Stop where the contenders did not train the same network."""
    torch_shapes, striate_shapes = answers[TORCH][0]["parameters"], answers[STRIATE][0]["parameters"]
    if torch_shapes != striate_shapes:
        raise SystemExit(f"not the same network: {torch_shapes} and {striate_shapes}")
    if KERAS in answers:
        count = sum(_product(shape) for shape in torch_shapes)
        if answers[KERAS][0]["parameters"] != count:
            raise SystemExit(f"not the same network: {count} parameters, with Keras {answers[KERAS][0]['parameters']}")


def table(network: str, batch: int, answers: dict[str, list[dict[str, Any]]], options: Any) -> Table:
    by_name = {name: rates(rounds) for name, rounds in answers.items()}
    loop = [max(pair) for pair in zip(by_name[TORCH], by_name[TORCH_2], strict=True)]
    rows = []
    for name, values in by_name.items():
        gain = ratios(values, loop)
        accuracy, seconds = (middle([a[key] for a in answers[name]]) for key in ("accuracy", "process_s"))
        spread = f"{min(gain):.2f} to {max(gain):.2f}"
        rows.append(
            [name, f"{middle(values):,.0f}", f"{middle(gain):.2f}", spread, f"{accuracy:.2%}", f"{seconds:.0f}"]
        )
    if KERAS in by_name:
        gain = ratios(by_name[STRIATE], by_name[KERAS])
        rows.append(["Striate / Keras", "", f"{middle(gain):.2f}", f"{min(gain):.2f} to {max(gain):.2f}", "", ""])
    chosen = json.dumps(answers[STRIATE][0]["chosen"])
    heading = f"{network}, MNIST, {options.images:,} images, batch {batch}; Striate chose {chosen}"
    columns = ["", "images/s", "x better loop", "rounds", "accuracy", "process, s"]
    return Table(heading, columns, rows)


def _kept(answer: dict[str, Any]) -> dict[str, Any]:
    """What is stored of an answer: not the shapes, which have been compared."""
    return {key: value for key, value in answer.items() if key not in ("parameters", "versions")}


def _product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


if __name__ == "__main__":
    main()
