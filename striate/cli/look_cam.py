"""`striate look cam` and `striate look attribution`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.opened import WEIGHTS_HELP, open_classifier, png_path
from striate.errors import UnknownName, UsageError, suggest

CAM = ("gradcam", "cam", "gradcam++", "scorecam", "layercam")
PIXELS = ("integrated", "saliency", "occlusion", "guided", "deconvolution", "guided_gradcam")
Model = Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Folder of a run; or a model, with --weights.")]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, a row of the picture each.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="The picture that is written, .png.")]
Weights = Annotated[str | None, typer.Option(help=WEIGHTS_HELP)]
About = Annotated[str | None, typer.Option("--class", help="Name or number; by default what is predicted.")]
Layer = Annotated[str | None, typer.Option(help="Step to read; by default the last one that has places.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Test the map: random weights, deletion, insertion.")]
AsJson = Annotated[bool, typer.Option("--json", help="The numbers, on standard output.")]


def look_cam(
    model: Model,
    images: Images,
    out: Out = None,
    method: Annotated[str, typer.Option("--method", "-m", help=", ".join(CAM) + ".")] = "gradcam",
    layer: Layer = None,
    about: About = None,
    share: Annotated[float, typer.Option(help="Of the maximum, from which on a place is in the box.")] = 0.5,
    weights: Weights = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Show where in an image the evidence for a class is, and the box around it."""
    _known(method, CAM, PIXELS, "attribution")
    _explain(model, images, out, method, layer, about, share, weights, check, as_json)


def look_attribution(
    model: Model,
    images: Images,
    out: Out = None,
    method: Annotated[str, typer.Option("--method", "-m", help=", ".join(PIXELS) + ".")] = "integrated",
    layer: Annotated[str | None, typer.Option(help="Step that guided_gradcam reads.")] = None,
    about: About = None,
    weights: Weights = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Show how much each pixel of an image matters for a class."""
    _known(method, PIXELS, CAM, "cam")
    _explain(model, images, out, method, layer, about, 0.5, weights, check, as_json)


def _known(method: str, own: tuple[str, ...], others: tuple[str, ...], command: str) -> None:
    if method in others:
        raise UsageError(f"{method} is a method of `striate look {command}`; here there are {', '.join(own)}")
    if method not in own:
        raise UnknownName(f"no method is called {method!r}{suggest(method, own, 'there are ' + ', '.join(own))}")


def _explain(
    model: str, images: list[Path], out: Path | None, method: str, layer: str | None, about: str | None, share: float,
    weights: str | None, check: bool, as_json: bool,
) -> None:  # fmt: skip
    png_path(out, as_json)
    from striate import durable
    from striate.data.decode import read_image
    from striate.look.explain.explained import explain

    classifier, name, who = open_classifier(model, weights)
    background = classifier.preprocess.background
    pixels = {str(path): read_image(path, background=background).pixels for path in images}
    found = explain(classifier, pixels, method, model=name, layer=layer, about=about, share=share, check=check)
    if out is not None:
        from striate.look.explain.picture import draw_explained
        from striate.look.png import figure_png

        durable.write_bytes(out, figure_png(draw_explained(found, who)))
    if as_json:
        typer.echo(json.dumps({"model": name} | found.to_json(), indent=2, ensure_ascii=False))
        return
    where = f", layer {found.layer}" if found.layer else ""
    typer.echo(f"Wrote {out}: {found.title}{where}, about {', '.join(dict.fromkeys(found.about))}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
