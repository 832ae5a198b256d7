"""`striate look activations`."""

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from striate import durable
from striate.cli.bar import bar
from striate.cli.opened import WEIGHTS_HELP, open_classifier
from striate.errors import UnknownName, UsageError, suggest

SCALES = ("channel", "shared")
OTHERS = {".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".svg", ".pdf", ".html", ".json"}  # no folder is called so


def look_activations(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or a model, with --weights.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER|FILE.png",
            help="A folder: a sheet a layer and a page; a .png: the stages, or the layers named, of one image.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="Name of a step; may be repeated. Else blocks fold.")
    ] = None,
    all_layers: Annotated[bool, typer.Option("--all-layers", help="Sheets of the blocks that repeat, too.")] = False,
    scale: Annotated[
        str, typer.Option(help="channel: each by its own largest value; shared: all of a layer by one.")
    ] = "channel",
    weights: Annotated[str | None, typer.Option(help=WEIGHTS_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers of every layer, on standard output.")] = False,
) -> None:  # fmt: skip
    """Show every channel of every layer for an image, and how sparsity changes with depth."""
    picture = _asked(out, layer, all_layers, as_json)
    if scale not in SCALES:
        raise UnknownName(f"no scale is called {scale!r}{suggest(scale, SCALES, 'there are channel and shared')}")
    from striate.data.decode import read_image
    from striate.look.activations.activations import activations
    from striate.look.activations.depth import things_to_note
    from striate.look.activations.folder import FOLDED, named, one_picture, write_sheets
    from striate.look.activations.tiles import Scale

    classifier, name, who = open_classifier(model, weights)
    background = classifier.preprocess.background
    shown = named(classifier, [(str(path), read_image(path, background=background).pixels) for path in images])
    how = cast(Scale, scale)
    if out is None:
        found = activations(classifier.module, shown.x, layer or None)
        said = ""
    elif picture:
        content, found = one_picture(classifier.module, shown, layer or "stages", title=who, scale=how)
        durable.write_bytes(out, content)
        said = f"Wrote {out}: {', '.join(one.name for one in found)}"
    else:
        wanted = layer or (None if all_layers else FOLDED)
        with bar("sheets") as progress:
            written = write_sheets(
                classifier.module, shown, out, wanted, title=who, scale=how, progress=progress
            )  # fmt: skip
        found = written.found
        folded = sum(len(fold.like) for fold in written.folds)
        blocks = f"; {folded} blocks like others are folded, --all-layers writes them" if folded else ""
        sheets = "1 sheet" if len(written.files) == 1 else f"{len(written.files):,} sheets"
        said = f"Wrote {written.page} and {sheets}{blocks}"
    if as_json:
        told = {"model": name, "files": [str(path) for path in images]} | found.to_json()
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo("\n".join([said, *([] if picture else things_to_note(found))]))
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


def _asked(out: Path | None, layer: list[str] | None, all_layers: bool, as_json: bool) -> bool:
    """Whether one picture is wanted, not a folder."""
    if out is None and not as_json:
        raise UsageError("where should the sheets go? Add -o FOLDER, or -o FILE.png; or --json for the numbers alone")
    if layer and all_layers:
        raise UsageError("--layer and --all-layers exclude each other")
    if out is None:
        return False
    suffix = out.suffix.lower()
    if suffix in OTHERS:
        raise UsageError(f"{out} would be a file of the form {suffix!r}; expected a folder, or a .png")
    if suffix == ".png" and all_layers:
        raise UsageError(f"all layers are too many for the one picture {out}; name a folder")
    return suffix == ".png"
