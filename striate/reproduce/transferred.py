"""One run of transfer: so many images a class, `striate train` as a user calls it, tested on images set apart.

The data are a folder in the material, with train/CLASS/ and validation/CLASS/; weights are files in its weights/.
"""

import csv
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from striate import durable
from striate.data import keyed
from striate.errors import DatasetError, Interrupted
from striate.evaluation.job import evaluate
from striate.reproduce.experiment import Transferred
from striate.reproduce.result import Measured
from striate.training.job import train
from striate.training.options import Options
from striate.training.report import Report

WEIGHTS = Path("weights")


def run_once(
    arm: Transferred, material: Path, seed: int, workers: int | None, threads: int, report: Report
) -> Measured:
    """The accuracy on all images set apart, per cent. A seed draws the training images and decides the training.

    Raises: DatasetError where images or weights are not there, or too few; Interrupted after a signal.
    """
    recipe = arm.recipe.model_copy(update={"seed": seed, "val_share": 0.0, "compile": False})
    if recipe.weights:
        file = material / WEIGHTS / recipe.weights
        if not file.is_file():
            raise DatasetError(f"{file}: not there; --material names the folder with {WEIGHTS}/")
        recipe = recipe.model_copy(update={"weights": str(file)})
    begun = time.perf_counter()
    with TemporaryDirectory() as place:
        listing = Path(place) / "images.csv"
        durable.write_text(listing, drawn(material / recipe.data, arm.images, seed))
        settings = {key: getattr(recipe, key) for key in recipe.model_fields_set - {"model", "data"}}
        try:
            done = train(listing, recipe.model, out=Path(place) / "run", report=report,
                         options=Options(workers=workers, threads=threads), **settings)  # fmt: skip
        except Interrupted as error:
            raise Interrupted("stopped; nothing was stored", error.exit_code - 128) from error
        found = evaluate(done.folder, images=0).metrics
    details = {"seconds": round(time.perf_counter() - begun, 1), "images": found.images}
    return Measured(round(100 * found.right / found.images, 4), details=details)


def tested_on(material: Path, arm: Transferred) -> int:
    """How many images are set apart.  Raises: DatasetError where they are not there."""
    return sum(len(files) for _, role, files in _classes(material / arm.recipe.data) if role == "test")


def drawn(folder: Path, images: int, seed: int) -> str:
    """A list (CSV) of so many training images a class, drawn by the seed, and of all that are set apart as its test.

    Raises: DatasetError where there are fewer.
    """
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["file_name", "label", "split"])
    for label, role, files in _classes(folder):
        if role == "train" and images > len(files):
            raise DatasetError(f"{folder}: the recipe asks for {images:,} images of {label}; there are {len(files):,}")
        chosen = sorted(keyed.order(seed, 0, len(files))[:images]) if role == "train" else range(len(files))
        writer.writerows([files[i].resolve(), label, role] for i in chosen)
    return out.getvalue()


def _classes(folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    for name, role in (("train", "train"), ("validation", "test")):
        if not (folder / name).is_dir():
            raise DatasetError(f"{folder / name}: not there; --material names the folder that holds it")
        for place in sorted(path for path in (folder / name).iterdir() if path.is_dir()):
            yield place.name, role, sorted(path for path in place.iterdir() if path.is_file())
