"""What is wrong with the classes: their names, how many images they have, and in which splits."""

import unicodedata
from collections.abc import Iterator

import numpy as np

from striate.data.checks.finding import Finding, found
from striate.data.screen import Screened

FEW = 10  # training images of a class
UNEVEN = 3.0  # images of the largest class over those of the smallest


def names(classes: tuple[str, ...]) -> Iterator[Finding]:
    """Names that people and file systems confuse."""
    forms: dict[str, list[str]] = {}
    for name in classes:
        forms.setdefault(unicodedata.normalize("NFC", name).casefold().strip(), []).append(name)
    yield from found(
        "names-alike", "warning", [tuple(alike) for alike in forms.values() if len(alike) > 1],
        "{n} sets of class names differ only by case, by blanks, or by how an accented letter is stored.",
        "They are kept apart as classes of their own.", "Merge the folders if one class is meant.",
    )  # fmt: skip


def numbers(screened: Screened) -> Iterator[Finding]:
    """How many images the classes have in train, and whether they are in the other splits at all."""
    dataset = screened.dataset
    if "train" not in dataset.splits:
        return
    counts = dataset.counts("train")
    classes = np.array(dataset.classes, dtype=object)
    had = np.bincount(screened.original.split("train").labels, minlength=len(classes))
    yield from found(
        "class-lost", "error", classes[(counts == 0) & (had > 0)].tolist(),
        "{n} classes have no training image that can be read.", "Training refuses to start.",
        "Mend or replace the images, or remove the class.",
    )  # fmt: skip
    there = counts[counts > 0]
    few = (counts > 0) & (counts < FEW)
    yield from found(
        "few-images", "warning", [f"{classes[i]} ({counts[i]})" for i in np.flatnonzero(few)],
        f"{{n}} classes have fewer than {FEW} training images.", "They are used as they are.",
        "Gather more; with so few, what is measured of the class is chance.",
    )  # fmt: skip
    if len(there) > 1 and there.max() >= UNEVEN * there.min():
        least, most = int(np.where(counts > 0, counts, counts.max()).argmin()), int(counts.argmax())
        yield from found(
            "uneven-classes", "warning", [(f"{classes[least]} ({counts[least]})", f"{classes[most]} ({counts[most]})")],
            f"The largest class has {counts[most] / counts[least]:.1f} times as many training images as the smallest.",
            "All count alike in training; balanced accuracy is reported beside accuracy.",
            "Train with `--set class_weights=balanced`, or gather more of the small classes.",
        )  # fmt: skip
    for role in ("val", "test"):
        if role in dataset.splits:
            absent = (dataset.counts(role) == 0) & (counts > 0)
            yield from found(
                f"class-not-in-{role}", "warning", classes[absent].tolist(),
                f"{{n}} classes have no image in {role}.", f"Nothing is measured of them in {role}.",
                f"Put some of their images into {role}.",
            )  # fmt: skip
