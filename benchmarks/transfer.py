"""What transfer gives: accuracy on cats and dogs from 20, 100 and 800 images a class, against training from nothing.

    python benchmarks/transfer.py accuracy --json benchmarks/results/transfer_accuracy.json
    python benchmarks/transfer.py speed    --json benchmarks/results/transfer_speed.json
    python benchmarks/transfer.py backbone --json benchmarks/results/transfer_backbone.json
    python benchmarks/transfer.py backbone --runs runs/backbone_eight runs/backbone_ten --sizes 32 --json OUT.json

accuracy: each network begins from published ImageNet weights, all but the head frozen, `striate train` as it is by
default; the decks' convnet begins from nothing, with augmentation. Each seed draws other training images. All are
tested on the same 402 photographs, which had no part in training. The interval is Student's t over the seeds.

backbone: what small networks trained on CIFAR-10 see in the same photographs: their features at several sizes, and a
logistic regression on them (scikit-learn, standardised, C = 0.01). By default published ones; with --runs those of
recipes/backbone_ten.toml and recipes/backbone_eight.toml, which saw no cats and no dogs.

speed: the same head trained on cached features and with the frozen part computed anew in every step, in turns.
"""

import csv
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Table, arguments, data_folder, middle, place, ratios, report, take_turns

WEIGHTS = {  # network -> file among the shared weights
    "mobilenet_v2": "imagenet_mobilenet_v2_1.0_224_uint8",
    "mobilenet_v1_0.75_224": "imagenet_mobilenet_v1_0.75_224_keras_float32",
    "mobilenet_v1_0.25_128": "imagenet_mobilenet_v1_0.25_128_uint8",
    "squeezenet1_0": "imagenet_squeezenet1_0_deepcompressed",
    "cifar_resnet20": "cifar10_resnet20_akamaster",
    "cifar_resnet56": "cifar10_resnet56_akamaster",
}
NOTHING = "deck_cats_dogs"
EPOCHS = {20: 40, 100: 25, 800: 8}  # from nothing: what there was time for
T975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t by degrees of freedom


def subset(images: Path, per_class: int, seed: int, out: Path) -> Path:
    """A list of so many training images a class, drawn by seed, and of all validation images as the test."""
    rng = np.random.default_rng([seed, per_class])
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label", "split"])
        for label in ("cats", "dogs"):
            files = sorted((images / "train" / label).iterdir())
            for i in sorted(rng.permutation(len(files))[:per_class].tolist()):
                writer.writerow([files[i], label, "train"])
            writer.writerows([f, label, "test"] for f in sorted((images / "validation" / label).iterdir()))
    return out


def candidates(options: Any, weights: Path, default: list[str]) -> list[tuple[str, str, Path | None]]:
    """What a row is called, its network, and its weights."""
    if options.runs:
        from striate.run.folder import Run

        return [(run.name, Run(run).identity.spec.name, run / "model.safetensors") for run in map(Path, options.runs)]
    files = {model: weights / f"{file}.safetensors" for model, file in WEIGHTS.items()}
    return [(model, model, files.get(model)) for model in options.models or default]


def trained(
    data: Path, model: str, weights: Path | None, per_class: int, seed: int, out: Path, size: int, changes: list[str]
) -> dict[str, Any]:
    import striate
    from striate.training.recipe import parse

    more: dict[str, Any] = {"val_share": 0.0, "seed": seed} | ({"size": size} if size else {})
    if weights:
        more |= {"weights": str(weights), "freeze": "head"} | parse(changes)
    else:
        more |= {"epochs": EPOCHS[per_class], "lr": 0.0005}
    begun = time.perf_counter()
    run = striate.train(data, model, out=out, **more)
    seconds = time.perf_counter() - begun
    card = striate.evaluate(run.folder, images=0)
    found = card.metrics
    return {"model": model, "size": run.run.preprocess.size[0], "per_class": per_class, "seed": seed,
            "right": found.right, "images": found.images, "accuracy": found.right / found.images,
            "seconds": round(seconds, 1), "epochs": len(run.rows)}  # fmt: skip


def backbone(options: Any, cats_dogs: Path, weights: Path) -> None:
    where, rows = place("torch", "numpy", "scikit-learn"), []
    for model, network, file in candidates(options, weights, ["cifar_resnet20", "cifar_resnet56"]):
        for size in options.sizes:
            begun = time.perf_counter()
            seen = features(cats_dogs, network, file, size)
            print(model, size, f"{time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
            for per_class in options.per_class:
                for seed in options.seeds or range(options.rounds):
                    right, images = probed(cats_dogs, seen, per_class, seed)
                    rows.append({"model": model, "size": size, "per_class": per_class, "seed": seed, "right": right,
                                 "images": images, "accuracy": right / images})  # fmt: skip
    lines = []
    for model, size in dict.fromkeys((row["model"], row["size"]) for row in rows):
        found = [[r["accuracy"] for r in rows if (r["model"], r["size"], r["per_class"]) == (model, size, n)]
                 for n in options.per_class]  # fmt: skip
        lines.append((f"{model}, {size} px", *map(interval, found)))
    heading = "accuracy on 402 photographs, per cent, by images a class: logistic regression on features"
    report(options, where, [Table(heading, ["network", *map(str, options.per_class)], lines)], rows)


def features(images: Path, model: str, weights: Path | None, size: int) -> dict[str, Any]:
    """What the network makes of every photograph, just in front of its head, by path."""
    from dataclasses import replace

    import torch

    from striate.models.registry import entry
    from striate.run.classifier import load

    classifier = load(model, weights=weights)
    setattr(classifier.module, entry(model).head, torch.nn.Identity())
    preprocess = replace(classifier.preprocess, size=(size, size), resize="crop", short_side=size)
    paths, found = sorted(images.rglob("*.jpg")), []
    with torch.inference_mode():
        for first in range(0, len(paths), 64):
            pixels = [preprocess.pixels(classifier.read(path)) for path in paths[first : first + 64]]
            seen = classifier.module(preprocess.normalise(torch.from_numpy(np.stack(pixels))))
            found.extend(seen.flatten(1).numpy())
    return dict(zip(map(str, paths), found, strict=True))


def probed(images: Path, seen: dict[str, Any], per_class: int, seed: int) -> tuple[int, int]:
    """Test photographs that a linear probe names rightly, and how many there are."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with tempfile.TemporaryDirectory() as folder:
        rows = list(csv.DictReader(subset(images, per_class, seed, Path(folder) / "list.csv").open(encoding="utf-8")))
    x = {split: np.array([seen[r["file_name"]] for r in rows if r["split"] == split]) for split in ("train", "test")}
    y = {split: np.array([r["label"] for r in rows if r["split"] == split]) for split in ("train", "test")}
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(x["train"], y["train"])
    return int((probe.predict(x["test"]) == y["test"]).sum()), len(y["test"])


def interval(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{100 * mean:.1f}"
    half = T975[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return f"{100 * mean:.1f} ± {100 * half:.1f}"


def accuracy(options: Any, cats_dogs: Path, weights: Path) -> None:
    where, rows = place("torch", "numpy"), []
    known = candidates(options, weights, [*WEIGHTS, NOTHING])
    with tempfile.TemporaryDirectory() as folder:
        for model, network, file in known:
            for per_class in options.per_class:
                for seed in options.seeds or range(options.rounds):
                    data = subset(cats_dogs, per_class, seed, Path(folder) / f"cats_dogs_{per_class}_{seed}.csv")
                    out = Path(folder) / f"{model}-{per_class}-{seed}"
                    found = trained(data, network, file, per_class, seed, out, options.size, options.set)
                    rows.append(found | {"model": model})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    heading = "accuracy on 402 photographs, per cent, by images a class"
    lines = []
    for model, *_ in known:
        cells = ([r["accuracy"] for r in rows if (r["model"], r["per_class"]) == (model, n)] for n in options.per_class)
        lines.append((model, *map(interval, cells)))
    table = Table(heading, ["network", *map(str, options.per_class)], lines)
    report(options, where, [table], rows)


def speed(options: Any, cats_dogs: Path, weights: Path) -> None:
    import striate

    where, model = place("torch", "numpy"), options.models[0] if options.models else "mobilenet_v1_0.25_128"

    def run(features: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            data = subset(cats_dogs, options.per_class[0], 0, Path(folder) / "cats_dogs.csv")
            begun = time.perf_counter()
            done = striate.train(
                data, model, out=Path(folder) / "run", weights=str(weights / f"{WEIGHTS[model]}.safetensors"),
                freeze="head", features=features, augment="none", epochs=options.epochs, val_share=0.0,
            )  # fmt: skip
            whole = time.perf_counter() - begun
            timing = [json.loads(line) for line in (done.folder / "timing.jsonl").read_text().splitlines()]
            return {"whole_s": whole, "epoch_s": middle([t["seconds"] for t in timing]),
                    "train_accuracy": done.rows[-1]["train_accuracy"]}  # fmt: skip

    turns = take_turns({way: lambda way=way: run(way) for way in ("cached", "live")}, options.rounds)
    rows = []
    for what, said in (
        ("whole_s", f"the whole training, {options.epochs} epochs"),
        ("epoch_s", "an epoch, middle one"),
    ):
        cached, live = ([turn[what] for turn in turns[way]] for way in ("cached", "live"))
        faster = ratios(live, cached)
        rows.append((said, f"{middle(live):.2f}", f"{middle(cached):.2f}", f"{middle(faster):.1f}",
                     f"{min(faster):.1f} to {max(faster):.1f}"))  # fmt: skip
    heading = f"{model}, {2 * options.per_class[0]} photographs: seconds live and cached"
    report(options, where, [Table(heading, ["", "live", "cached", "times faster", "least to most"], rows)], turns)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], 3)
    parser.add_argument("what", choices=["accuracy", "speed", "backbone"])
    parser.add_argument("--models", nargs="+", choices=[*WEIGHTS, NOTHING])
    parser.add_argument("--runs", nargs="+", default=[], help="these in place of --models")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the accuracy, with weights")
    parser.add_argument("--seeds", nargs="+", type=int, help="these in place of 0, 1, ... rounds - 1")
    parser.add_argument("--per-class", nargs="+", type=int, default=[20, 100, 800])
    parser.add_argument("--size", type=int, default=0, help="pixels that the network sees; by default its weights' own")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[32, 64, 96], help="of the backbone (default %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=20, help="of the speed (default %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="holds cats_dogs/")
    parser.add_argument("--weights-dir", type=Path, help="holds the .safetensors files")
    options = parser.parse_args()
    data = data_folder(options.data_dir, "cats_dogs")
    weights = options.weights_dir or data.parent / "weights"
    {"accuracy": accuracy, "speed": speed, "backbone": backbone}[options.what](options, data / "cats_dogs", weights)


if __name__ == "__main__":
    main()
