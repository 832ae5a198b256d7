"""`striate data`: the data sets that have a name, and tar shards."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.data.shards.index import Index

app = typer.Typer(no_args_is_help=True, help="Data sets that have a name, and tar shards of any.")
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


@app.command()
def shards(
    data: Annotated[str, typer.Argument(help="Folder, list, data set or shards; `striate train` reads the result.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the shards.")],
    size_mb: Annotated[float, typer.Option("--size", min=0.001, help="Megabytes of a shard, about.")] = 256.0,
    data_dir: DataDir = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not here.")] = False,
) -> None:
    """Pack images into tar shards of webdataset's form, with an index; images stay as they are, to the byte."""
    from striate.cli.progress import listener
    from striate.data.shards.packing import pack

    with listener() as report:
        index = pack(
            data, out, size=int(size_mb * 1e6), data_dir=data_dir, download=download,
            progress=lambda done, of: report.prepare("writing shards", done, of),
        )  # fmt: skip
    typer.echo(_said(out, index))


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="Folder of shards with its shards.json.")]) -> None:
    """Read every shard whole, and compare its SHA-256 with the one that was written."""
    from striate.data.shards.index import verify as compare

    typer.echo(f"{_said(folder, compare(folder))}: as they were written.")


def _said(folder: Path, index: "Index") -> str:
    from striate.data.wording import plural

    entries = list((index.shards or {}).values())
    images, size = sum(entry.images for entry in entries), sum(entry.bytes for entry in entries)
    return f"{folder}: {plural(len(entries), 'shard')}, {plural(images, 'image')}, {size / 1e6:,.1f} MB"
