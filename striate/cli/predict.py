"""`striate predict`: name what is in images."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|MODEL", help="Folder that `striate train` wrote; a model with --weights.")
    ],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Images, folders of images, tar shards, or - for standard input (an image, or a list of paths).",
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option(help="imagenet, imagenet:TAG (see `striate weights`) or a weights file, for the model named."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each image.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=4096, help="Images at a time.")] = 64,
) -> None:
    """One result a line; files that can't be read are reported at the end, the others are answered."""
    from striate.cli.answers import print_answers

    print_answers(
        run,
        files,
        weights=weights,
        top=top,
        form="json" if as_json else "csv" if as_csv else "text",
        both=as_json and as_csv,
        batch=batch,
    )
