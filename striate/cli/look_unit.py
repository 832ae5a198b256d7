"""`striate look unit`: one unit of a network, term by term."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate import durable
from striate.cli.opened import WEIGHTS_HELP, open_classifier, png_path
from striate.errors import UsageError


def look_unit(
    run: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="Folder that `striate train` wrote; a model with --weights.")
    ],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image that the network looks at.")],
    layer: Annotated[str, typer.Option("--layer", "-l", help="Name of a step; `striate summary` lists them.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="C,Y,X",
            help="Channel, row, column; the unit's number in a dense layer. By default the one with the largest value.",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help=WEIGHTS_HELP)] = None,
    toward: Annotated[
        str | None, typer.Option("--class", help="Class whose logit the way back begins at; else the predicted one.")
    ] = None,
    loss: Annotated[bool, typer.Option("--loss", help="Begin at the cross-entropy with that class as label.")] = False,
    terms: Annotated[str, typer.Option(metavar="N|all", help="How many terms to list, the largest first.")] = "12",
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE.png", help="Draw it, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, with every term.")] = False,
) -> None:
    """Show what one unit is made of: patch, kernel, products, sum; and what the way back tells it."""
    place, most = _place(at), _most(terms)
    png_path(out, otherwise=True)
    from striate.data.decode import read_image
    from striate.look.units.unit import unit

    classifier = open_classifier(run, weights).classifier
    preprocess = classifier.preprocess
    source = read_image(image, background=preprocess.background).pixels
    found = unit(
        classifier.module, preprocess([source]), layer, place, toward=toward, loss=loss, classes=classifier.classes
    )
    typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else found.text(most))
    if out is not None:
        from striate.look.png import figure_png
        from striate.look.units.picture import draw_unit

        picture = preprocess.pixels(source).transpose(1, 2, 0)[:, :, :: -1 if preprocess.order == "bgr" else 1]
        durable.write_bytes(out, figure_png(draw_unit(found, picture, classifier.module.get_submodule(layer)), 130))
        typer.echo(f"\nWrote {out}", err=as_json)


def _place(at: str | None) -> tuple[int, ...] | None:
    try:
        return None if at is None else tuple(int(word) for word in at.split(","))
    except ValueError:
        raise UsageError(f"--at {at!r}: expected whole numbers with commas between them, such as 2,10,12") from None


def _most(terms: str) -> int | None:
    if terms == "all":
        return None
    if not terms.isdecimal() or int(terms) < 1:
        raise UsageError(f"--terms {terms!r}: expected a whole number from 1, or all")
    return int(terms)
