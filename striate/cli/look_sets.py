"""`striate look embedding`, `striate look pairs` and `striate look probes`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.look_excite import AsJson, Layers, Model, Out, Weights
from striate.cli.opened import open_classifier, png_path
from striate.cli.opened_data import Data, DataDir, Download, SplitName, open_split, open_splits
from striate.errors import UnknownName, UsageError, suggest

MAPS = ("pca", "tsne", "umap")
Batch = Annotated[int, typer.Option(min=1, help="Images at a time.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same answer.")]


def look_embedding(
    model: Model,
    data: Data = "",
    out: Out = None,
    method: Annotated[str, typer.Option("--method", "-m", help=", ".join(MAPS) + ".")] = "pca",
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="The coordinates, a line an image.")
    ] = None,
    thumbnails: Annotated[bool, typer.Option("--thumbnails", help="Show images, where there is room.")] = False,
    perplexity: Annotated[float, typer.Option(help="Neighbours that tsne and umap look at, about.")] = 30.0,
    most: Annotated[int, typer.Option(min=2, help="Images; of more, as many are drawn by the seed.")] = 5000,
    seed: Seed = 0,
    split: SplitName = "",
    weights: Weights = None,
    batch: Batch = 64,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Draw the images of a data set as a map: near each other what the network's last features find alike."""
    if method not in MAPS:
        raise UnknownName(f"no method is called {method!r}{suggest(method, MAPS, 'there are ' + ', '.join(MAPS))}")
    png_path(out, as_json or table is not None)
    from striate import durable
    from striate.cli.progress import listener
    from striate.look.sets.embedding import embed
    from striate.look.sets.features import last_features

    classifier, name, who = open_classifier(model, weights)
    with listener() as report:
        part = open_split(model, weights, data, classifier.preprocess, split=split, data_dir=data_dir,
                          download=download, tell=report.prepare)  # fmt: skip
        features = last_features(
            classifier.module, part.split, classifier.preprocess, classes=part.dataset.classes, most=most, seed=seed,
            batch=batch, progress=lambda done, of: report.prepare("looking", done, of),
        )  # fmt: skip
        found = embed(features, method, seed=seed, perplexity=perplexity)
    if table is not None:
        durable.write_bytes(table, found.to_csv().encode("utf-8", "surrogateescape"))
    if out is not None:
        from striate.look.png import figure_png
        from striate.look.sets.picture import draw_embedding

        durable.write_bytes(out, figure_png(draw_embedding(found, f"{who} on {part.title}", thumbnails=thumbnails)))
    if as_json:
        told = {"model": name, "data": part.dataset.name, "split": part.role} | found.to_json()
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo(f"Wrote {' and '.join(str(path) for path in (out, table) if path)}: {len(features.split):,} images")


def look_pairs(
    model: Model,
    data: Data = "",
    out: Out = None,
    most: Annotated[int, typer.Option("-n", min=1, help="Pairs of classes.")] = 6,
    examples: Annotated[int, typer.Option(min=1, max=12, help="Images each way.")] = 4,
    split: SplitName = "",
    weights: Weights = None,
    batch: Batch = 64,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Show the classes that are taken for each other most, with the surest of these mistakes."""
    png_path(out, as_json)
    from striate import durable
    from striate.cli.progress import listener
    from striate.data.sources import aligned
    from striate.evaluation.predictions import predict_split
    from striate.look.sets.pairs import most_confused

    classifier, name, who = open_classifier(model, weights)
    with listener() as report:
        part = open_split(model, weights, data, classifier.preprocess, split=split, data_dir=data_dir,
                          download=download, tell=report.prepare)  # fmt: skip
        images = aligned(part.dataset, classifier.classes).split(part.role)
        said = predict_split(
            classifier.module, images, classifier.preprocess, classes=classifier.classes, role=part.role, batch=batch,
            progress=lambda done, of: report.prepare("answering", done, of),
        )  # fmt: skip
    found = most_confused(
        said.probabilities, images, classifier.preprocess, classifier.classes, most=most, examples=examples
    )
    if out is not None:
        from striate.look.png import picture_png
        from striate.look.sets.picture import draw_pairs

        durable.write_bytes(out, picture_png(draw_pairs(found, f"{who} on {part.title}")))
    if as_json:
        told = {"model": name, "data": part.dataset.name, "split": part.role} | found.to_json()
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    worst = next(iter(found.pairs), None)
    what = f"most often “{worst.ways[0].truth}” called “{worst.ways[0].predicted}”" if worst else "no mistake"
    typer.echo(f"Wrote {out}: {found.images - found.right:,} of {found.images:,} images wrong, {what}")


def look_probes(
    model: Model,
    data: Data = "",
    out: Out = None,
    layer: Layers = None,
    split: Annotated[str, typer.Option("--split", help="val or test; by default test, else val.")] = "",
    seed: Seed = 0,
    weights: Weights = None,
    batch: Batch = 64,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Train a linear classifier on what each step makes of the training images, and show what it gets right."""
    png_path(out, as_json)
    if split not in ("", "val", "test"):
        raise UsageError(f"probes are trained on train and tested on val or test, not on {split!r}")
    from striate import durable
    from striate.cli.progress import listener
    from striate.look.sets.probes import probe

    classifier, name, who = open_classifier(model, weights)
    with listener() as report:
        dataset = open_splits(model, weights, data, classifier.preprocess, data_dir=data_dir, download=download,
                              tell=report.prepare)  # fmt: skip
        role = split or ("test" if "test" in dataset.splits else "val")
        found = probe(
            classifier.module, dataset.split("train"), dataset.split(role), classifier.preprocess, layer,
            classes=dataset.classes, role=role, seed=seed, batch=batch,
            progress=lambda done, of: report.prepare("looking", done, of),
        )  # fmt: skip
    if out is not None:
        from striate.look.png import figure_png
        from striate.look.sets.picture import draw_probes

        durable.write_bytes(out, figure_png(draw_probes(found, f"{who} on {dataset.name}")))
    if as_json:
        told = {"model": name, "data": dataset.name} | found.to_json()
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    best = max(found.probes, key=lambda one: one.right)
    typer.echo(
        f"Wrote {out}: best at {best.step}, {100 * best.accuracy.value:.1f} % "
        f"({100 * best.accuracy.low:.1f} to {100 * best.accuracy.high:.1f}) of {found.images:,} images"
    )
