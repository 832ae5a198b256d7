"""`striate look diagram`."""

from pathlib import Path
from typing import Annotated

import typer

from striate import durable
from striate.errors import UsageError

FORMS = (".svg", ".png")


def look_diagram(
    model: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="Name of an architecture, or a run folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The picture: .svg or .png.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels; by default the model's own.")
    ] = None,
) -> None:
    """Draw a network: its layers as boxes with shapes and parameters, repeated blocks once."""
    from striate.look.costs.summary import summarise
    from striate.look.diagrams.diagram import diagram

    form = picture_form(out)
    picture = diagram(summarise(model, size=size))
    durable.write_bytes(out, picture.png() if form == ".png" else picture.svg().encode())
    typer.echo(f"Wrote {out}, {picture.width} by {picture.height} pixels")


def picture_form(path: Path) -> str:
    """The end of a picture's name.  Raises: UsageError for one that is not drawn."""
    form = path.suffix.lower()
    if form not in FORMS:
        raise UsageError(f"{path} would be a picture of the form {form or '(none)'!r}; it can be .svg or .png")
    return form
