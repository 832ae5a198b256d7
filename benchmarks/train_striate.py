"""The same networks with Striate's trainer, through its public call: float32 or bf16, layout and input as it chooses.

Prints images a second of each epoch, as the run's timing.jsonl has them, and the accuracy at the end.
"""

import json
import tempfile
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import mnist

import striate


def striate_rate(model: str, data: str, epochs: int, *, out: Path, data_dir: Path, batch: int) -> list[float]:
    """Images a second in each epoch. The settings are those of the other contenders; the rest is left to Striate."""
    from striate.training.options import Options

    same = {"optimizer": "adam", "lr": 0.001, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
    striate.train(
        data, model, out=out, options=Options(data_dir=data_dir),
        epochs=epochs, batch=batch, augment="none", val_share=0.0, **same,
    )  # fmt: skip
    lines = (out / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["images_per_s"] for line in lines]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        rates = striate_rate(
            options.network, "mnist", options.epochs, out=out, data_dir=options.data_dir, batch=options.batch
        )
        images, labels = mnist.read(options.data_dir, "test")
        classifier = striate.load(out)
        said = classifier.predict(list(images))
        right = sum(classifier.classes.index(p.label) == label for p, label in zip(said, labels.tolist(), strict=True))
        recipe = tomllib.loads((out / "recipe.toml").read_text(encoding="utf-8"))
        shapes = [list(p.shape) for p in classifier.module.parameters()]
    chosen = {key: recipe[key] for key in ("precision", "channels_last")}
    print(json.dumps({"images_per_s": rates, "accuracy": right / len(labels), "parameters": shapes, "chosen": chosen}))


if __name__ == "__main__":
    main()
