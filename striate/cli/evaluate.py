"""`striate evaluate`: how good a run is, on images it was not trained on."""

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `striate train` wrote.")],
    data: Annotated[
        str, typer.Argument(help="Data set, folder, list or tar shards; by default the data of the training.")
    ] = "",
    split: Annotated[str, typer.Option(help="train, val or test; by default test, else val.")] = "",
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another run, which answers the same images; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results; by default the run.")] = None,
    images: Annotated[int, typer.Option(min=0, max=200, help="How many of the mistakes the card shows.")] = 12,
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")] = False,
    workers: Annotated[int | None, typer.Option(min=0, help="Threads that prepare images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print card.json.")] = False,
) -> None:
    """Write predictions.csv, card.json and card.html: accuracy, mistakes, calibration, and how sure all of it is."""
    from striate.cli.progress import listener
    from striate.cli.words import card_summary
    from striate.evaluation.job import evaluate as run_evaluation

    with listener() as report:
        card = run_evaluation(
            run,
            data or None,
            split=split or None,
            compare=compare or (),
            out=out,
            images=images,
            data_dir=data_dir,
            download=download,
            workers=workers,
            progress=report.prepare,
        )
    typer.echo(
        json.dumps(card.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        if as_json
        else card_summary(card, out or run)
    )
