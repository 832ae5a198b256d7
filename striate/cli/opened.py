"""What the commands that look into a network are given: a run, or a model of the zoo with weights."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.run.classifier import Classifier

WEIGHTS_HELP = "imagenet, imagenet:TAG (see `striate weights`) or a weights file, for the model named."


class Opened(NamedTuple):
    """A classifier, the name of its network in the zoo, and what to call it in a title."""

    classifier: "Classifier"
    model: str
    title: str


def open_classifier(model: str, weights: str | None) -> Opened:
    """A run's folder; or, with weights, a model by its name. What was assumed is said on standard error."""
    from striate.cli.downloads import download_bars
    from striate.models.registry import entry
    from striate.run.buffers import keep_big_buffers
    from striate.run.classifier import load
    from striate.run.folder import Run

    keep_big_buffers()
    if weights is None:
        classifier = load(model)
        name = Run(Path(model)).identity.spec.name
        title = f"{Path(model).resolve().name}, {name}"
    else:
        with download_bars() as show:
            classifier = load(model, weights=weights, progress=show)
        name = title = entry(model).name
    for note in classifier.notes:
        typer.echo(f"note: {note}", err=True)
    return Opened(classifier, name, title)


def png_path(out: Path | None, otherwise: bool) -> None:
    """Refuse a picture that could not be written, or none where nothing else is told, before anything is computed."""
    if out is None and not otherwise:
        raise UsageError("where should the picture go? Add -o FILE.png; or --json for the numbers alone")
    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"{out} would be a picture of the form {out.suffix or '(none)'!r}; this one is a .png")
