"""`striate look top` and `striate look field`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.opened import WEIGHTS_HELP, open_classifier, png_path
from striate.cli.opened_data import Data, DataDir, Download, SplitName, open_split
from striate.errors import UsageError

Model = Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or a model, with --weights.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The picture that is written, .png.")]
Weights = Annotated[str | None, typer.Option(help=WEIGHTS_HELP)]
Layers = Annotated[
    list[str] | None, typer.Option("--layer", help="Step to look at, may be repeated; by default one a resolution.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The numbers, on standard output.")]


def look_top(
    model: Model,
    data: Data = "",
    out: Out = None,
    layer: Layers = None,
    channel: Annotated[list[int] | None, typer.Option(help="Channel, may be repeated; by default all.")] = None,
    most: Annotated[int, typer.Option("-n", help="Images a channel.")] = 9,
    per_image: Annotated[int, typer.Option(help="Places of one image that may be taken.")] = 1,
    split: SplitName = "",
    weights: Weights = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Show the images and patches of a data set that excite each channel most; 32 rows a file, then FILE-2.png."""
    png_path(out, as_json)
    if min(most, per_image) < 1:
        raise UsageError(f"-n {most}, --per-image {per_image}: both must be at least 1")
    from striate import durable
    from striate.cli.progress import listener
    from striate.look.excite.exciting import what_excites

    classifier, name, who = open_classifier(model, weights)
    with listener() as report:
        part = open_split(model, weights, data, classifier.preprocess, split=split, data_dir=data_dir,
                          download=download, tell=report.prepare)  # fmt: skip
        found = what_excites(
            classifier.module, part.split, classifier.preprocess, layer, classes=part.dataset.classes,
            channels=channel, most=most, per_image=per_image, batch=batch,
            progress=lambda done, of: report.prepare("looking", done, of),
        )  # fmt: skip
    if out is not None:
        from striate.look.excite.picture import draw_top, pages
        from striate.look.png import picture_png

        sheets = [(one, rows) for one in found.tops for rows in pages(one)]
        for i, (one, rows) in enumerate(sheets, 1):
            path = out if i == 1 else out.with_stem(f"{out.stem}-{i}")
            durable.write_bytes(path, picture_png(draw_top(found, one, rows=rows, who=f"{who} on {part.title}")))
        if not as_json:
            more = f" to {out.stem}-{len(sheets)}.png" if len(sheets) > 1 else ""
            steps = ", ".join(f"{one.layer} ({len(one.channels):,} channels)" for one in found.tops)
            typer.echo(f"Wrote {out}{more}: what excites {steps} most, of {len(part.split):,} images")
    if as_json:
        told = {"model": name, "data": part.dataset.name, "split": part.role} | found.to_json()
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))


def look_field(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Drawn on the first, a mean over all.")],
    out: Out = None,
    layer: Layers = None,
    channel: Annotated[int | None, typer.Option(help="Channel of each step; by default all together.")] = None,
    weights: Weights = None,
    seed: Annotated[int, typer.Option(help="For the random signs of the channels.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show how much of an image a unit may see, and how much of it changes the unit in effect."""
    png_path(out, as_json)
    from striate import durable
    from striate.data.decode import read_image
    from striate.look.excite.effective import effective_fields
    from striate.look.excite.exciting import as_seen

    classifier, name, who = open_classifier(model, weights)
    preprocess = classifier.preprocess
    pixels = [read_image(path, background=preprocess.background).pixels for path in images]
    found = effective_fields(classifier.module, preprocess(pixels), layer, channel=channel, seed=seed)
    if out is not None:
        from striate.look.excite.picture import draw_fields
        from striate.look.png import figure_png

        durable.write_bytes(out, figure_png(draw_fields(found, as_seen(preprocess, pixels[0]), who)))
        if not as_json:
            last = found[-1]
            size = "×".join(map(str, last.seen.field.size)) if last.seen.field else "unknown"
            typer.echo(f"Wrote {out}: {last.layer} sees {size} px in theory, {last.side:.0f} a side in effect")
    if as_json:
        told = {"model": name, "image": preprocess.size, "steps": [one.to_json() for one in found]}
        typer.echo(json.dumps(told, indent=2))
