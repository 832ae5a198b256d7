"""`striate data`: the data sets that have a name."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Data sets that have a name: which there are, and fetching one.")
DataDir = Annotated[Path | None, typer.Option(help="Folder of data sets; by default $STRIATE_DATA, then the cache.")]


@app.command("list")
def list_(
    data_dir: DataDir = None, as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False
) -> None:
    """Name, place or size, and terms of each."""
    from striate.data.sources import known

    rows = known(data_dir)
    if as_json:
        plain = [
            {"name": one.name, "bytes": one.size, "terms": one.terms, "folder": one.folder and str(one.folder)}
            for one in rows
        ]
        typer.echo(json.dumps(plain, indent=2))
    else:
        typer.echo("\n".join(map(str, rows)))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="mnist, fashion_mnist, cifar10 or cifar100.")], data_dir: DataDir = None
) -> None:
    """Download the original files of one, if they are not there; print their folder."""
    from striate.cli.downloads import download_bars
    from striate.data.sources import fetch_named

    with download_bars() as show:
        folder = fetch_named(name, data_dir, progress=show)
    typer.echo(str(folder))
