"""`striate bench train`: where the time of a training step goes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.training.bench.steps import StepTimes

Row = tuple[str, str, float | None]  # name, value, share of the whole
WIDE = 24  # characters of the longest bar


def bench_train(
    data: Annotated[
        str, typer.Argument(metavar="[DATA]", help="Data set, folder or manifest; without it, images are made up.")
    ] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Architecture; `striate models` lists them.")] = "",
    size: Annotated[int, typer.Option(min=0, help="Side of the images, pixels; as --set size=.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the recipe; may be repeated.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Steps that are measured.")] = 10,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Of the network's arithmetic.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Threads that prepare batches.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.", envvar="STRIATE_DATA")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, on standard output.")] = False,
) -> None:
    """Train for a few steps in a temporary folder, and show where their time goes."""
    from striate.cli.progress import listener
    from striate.errors import UsageError
    from striate.training.bench.steps import time_steps
    from striate.training.options import Options
    from striate.training.recipe import parse

    if not model:
        raise UsageError("which network? Add --model NAME, for example --model resnet18 (`striate models` lists them)")
    asked = parse([*(settings or []), *([f"size={size}"] if size else [])])
    options = Options(data_dir=data_dir, threads=threads, workers=workers)
    with listener(quiet=as_json) as report:
        found = time_steps(data or None, model, options=options, steps=steps, report=report, **asked)
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else describe_times(found))


def describe_times(found: "StepTimes") -> str:
    """A table of the parts of a step, what it reaches, and the kinds of operation."""
    names = {
        "waited": "waiting for data",
        "forward": "forward",
        "backward": "backward",
        "update": "update",
        "rest": "rest",
    }
    rows: list[Row] = [(names[name], f"{1000 * s:,.2f} ms", s / found.step_s) for name, s in found.parts_s.items()]
    rows.append(("step", f"{1000 * found.step_s:,.2f} ms", None))
    kinds: list[Row] = [(kind, "", share) for kind, share in found.kinds.items() if share >= 0.001]
    of_peak = ", ".join(
        f"{found.macs_per_s / peak:.1%} of a {name} matrix product ({peak / 1e9:,.0f} G/s)"
        for name, peak in found.peak_macs_per_s.items()
    )
    return "\n".join(
        [
            f"{found.model} on {found.data}: {found.steps} steps of {found.batch} images, {found.precision}",
            found.machine,
            "",
            *_table(rows),
            "",
            f"{found.images_per_s:,.1f} images/s; "
            f"{found.macs_per_s / 1e9:,.1f} G multiply-adds/s in the network: {of_peak}",
            "",
            "time in operations, by kind:",
            *_table(kinds),
        ]
    )


def _table(rows: list[Row]) -> list[str]:
    wide, value = (max(map(len, column)) for column in ([row[0] for row in rows], [row[1] for row in rows]))
    return [
        f"  {name:<{wide}}  {said:>{value}}"
        + ("" if share is None else f"  {share:>6.1%}  {'█' * round(max(0.0, share) * WIDE)}").rstrip()
        for name, said, share in rows
    ]
