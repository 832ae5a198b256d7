"""CIFAR-10 without some of its classes, as a folder of PNG files: for trainings that must not have seen them.

    python benchmarks/cifar_classes.py OUT --without cat dog --data-dir DATA

DATA holds the original files of CIFAR-10. OUT/train and OUT/test get one folder a class; pixels stay as they are.
"""

from argparse import ArgumentParser
from pathlib import Path

from PIL import Image


def write(out: Path, without: list[str], data_dir: Path | None) -> dict[str, int]:
    """Images a split."""
    import striate

    cifar = striate.open_dataset("cifar10", data_dir=data_dir, val_share=0.0)
    if unknown := set(without) - set(cifar.classes):
        raise SystemExit(f"no class is called {', '.join(sorted(unknown))}; there are {', '.join(cifar.classes)}")
    written = {}
    for role, split in cifar.splits.items():
        kept = [i for i, label in enumerate(split.labels.tolist()) if cifar.classes[label] not in without]
        for name in set(cifar.classes) - set(without):
            (out / role / name).mkdir(parents=True)
        for i in kept:
            path = out / role / cifar.classes[int(split.labels[i])] / f"{i:05}.png"
            Image.fromarray(split.images.read(i)).save(path)
        written[role] = len(kept)
    return written


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--without", nargs="+", default=[], metavar="CLASS", help="classes that are left out")
    parser.add_argument("--data-dir", type=Path, help="holds cifar-10-batches-py")
    options = parser.parse_args()
    print(write(options.out, options.without, options.data_dir))


if __name__ == "__main__":
    main()
