"""`striate train`: images in, a trained, evaluated, explained classifier out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.launch import follows, launch, launched


def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA|RECIPE.toml|RUN",
            help="Data set, folder, list (.csv, .jsonl), tar shards, recipe (.toml), or with --resume a run.",
        ),
    ] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Architecture; `striate models` lists them.")] = "",
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="To start from: imagenet, imagenet:TAG, a run or a weights file.")
    ] = "",
    freeze: Annotated[
        str, typer.Option(help="What stays as it is: head (all but the head), or all up to and including a step.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the recipe; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; by default a new one under runs/.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="by-hand: gradients by formulas in NumPy, slow; as --set engine=by-hand.")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.", envvar="STRIATE_DATA")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, help="Threads that prepare batches; no result depends on them.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Threads of the network's arithmetic; recorded, they decide the last bits."),
    ] = None,
    nproc: Annotated[int, typer.Option(min=1, max=256, help="Processes on this machine that train together.")] = 1,
    save_every: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 60.0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse to start where an image can't be read.")] = False,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="Resume although images have changed.")
    ] = False,
    no_evaluate: Annotated[bool, typer.Option("--no-evaluate", help="Do not evaluate the run at the end.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard events (extra).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what goes wrong.")] = False,
    show_settings: Annotated[bool, typer.Option("--settings", help="List all settings of a recipe, and stop.")] = False,
) -> None:
    """Train a classifier on a folder of images, evaluate it, and write its card."""
    if show_settings:
        from striate.cli.tables import settings_table

        typer.echo(settings_table())
        return
    from striate.cli.progress import listener
    from striate.cli.words import card_summary, training_request, what_next
    from striate.look.curves import draw_curves
    from striate.training.job import train as run_training
    from striate.training.options import Options

    named = {"engine": engine, "weights": weights, "freeze": freeze}
    changes = [
        *(settings or []),
        *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in named.items() if value),
    ]
    request = training_request(data, model, changes, out, resume)
    if nproc > 1 and not launched():
        return launch(nproc)
    options = Options(data_dir=data_dir, download=download, workers=workers, threads=threads, save_every=save_every,
                      allow_changed_data=allow_changed_data, strict=strict, tensorboard=tensorboard)  # fmt: skip
    with listener(quiet=quiet or follows()) as report:
        trained = run_training(out=request.out, resume=resume, options=options, report=report, **request.settings)
    if follows():
        return
    draw_curves(trained.folder)
    if not no_evaluate:
        from striate.evaluation.job import evaluate as run_evaluation

        with listener(quiet=quiet) as report:
            card = run_evaluation(trained.folder, data_dir=data_dir, workers=workers, progress=report.prepare)
        if not quiet:
            typer.echo(card_summary(card, trained.folder))
    if not quiet:
        typer.echo(what_next(trained.folder, evaluated=not no_evaluate))
