"""`striate demo`: the main job on the digits that come with the package, in a minute."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; by default a new one under runs/.")
    ] = None,
) -> None:
    """Train LeNet-5 on the embedded handwritten digits, evaluate it, explain it, and say what to do next."""
    from striate.cli.train import train

    typer.echo("Training LeNet-5 on 1,797 real handwritten digits (nothing is downloaded) ...", err=True)
    train(data="digits", model="lenet5", settings=[], out=out)
