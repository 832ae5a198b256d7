"""`striate report`: everything about an image on one page."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.opened import WEIGHTS_HELP, open_classifier
from striate.errors import UsageError

if TYPE_CHECKING:
    from striate.look.report.report import Progress

DEFAULT = Path("report.html")


def report(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or a model, with --weights.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, a chapter of the page each.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help=f"The page; else {DEFAULT}, if there is none."),
    ] = None,
    weights: Annotated[str | None, typer.Option(help=WEIGHTS_HELP)] = None,
    about: Annotated[
        str | None, typer.Option("--class", help="Class that maps explain, name or number; else the predicted one.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Test the maps, which takes most of the time.")
    ] = True,
) -> None:
    """Write one page on what the network says of images, where it looks, and whether that can be believed."""
    place = _place(out)
    from striate.look.report.looked import Subject
    from striate.look.report.report import report_on, words_of

    opened = open_classifier(model, weights)
    title = opened.model if weights else Path(model).resolve().name
    subject = Subject(opened.classifier, opened.model, title, words_of(model, weights))
    with _shown(len(images)) as progress:
        found = report_on(subject, images, about=about, check=check, progress=progress)
    found.save(place)
    said = ", ".join(f"{one.name}: {one.prediction.label} {one.prediction.probability:.1%}" for one in found.images[:3])
    more = f" and {len(found.images) - 3} more" if len(found.images) > 3 else ""
    typer.echo(f"Wrote {place} ({place.stat().st_size / 1e6:.1f} MB): {said}{more}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _place(out: Path | None) -> Path:
    if out is None:
        if DEFAULT.exists():
            raise UsageError(
                f"{DEFAULT} is there already; name another page with -o FILE.html, or that one to replace it"
            )
        return DEFAULT
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{out} would be a page of the form {out.suffix or '(none)'!r}; this one is an .html")
    return out


@contextlib.contextmanager
def _shown(count: int) -> Iterator["Progress | None"]:
    """A bar on a terminal, for several images."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or count < 2:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=count)
        yield lambda done, of, name: bars.update(task, completed=done, total=of, description=name)
