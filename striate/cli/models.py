"""`striate models` and `striate summary`."""

import json
from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, for example 'resnet*'.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List the architectures, oldest first."""
    from striate.look.summary import models_table

    table = models_table(pattern)
    typer.echo(json.dumps(table.to_json(), indent=2) if as_json else str(table))


def summary(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="Name of an architecture, or a run folder.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels; by default the model's own.")
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels of the image.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Number of outputs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Layer table: output shape, parameters, multiply-adds, activation memory, receptive field."""
    from striate.look.summary import summarise

    found = summarise(model, size=size, in_chans=channels, num_classes=classes)
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else str(found))
