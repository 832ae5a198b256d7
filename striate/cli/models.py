"""`striate models`, `striate summary` and `striate compare`."""

import gc
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from striate import durable
from striate.errors import UsageError


def models(
    pattern: Annotated[str, typer.Argument(help="Name of one, or a shell pattern, for example 'resnet*'.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List the architectures, oldest first; or show the fact sheet of one."""
    from striate.look.costs.zoo import Facts, Zoo, facts, models_table
    from striate.models.registry import list_models

    one = not set(pattern) & set("*?[") and len(list_models(pattern)) == 1
    found: Facts | Zoo = facts(pattern) if one else models_table(pattern)
    if as_json:
        content = found.to_json()
        typer.echo(json.dumps(content if isinstance(content, list) else [content], indent=2, ensure_ascii=False))
    else:
        typer.echo(found.text(_width()))


def summary(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="Name of an architecture, or a run folder.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels; by default the model's own.")
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels of the image.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of outputs.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Also the memory that a step on this many images needs.")
    ] = None,
    optimiser: Annotated[
        str, typer.Option("--optimiser", "--optimizer", help="For that memory: sgd, rmsprop, adam or adamw.")
    ] = "sgd",
    depth: Annotated[
        int | None, typer.Option(min=1, help="Fold blocks below so many names: 1 is a line for each stage.")
    ] = None,
    every: Annotated[bool, typer.Option("--every", help="A line for every layer, also of blocks that repeat.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, every layer.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as one page, too.")] = None,
) -> None:
    """Layer table: output shape, parameters, multiply-adds, activation memory, receptive field."""
    from striate.look.costs.summary import summarise

    if every and depth is not None:
        raise UsageError("--depth folds what --every unfolds; give one of them")
    with without_collecting():
        found = summarise(
            model, size=size, in_chans=channels, num_classes=classes, batch=batch, optimizer=optimiser.lower()
        )
        text = (
            json.dumps(found.to_json(), indent=2) if as_json else found.text(width=_width(), depth=depth, every=every)
        )
    if html is not None:
        durable.write_text(html, found.html())
    typer.echo(text)
    if html is not None and not as_json:
        typer.echo(f"\nWrote {html}")


@contextmanager
def without_collecting() -> Iterator[None]:
    """Python does not look for garbage meanwhile: a network of a thousand layers is made of objects that all stay, and
    looking through them took a third of the time (ResNet-1202: 1.6 s, and 1.1 s without).
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _width() -> int:
    """Columns to write in: the terminal's, at most 100; 100 where nobody looks."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 40), 100)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names, patterns; NAME@TAG: other weights.")],
    source: Annotated[
        str, typer.Option("--from", help="weights: accuracies that published ones reach; paper: as printed.")
    ] = "weights",
    picture: Annotated[
        Path | None, typer.Option("--picture", "-o", metavar="FILE", help="Accuracy against operations: .svg or .png.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write both as one page, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Compare architectures by published accuracy, operations and parameters; every figure says whose it is."""
    from striate.cli.look_diagram import picture_form
    from striate.look.costs.compare import compare as compared
    from striate.look.costs.compare_picture import picture as drawn

    form = picture_form(picture) if picture else ""
    found = compared(*names, source=source)
    if picture:
        image = drawn(found)
        durable.write_bytes(picture, image.png() if form == ".png" else image.svg().encode())
    if html:
        from striate.look.costs.compare_page import page

        durable.write_text(html, page(found))
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else found.text(_width()))
    written = [str(path) for path in (picture, html) if path]
    if written and not as_json:
        typer.echo(f"\nWrote {', '.join(written)}")
