"""How general the layers of LeNet-5 are: five classes of CIFAR-10 to the five others, few images, on one core.

    python benchmarks/transferability.py --data-dir DATA --json OUT.json --picture OUT.png

DATA holds the original files of CIFAR-10. First a training on airplane, bird, deer, frog and ship, 400 images a class;
then `striate transferability` on automobile, cat, dog, horse and truck, 100 images a class, 200 to test.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from measure import Table, arguments, place, report
from PIL import Image

STEPS = ("C1", "C3", "C5", "F6")
FIRST = {"epochs": 30, "channels": "rgb", "augment": "none"}
OTHER = {"epochs": 30, "augment": "none"}


def folder(root: Path, numbers: range, train: int, val: int, data_dir: Path | None) -> str:
    """PNG files of these classes; the test set gives what is compared on."""
    import striate

    cifar = striate.open_dataset("cifar10", data_dir=data_dir, val_share=0.0)
    for source, role, most in (("train", "train", train), ("test", "val", val)):
        split = cifar.split(source)
        for number in numbers:
            path = root / role / cifar.classes[number]
            path.mkdir(parents=True)
            for i in np.flatnonzero(split.labels == number)[:most].tolist():
                Image.fromarray(split.images.read(i)).save(path / f"{i:05}.png")
    return str(root)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], 2)
    parser.add_argument("--data-dir", type=Path, help="holds cifar-10-batches-py")
    parser.add_argument("--picture", type=Path, help="write the curve to this file")
    options = parser.parse_args()
    import striate
    from striate.look.transferability import draw_transfer_curve, transfer_curve
    from striate.training.options import Options
    from striate.training.transfer.transferability import transferability

    where, one = place("torch", "numpy"), Options(threads=1)
    with tempfile.TemporaryDirectory() as name:
        place_of = Path(name)
        first = striate.train(
            folder(place_of / "first", range(0, 10, 2), 400, 100, options.data_dir), "lenet5",
            out=place_of / "run", options=one, **FIRST,
        )  # fmt: skip
        other = folder(place_of / "other", range(1, 10, 2), 100, 200, options.data_dir)
        study = transferability(
            place_of / "run", other, place_of / "study", places=STEPS, seeds=options.rounds, options=one, settings=OTHER
        )
        (nothing,), frozen, tuned = study.of("nothing"), study.of("frozen"), study.of("tuned")
        title = "lenet5, five classes of CIFAR-10 to five others"
        curves = ([p.accuracies for p in points] for points in (frozen, tuned))
        picture = draw_transfer_curve(
            transfer_curve(list(STEPS), nothing.accuracies, *curves, title), place_of / "curve.png"
        )
        if options.picture:
            shutil.copy(picture, options.picture)
    rows = [("none", f"{nothing.mean:.1%}", "")]
    rows += [(a.place, f"{a.mean:.1%}", f"{b.mean:.1%}") for a, b in zip(frozen, tuned, strict=True)]
    own = f"the first run on its own classes {first.best['val_accuracy']:.1%}"
    heading = f"accuracy on {study.images} images of the other classes; {own}"
    report(options, where, [Table(heading, ["last step taken", "frozen", "tuned"], rows)], study.to_json())


if __name__ == "__main__":
    main()
