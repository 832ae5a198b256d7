"""`striate reproduce`: is what we say still so?"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import DataError, UsageError

if TYPE_CHECKING:
    from striate.reproduce.crew import Crew
    from striate.reproduce.experiment import Experiment
    from striate.reproduce.result import Result
    from striate.training.report import Report


def reproduce(
    name: Annotated[list[str] | None, typer.Argument(help="Recipes, as `--list` shows them.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every recipe.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show claims, stored results and what they cost.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="The small form, with its own stored result; a few recipes have none.")
    ] = False,
    store: Annotated[bool, typer.Option("--store", help="Keep what is measured as the stored result.")] = False,
    timed: Annotated[bool, typer.Option("--timed", help="With --store: the machine is idle, keep the times.")] = False,
    page: Annotated[
        Path | None, typer.Option(metavar="DOCS", help="Write the page of results into this folder, and stop.")
    ] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of the recipes and their results.")] = Path("recipes"),
    data_dir: Annotated[Path | None, typer.Option(help="Where named data sets lie.", envvar="STRIATE_DATA")] = None,
    material: Annotated[
        Path | None,
        typer.Option(help="Folder with published weights and photographs.", envvar="STRIATE_SHARED"),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a named data set that is not there.")] = False,
    workers: Annotated[int | None, typer.Option(min=0, max=64, help="Threads that prepare batches.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads of a run's arithmetic; if not given, one.")
    ] = None,
    together: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Runs side by side; if not given, what the cores suffice for."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every epoch, one run after the other.")
    ] = False,
) -> None:
    """Run recipes again, and say whether their stored results come out: exit code 0 if all do, else 1."""
    from striate.reproduce.reading import names, open_experiment, read_forms

    if sum((bool(name), all_, list_, page is not None)) != 1:
        raise UsageError("what should be reproduced? Give names, --all, --list or --page: one of them")
    if timed and not store:
        raise UsageError("--timed keeps the time in the stored result, so it needs --store")
    if page is not None:
        _write_page(recipes, page)
        return
    every = [read_forms(recipes / f"{one}.toml") for one in names(recipes)] if all_ or list_ else []
    if list_:
        _list(every)
        return
    from striate.cli.progress import listener
    from striate.reproduce.carry_out import hired
    from striate.reproduce.runs import Means

    # all mistakes before any work
    experiments = [open_experiment(recipes, one, quick=quick) for one in dict.fromkeys(name or ())]
    experiments += [form for forms in every for form in forms if form.quick is quick]
    without = [forms[0].name for forms in every if quick and len(forms) == 1]
    means = Means(data_dir, material, download, workers, threads, 1 if verbose else together)
    done: dict[str, str] = {}
    begun = time.monotonic()
    with listener(quiet=not verbose) as report, hired(means) as crew:
        for experiment in experiments:
            try:
                done[experiment.form] = _one(experiment, crew, report if verbose else None, store, timed, all_)
            except DataError as error:
                if not all_:
                    raise
                done[experiment.form] = f"{experiment.form} was not run: {error}"
            typer.echo(done[experiment.form])
    wrong = [form for form, said in done.items() if not said.startswith((f"{form} reproduces", f"{form}: stored"))]
    if len(done) > 1:
        those = f"; not: {', '.join(wrong)}" if wrong else ""
        took = _took(time.monotonic() - begun)
        typer.echo(f"{len(done) - len(wrong)} of {len(done)} {'stored' if store else 'reproduce'}, in {took}{those}")
    if without:
        typer.echo(f"Left out, there is no small form: {', '.join(without)}")
    if wrong:
        raise typer.Exit(1)


def _one(
    experiment: "Experiment", crew: "Crew", report: "Report | None", store: bool, timed: bool, many: bool
) -> str:  # fmt: skip
    """The verdict on one recipe, a sentence."""
    from striate.reproduce.carry_out import carry_out
    from striate.reproduce.header import restate, speaks_for
    from striate.reproduce.result import store as keep
    from striate.reproduce.result import stored
    from striate.reproduce.verdict import beside_claim, judge

    before = None if store else stored(experiment)
    if before is None and not store:
        if many:
            return f"{experiment.form} was not run: it has no stored result to compare with"
        raise UsageError(
            f"{experiment.form} has no stored result to compare with; --store keeps the one that is measured now"
        )
    begun = time.monotonic()
    result = carry_out(experiment, crew, report=report, tell=lambda line: typer.echo(line, err=True), timed=timed)
    took = f"({_took(time.monotonic() - begun)})"
    if store:
        said = f"{experiment.form}: stored in {keep(result, experiment)}"
        if speaks_for(experiment):
            restate(experiment, result)
            said += f", and {experiment.path.name} says so"
        return f"{said} {took}"
    claimed = beside_claim(experiment, result)
    return " ".join(part for part in (judge(experiment, before, result).sentence + ".", claimed, took) if part)


def _took(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _list(every: "list[tuple[Experiment, ...]]") -> None:
    from striate.reproduce.result import stored

    found = [[(form, stored(form)) for form in forms] for forms in every]
    for forms in found:
        claim = forms[0][0].claim
        typer.echo(f"{forms[0][0].name}: {claim.says} ({claim.who})")
        for form, result in forms:
            typer.echo(f"  {'small' if form.quick else 'whole'}  {_measured(claim.metric, result)}")
        if len(forms) == 1:
            typer.echo("  small  there is none")
    small = [result for forms in found for form, result in forms if form.quick and result]
    times = [result.seconds for result in small if result.seconds is not None]
    if times:
        typer.echo(f"small forms: {_took(sum(times))} in all, {len(times)} of {len(small)} measured")


def _measured(metric: str, result: "Result | None") -> str:
    if result is None:
        return "not run yet"
    arms = " | ".join(
        (f"{one.name} " if len(result.outcomes) > 1 else "") + f"{one.mean.mean:.2f}" for one in result.outcomes
    )
    cost = "time not measured" if result.seconds is None else f"{result.seconds / 60:.1f} min"
    return f"{metric}: {arms}; n = {len(result.outcomes[0].runs)}, {result.made}; {cost}"


def _write_page(recipes: Path, docs: Path) -> None:
    from striate import durable
    from striate.reproduce.page import results_page

    files = results_page(recipes)
    for place, content in files.items():
        durable.make_folder((docs / place).parent)
        durable.write_text(docs / place, content)
    typer.echo(f"Wrote {docs / 'results.md'} and {len(files) - 1} pictures")
