"""`striate doctor`: everything about a data set that would spoil a training, found before it starts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.data.checks.finding import Diagnosis, Finding

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def doctor(
    data: Annotated[str, typer.Argument(help="A data set's name, a folder of images, a list of them, tar shards.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the files of named data sets are.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not here.")] = False,
    group_by: Annotated[
        str | None, typer.Option(help="Regular expression that finds what relatives have in common in their names.")
    ] = None,
    val_share: Annotated[
        float, typer.Option(help="Share set apart for validation, where the data are undivided.")
    ] = 0.1,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels, height and width that the network will see.")] = None,
    near: Annotated[bool, typer.Option(help="Look for near-duplicates; the time grows with the square.")] = True,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a picture of what the network will see, a PNG file.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Files named for each finding.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 4 where a finding is an error.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole diagnosis as JSON.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode.")] = 2,
) -> None:
    """Look at every image of a data set; say what is wrong, what Striate does about it, and what you can do."""
    from striate.cli.progress import listener
    from striate.data.doctor import diagnose
    from striate.errors import DatasetError

    with listener() as report:
        examination = diagnose(
            data, data_dir=data_dir, download=download, group_by=group_by, val_share=val_share, size=size, near=near,
            workers=workers, progress=report.prepare,
        )  # fmt: skip
    diagnosis = examination.diagnosis
    if json_:
        typer.echo(json.dumps(diagnosis.to_json(), ensure_ascii=False, indent=2))
    else:
        _show(diagnosis, examples)
    if sheet is not None:
        from striate.look.sheet import seen_by_network, write

        if examination.preprocess is None:
            raise DatasetError(f"{data}: no training image can be read, so there is nothing to show in {sheet}")
        write(seen_by_network(examination.screened.dataset, examination.preprocess), sheet)
        typer.echo(f"What the network will see is in {sheet}.", err=True)
    errors = sum(finding.severity == "error" for finding in diagnosis.findings)
    if strict and errors:
        raise DatasetError(f"{data}: {errors} of the findings are errors; --strict refuses them")


def _show(diagnosis: "Diagnosis", examples: int) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in _overview(diagnosis):
        console.print(line, markup=False)
    for finding in diagnosis.findings:
        console.print()
        console.print(f"{finding.severity:<7}", style=COLOURS[finding.severity], end=" ", markup=False)
        console.print(f"{finding.message}  [{finding.kind}]", style="bold", markup=False)
        for line in _details(finding, examples):
            console.print(f"        {line}", markup=False)
    counted = {name: sum(f.severity == name for f in diagnosis.findings) for name in COLOURS}
    console.print()
    if diagnosis.findings:
        said = ", ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in counted.items() if n)
        console.print(f"{said}.", markup=False, style=COLOURS[diagnosis.findings[0].severity])
    else:
        console.print("Nothing found.", markup=False, style="green")


def _overview(diagnosis: "Diagnosis") -> list[str]:
    from striate.data.decode import printable

    images = ", ".join(f"{n:,} {role}" for role, n in diagnosis.images.items())
    per_class = diagnosis.per_class.get("train", ())
    spread = f", {min(per_class):,} to {max(per_class):,} training images each" if per_class else ""
    lines = [f"{printable(diagnosis.name)}: {images} images, {len(diagnosis.classes)} classes{spread}"]
    for what, counts in diagnosis.facts.items():
        if counts:
            lines.append(f"  {what.replace('_', ' '):<14} " + ", ".join(f"{name} {n:,}" for name, n in counts.items()))
    if diagnosis.preprocess:
        lines.append(f"  {'network sees':<14} {diagnosis.preprocess}")
    lines += [f"  {'note':<14} {printable(note)}" for note in diagnosis.notes]
    return lines


def _details(finding: "Finding", examples: int) -> list[str]:
    from striate.data.decode import printable

    lines = [" = ".join(printable(key) for key in group) for group in finding.examples[:examples]]
    if lines and finding.count > len(lines):
        lines.append(f"... and {finding.count - len(lines):,} more")
    return [*lines, finding.action + (f"  You can: {finding.remedy}" if finding.remedy else "")]
