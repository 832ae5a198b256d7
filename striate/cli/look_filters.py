"""`striate look filters` and `striate look patterns`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate import durable
from striate.cli.bar import bar
from striate.cli.opened import WEIGHTS_HELP, open_classifier, png_path
from striate.errors import UnknownName, UsageError, suggest

METHODS, CONTRASTS = ("deck", "fourier"), ("each", "shared")
Model = Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or a model, with --weights.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The picture that is written, .png.")]
Weights = Annotated[str | None, typer.Option(help=WEIGHTS_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="The numbers, on standard output.")]


def look_filters(
    model: Model,
    out: Out = None,
    layer: Annotated[str | None, typer.Option("--layer", "-l", help="A convolution; by default the first.")] = None,
    contrast: Annotated[
        str, typer.Option(help="each: every filter by its own largest weight; shared: all by the layer's.")
    ] = "each",
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Show the kernels of a layer as pictures: in colour where they read the image."""
    png_path(out, as_json)
    if contrast not in CONTRASTS:
        raise UnknownName(f"no contrast is called {contrast!r}{suggest(contrast, CONTRASTS, 'each or shared')}")
    from striate.look.filters.kernels import kernels
    from striate.models.registry import entry

    classifier, name, who = open_classifier(model, weights)
    found = kernels(classifier.module, layer or entry(name).stem, order=classifier.preprocess.order)
    if out is not None:
        from striate.look.filters.picture import kernel_sheet
        from striate.look.png import picture_png

        sheet = kernel_sheet(found, f"{who}, {found.layer}: kernels", "shared" if contrast == "shared" else "each")
        durable.write_bytes(out, picture_png(sheet))
    if as_json:
        typer.echo(json.dumps({"model": name} | found.to_json(), indent=2, ensure_ascii=False))
        return
    typer.echo(f"Wrote {out}: the kernels of {found.layer}, {' × '.join(map(str, found.weights.shape))}")
    _warn(found.notes)


def look_patterns(
    model: Model,
    out: Out = None,
    layer: Annotated[str | None, typer.Option("--layer", "-l", help="Name of a step: all its channels.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", "-c", metavar="N|N,N|N-N", help="Only these; may be repeated.")
    ] = None,
    unit: Annotated[str | None, typer.Option(metavar="C,Y,X", help="One place of a map: channel, row, column.")] = None,
    about: Annotated[list[str] | None, typer.Option("--class", help="A class by name or number; repeatable.")] = None,
    method: Annotated[
        str, typer.Option("--method", "-m", help="deck: as in the lectures; fourier: clearer, slower.")
    ] = "deck",
    steps: Annotated[int | None, typer.Option(help="Steps upwards; by default 40 (deck), 96 (fourier).")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels; by default 150 or less for a layer, the network's for a class.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise that it begins with.")] = 0,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Show what excites filters, a unit or a class most: images found by climbing along gradients."""
    png_path(out, as_json)
    if method not in METHODS:
        raise UnknownName(f"no method is called {method!r}{suggest(method, METHODS, 'deck or fourier')}")
    place = _unit(unit)
    from striate.look.filters.ascent import Ascent, Fourier
    from striate.look.filters.asked import canvas_for, numbers, objectives
    from striate.look.filters.patterns import patterns

    which = numbers(channel) if channel else None
    way: Ascent | Fourier = Ascent() if method == "deck" else Fourier()
    if steps is not None:
        way = type(way)(steps=steps)
    classifier, name, who = open_classifier(model, weights)
    canvas = canvas_for(classifier, None if about else layer, size)
    wanted = objectives(classifier, canvas, layer=layer, which=which, unit=place, about=about or ())
    with bar(f"{len(wanted)} pattern{'s' if len(wanted) != 1 else ''}") as progress:
        found = patterns(
            classifier.module, wanted, canvas, way, seed=seed, classes=len(classifier.classes), progress=progress
        )
    if out is not None:
        from striate.look.filters.picture import pattern_sheet
        from striate.look.png import picture_png

        what = "the classes" if about and len(about) > 1 else "the class" if about else layer
        durable.write_bytes(out, picture_png(pattern_sheet(found, f"{who}: what excites {what} most")))
    if as_json:
        typer.echo(json.dumps({"model": name} | found.to_json(), indent=2, ensure_ascii=False))
        return
    h, w = canvas.size
    typer.echo(f"Wrote {out}: {len(wanted)} pattern{'s' if len(wanted) != 1 else ''} of {h} × {w} pixels; {found.said}")
    _warn(found.notes)


def _unit(typed: str | None) -> tuple[int, int, int] | None:
    if typed is None:
        return None
    words = [word.strip() for word in typed.split(",")]
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        raise UsageError(f"--unit {typed!r}: expected channel, row and column, such as 2,10,12")
    return int(words[0]), int(words[1]), int(words[2])


def _warn(notes: tuple[str, ...]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)
