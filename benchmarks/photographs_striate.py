"""The same photographs and network with Striate's trainer, through its public call, as it chooses."""

import json
import tempfile
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import striate


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    same = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        striate.train(
            options.folder, options.network, out=out, epochs=options.epochs, batch=options.batch,
            augment="none", val_share=0.0, size=224, loss="cross_entropy", **same,
        )  # fmt: skip
        lines = (out / "timing.jsonl").read_text(encoding="utf-8").splitlines()
        recipe = tomllib.loads((out / "recipe.toml").read_text(encoding="utf-8"))
        parameters = sum(p.numel() for p in striate.load(out).module.parameters())
    chosen = {key: recipe[key] for key in ("precision", "channels_last")}
    rates = [json.loads(line)["images_per_s"] for line in lines]
    print(json.dumps({"images_per_s": rates, "parameters": parameters, "chosen": chosen}))


if __name__ == "__main__":
    main()
