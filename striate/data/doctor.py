"""The data gate: everything about a data set that would spoil a training, found before it starts.

`diagnose` opens what the user named, `examine` judges what was screened. Both return findings as data and change
nothing: what Striate does about a finding, it does when it reads the images (leaves out, turns upright ...).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.checks import classes, copies, folder, images
from striate.data.checks.finding import SEVERITIES, Diagnosis, Finding, all_seen
from striate.data.choose import choose
from striate.data.dataset import Dataset, Split
from striate.data.limits import Limits
from striate.data.listing import Listing, for_training, in_order, printable
from striate.data.preprocess import Preprocess
from striate.data.screen import Screened, inspect
from striate.data.sources import NAMES, WHITE, look, open_dataset
from striate.data.split import UNDIVIDED, Rule
from striate.errors import DatasetError

Progress = Callable[[str, int, int], None]  # what is being done, done, in all
SIZE = 224  # pixels, height and width that the network is taken to see, where images differ and nothing was said


@dataclass(frozen=True, eq=False)
class Examination:
    """A diagnosis, and what it was made of."""

    diagnosis: Diagnosis
    screened: Screened
    preprocess: Preprocess | None  # None where no training image can be read


def diagnose(
    source: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    val_share: float = 0.1,
    test_share: float | None = None,
    group_by: str | None = None,
    seed: int = 0,
    size: int | None = None,
    near: bool = True,
    workers: int = 2,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Examination:
    """Open a data set as training would, look at every image, and judge; `size` is what the network sees, in pixels.

    A folder that training would refuse is examined all the same, as far as there are classes with images in it.

    Raises: UnknownName, DatasetError where there is nothing to examine; and as `sources.open_dataset`.
    """
    rule = Rule(val=val_share, test=test_share, group_by=group_by, seed=seed)
    listing, refusal = (None if source in NAMES else look(source, download=download)), None
    if listing is None:
        dataset = open_dataset(
            source, data_dir=data_dir, download=download, val_share=val_share, test_share=test_share,
            group_by=group_by, seed=seed,
        )  # fmt: skip
    else:
        try:
            dataset = for_training(listing, rule, WHITE, Limits())
        except DatasetError as error:
            dataset, refusal = _as_it_is(listing), str(error)
    screened = inspect(
        dataset, workers=workers, cache=cache,
        progress=None if progress is None else lambda done, of: progress("reading images", done, of),
    )  # fmt: skip
    preprocess, why = _preprocess(screened, size)
    diagnosis = examine(
        screened, listing=listing, preprocess=preprocess, why=why, refusal=refusal, near=near, progress=progress
    )
    return Examination(diagnosis, screened, preprocess)


def examine(
    screened: Screened,
    *,
    listing: Listing | None = None,
    preprocess: Preprocess | None = None,
    why: str = "",
    refusal: str | None = None,
    near: bool = True,
    progress: Progress | None = None,
) -> Diagnosis:
    """Judge what was screened; `listing` tells what else a folder holds, `refusal` why training would not open it."""
    dataset, seen = screened.dataset, list(all_seen(screened))
    findings = [*images.unreadable(seen), *images.odd_names(seen), *images.formats(seen)]
    findings += [*images.shapes(seen, preprocess), *copies.exact(seen)]
    findings += [*classes.names(screened.original.classes), *classes.numbers(screened)]
    if listing is not None:
        findings += [*folder.passed_over(listing), *folder.structure(listing)]
    if refusal is not None and not {"single-class", "unknown-class"} & {finding.kind for finding in findings}:
        findings.append(
            Finding("not-trainable", "error", 1, (), refusal, "Training refuses to start.", "See the message.")
        )
    told = ("Passed over ", "The classes ")  # by the findings too
    notes = [note for note in dataset.notes if listing is None or not note.startswith(told)]
    if near:
        shown = None if progress is None else lambda done, of: progress("comparing images", done, of)
        more, said = copies.near(seen, screened.original, shown)
        findings, notes = findings + more, notes + said
    return Diagnosis(
        name=dataset.name,
        classes=screened.original.classes,
        images={role: len(split) for role, split in dataset.splits.items()},
        per_class={role: tuple(dataset.counts(role).tolist()) for role in dataset.splits},
        facts=images.summary(seen),
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        notes=tuple(notes),
        preprocess=f"{preprocess.describe()} Why: {why}."
        if preprocess and why
        else preprocess.describe()
        if preprocess
        else "",
        sha256=screened.fingerprint.sha256,
    )


def _as_it_is(listing: Listing) -> Dataset:
    """What can't be trained on, with all classes of all splits."""
    names = tuple(in_order({name for files in listing.files.values() for name in files}))
    splits = {}
    for role, files in listing.files.items():
        paths = [path for name in files for path in files[name]]
        labels = np.repeat([names.index(name) for name in files], [len(files[name]) for name in files])
        where = "train" if role == UNDIVIDED else role
        pictures = listing.images(paths, WHITE, Limits())
        splits[where] = Split(pictures, labels.astype(np.int64), tuple(map(printable, paths)))
    return Dataset(listing.name, names, splits, 3, listing.notes)


def _preprocess(screened: Screened, size: int | None) -> tuple[Preprocess | None, str]:
    """The preprocessing that training would choose for a network that sees `size`, and why."""
    train, sizes = screened.dataset.splits.get("train"), screened.sizes() if "train" in screened.records else None
    if train is None or sizes is None or not len(sizes):
        return None, ""
    shape = train.images.shape()
    sees = (size, size) if size else shape[:2] if shape else (SIZE, SIZE)
    choice = choose(train, sizes, size=sees, channels=screened.dataset.channels)
    return choice.preprocess, choice.why
