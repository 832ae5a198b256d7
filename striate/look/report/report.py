"""The report: all that Striate shows of an image, on one page that needs nothing else."""

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path

from striate import durable
from striate.errors import UsageError
from striate.look.report import page
from striate.look.report.looked import Looked, Subject, look_at
from striate.look.report.network import Network, look_into
from striate.models.registry import entry
from striate.run.classifier import Classifier, Picture, listed, load
from striate.run.folder import Run

Progress = Callable[[int, int, str], None]  # images done, of how many, the name of the next


@dataclass(frozen=True, eq=False)
class Report:
    """Images, and what a network makes of them; in a notebook it shows itself."""

    subject: Subject
    network: Network
    images: tuple[Looked, ...]

    @cached_property
    def html(self) -> str:
        """The page, whole: nothing in it is fetched or run."""
        return page.whole(self.subject, self.network, self.images)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page, all or nothing.  Raises: EnvironmentFault."""
        durable.write_text(Path(path), self.html)
        return Path(path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the page warns of, with the image it is about."""
        return tuple(f"{one.name}: {text}" for one in self.images for text in one.warnings)

    def _repr_html_(self) -> str:
        return page.fragment(self.subject, self.network, self.images)


def report(
    what: Classifier | Run | str | PathLike[str], images: Picture | Iterable[Picture], *,
    weights: str | PathLike[str] | None = None, model: str | None = None, about: str | None = None,
    check: bool = True, progress: Progress | None = None,
) -> Report:  # fmt: skip
    """What a network says of images, where it looks, and whether that can be believed, as a page to read.

    `what` is a run (its folder), a model's name with `weights` as for `striate.load`, or a classifier; of that,
    `model` may name the network in the zoo. Images are what `Classifier.predict` takes. `about` is the class that maps
    explain, by name or number; None: the predicted one of each image. `check` tests the maps, which takes most of the
    time. The network is left as it was.

    Raises: UsageError without images; UnknownName for a class or a model; as `striate.load`; ImageError.
    """
    return report_on(_subject(what, weights, model), images, about=about, check=check, progress=progress)


def report_on(
    subject: Subject, images: Picture | Iterable[Picture], *, about: str | None = None, check: bool = True,
    progress: Progress | None = None,
) -> Report:  # fmt: skip
    """The same for a network that has been opened.  Raises: UsageError, UnknownName, ImageError."""
    several = listed(images)
    if not several:
        raise UsageError("there are no images to report on; give at least one")
    found = []
    for i, (picture, name) in enumerate(zip(several, _names(several), strict=True)):
        if progress is not None:
            progress(i, len(several), name)
        source = subject.classifier.read(picture, name)
        found.append(look_at(subject, name, source, about=about, check=check))
    if progress is not None:
        progress(len(several), len(several), "")
    return Report(subject, look_into(subject, found), tuple(found))


def words_of(what: str | PathLike[str], weights: str | PathLike[str] | None) -> str:
    """A network as a command names it; of files their names alone, for a page that is passed on tells no folders.

    >>> words_of("mobilenet_v2", "imagenet"), words_of("runs/first", None)
    ('mobilenet_v2 --weights imagenet', 'first')
    """
    if weights is None:
        return shlex.quote(Path(what).resolve().name)
    words = fspath(weights)
    return f"{what} --weights {shlex.quote(Path(words).name if os.sep in words else words)}"


def _subject(what: object, weights: str | PathLike[str] | None, model: str | None) -> Subject:
    if isinstance(what, Classifier):
        if weights is not None:
            raise UsageError(f"a classifier has its weights; weights={fspath(weights)!r} is for a model's name")
        name = None if model is None else entry(model).name
        return Subject(what, name, name or type(what.module).__name__)
    if model is not None:
        raise UsageError(f"model={model!r} is for a classifier; a run or a model's name says itself what it is")
    if weights is not None and isinstance(what, str | PathLike):
        name = entry(str(what)).name
        return Subject(load(what, weights=weights), name, name, words_of(name, weights))
    if not isinstance(what, Run | str | PathLike):
        raise UsageError(f"a {type(what).__name__}; expected a run, a model's name with weights, or a classifier")
    classifier = load(what)
    run = what if isinstance(what, Run) else Run(Path(what))
    return Subject(classifier, run.identity.spec.name, run.name, words_of(run.folder, None))


def _names(pictures: list[object]) -> list[str]:
    """File names where there are any; what is called alike is numbered."""
    found: dict[str, int] = {}
    names = []
    for i, picture in enumerate(pictures, 1):
        name = Path(picture).name if isinstance(picture, str | PathLike) else f"image {i}"
        found[name] = found.get(name, 0) + 1
        names.append(name if found[name] == 1 else f"{name} ({found[name]})")
    return names
