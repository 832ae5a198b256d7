"""`striate transferability`: how general each layer of a trained network is."""

import json
from pathlib import Path
from typing import Annotated

import typer


def transferability(
    run: Annotated[Path, typer.Argument(help="Folder that `striate train` wrote: the first task.")],
    data: Annotated[str, typer.Argument(help="The other task: data set, folder or list.")],
    layers: Annotated[
        list[str] | None,
        typer.Option("--layer", help="Last step to take over; may be repeated. By default each stage."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each kind.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of all trainings; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the study; it goes on where it was.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.", envvar="STRIATE_DATA")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Threads that prepare batches.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Threads of the network's arithmetic.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print transferability.json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what goes wrong.")] = False,
) -> None:
    """Give the first layers of a run to another task, frozen and tuned, and draw how well each number of them does."""
    from striate.cli.progress import listener
    from striate.data.sources import called
    from striate.look.transferability import draw_transfer_curve, transfer_curve
    from striate.training.options import Options
    from striate.training.recipe import parse
    from striate.training.transfer.transferability import transferability as study_of

    folder = out or Path("runs") / f"transferability-{run.resolve().name}-{Path(called(data)).stem}"
    options = Options(data_dir=data_dir, workers=workers, threads=threads)
    with listener(quiet=quiet) as report:
        study = study_of(run, data, folder, places=layers or (), seeds=seeds, options=options, report=report,
                         settings=parse(settings or []))  # fmt: skip
    (nothing,), frozen, tuned = study.of("nothing"), study.of("frozen"), study.of("tuned")
    title = f"{study.model}: {study.run} to {study.data}, {study.epochs} epochs"
    figure = transfer_curve(
        [p.place for p in frozen],
        nothing.accuracies,
        [p.accuracies for p in frozen],
        [p.accuracies for p in tuned],
        title,
    )
    picture = draw_transfer_curve(figure, folder / "transferability.png")
    if as_json:
        typer.echo(json.dumps(study.to_json(), indent=2, ensure_ascii=False))
        return
    wide = max(len("last step taken"), *(len(p.place) for p in frozen))
    typer.echo(f"{'last step taken':<{wide}}  frozen    tuned    accuracy on {study.images} val images; from nothing "
               f"{nothing.mean:.2%}")  # fmt: skip
    for one, other in zip(frozen, tuned, strict=True):
        typer.echo(f"{one.place:<{wide}}  {one.mean:7.2%}  {other.mean:7.2%}")
    typer.echo(f"The curve is in {picture}")
