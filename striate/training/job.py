"""The main job: images in, a run folder with a trained classifier out."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate import durable
from striate.data.augment import Augment
from striate.data.sources import called, located, place_again
from striate.data.wording import plural
from striate.errors import ArtefactError, Busy, UsageError
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
from striate.run.folder import MODEL, RECIPE, Identity, Run, write_identity
from striate.training import checkpoint
from striate.training import recipe as recipes
from striate.training.distributed.joining import several
from striate.training.distributed.ranks import ALONE
from striate.training.engine import SLOW
from striate.training.loop import Trainer
from striate.training.machine import settle, survey
from striate.training.options import Options
from striate.training.planning import compile_where_it_pays, make_plan
from striate.training.preparing import facts_of, make_trainer, read_data, sizes, spec_of
from striate.training.recipe import Recipe
from striate.training.records import summary_writer, write_results
from striate.training.report import Report
from striate.training.resolve import resolve
from striate.training.resuming import check_settings, chosen_later, recorded, same_data
from striate.training.transfer import source as sources
from striate.training.transfer.conductor import settled
from striate.training.transfer.places import frozen_steps
from striate.training.transfer.source import Source


@dataclass(frozen=True)
class Trained:
    """What came out."""

    folder: Path
    rows: tuple[dict[str, Any], ...]  # of results.csv
    best: dict[str, Any]  # epoch, val_loss and val_accuracy of the weights that were kept
    resumed: bool

    @property
    def run(self) -> Run:
        return Run(self.folder)


def train(
    data: str | Path | None = None,
    model: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    options: Options = Options(),
    report: Report | None = None,
    **settings: Any,
) -> Trained:
    """Train a classifier: `train("digits", "lenet5", epochs=5)`.

    `data` is the name of a data set, a folder with one sub-folder per class, or a manifest; `settings` are those of
    `Recipe`. With `resume`, `out` is a run that was stopped: it goes on to the same bytes as if it had not been.

    Raises: UsageError, DataError, EnvironmentFault, Busy before training; TrainingError, Interrupted while it runs.
    """
    if options.ranks is ALONE and several():
        from striate.training.distributed.job import train_together

        return train_together(data, model, out=out, resume=resume, options=options, report=report or Report(),
                              settings=settings)  # fmt: skip
    asked = dict(settings)
    if data is not None:
        asked["data"] = str(data)
    if model is not None:
        asked["model"] = model
    asked |= sources.understood(asked)
    folder = Path(out) if out is not None else None
    report = report or Report()
    if resume:
        if folder is None:
            raise UsageError("resume needs the folder of the run: out=")
        if (folder / RECIPE).is_file():
            return _resume(folder, asked, options, report)
        if data is None:
            raise ArtefactError(
                f"{folder}: nothing to resume: it holds no {RECIPE}; start it with the data and the model"
            )
        report.note(f"{folder} holds nothing to resume yet; starting from the beginning")
    recipe = Recipe.make(asked)
    recipe = recipe.model_copy(update={"data": located(recipe.data), "weights": sources.located(recipe.weights)})
    if folder is not None and (folder / RECIPE).exists():
        raise UsageError(f"{folder} already holds a run; choose another --out, or go on with it by --resume")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a run needs a folder of its own")
    _check_names(recipe)
    source = sources.named_by(recipe, report)
    if options.tensorboard:
        summary_writer()
    with ExitStack() as stack:
        if folder is None:
            folder = _claim_new(Path("runs"), f"{Path(called(recipe.data)).stem or 'data'}-{recipe.model}", stack)
        else:
            stack.enter_context(durable.claim(folder))
        if (folder / RECIPE).exists():
            raise UsageError(f"{folder} holds a run that another process has just made; choose another --out")
        return _start(folder, recipe, source, options, report)


def _check_names(recipe: Recipe) -> None:
    """What can be wrong with a recipe before a single image is read.  Raises: UnknownName, RecipeError."""
    entry(recipe.model)
    if recipe.augment != "auto":
        Augment.parse(recipe.augment)
    if recipe.freeze != "none":
        with without_numbers():
            frozen_steps(create_model(recipe.model), recipe.freeze, entry(recipe.model).head)


def _claim_new(parent: Path, stem: str, stack: ExitStack) -> Path:
    """The first free one of stem, stem-2, stem-3 ..., held until the stack is unwound."""
    for i in range(1, 100_000):
        path = parent / (stem if i == 1 else f"{stem}-{i}")
        if not path.exists():
            with suppress(Busy):  # somebody else has just taken this one
                stack.enter_context(durable.claim(path))
                return path
    raise UsageError(f"{parent}: too many runs are called {stem}; give this one a name with --out")


def _start(folder: Path, recipe: Recipe, source: Source | None, options: Options, report: Report) -> Trained:
    """In a folder that is held for writing."""
    durable.sweep(folder)
    machine = survey(options.threads, processes=options.ranks.world, here=options.ranks.here)
    settle(machine)
    screened = read_data(recipe, options, report)
    prepared = sources.preprocess_of(source, recipe) if source else None
    resolved = resolve(recipe, screened.dataset, sizes(screened), machine, prepared)
    spec = spec_of(resolved, source)
    resolved, why = settled(resolved, recipe, spec, len(screened.dataset.split("train")), machine.place)
    options.ranks.check(resolved.recipe)
    if resolved.recipe.stop_after and "val" not in screened.dataset.splits:
        report.warn("stop_after does nothing: there is no val split to tell when it gets no better")
    if resolved.recipe.freeze != "none" and source is None:
        report.warn("what is frozen stays as it began, at random, for no weights were given; --weights names some")
    if resolved.recipe.engine == "by-hand":
        report.note(SLOW)
    identity = Identity(spec, screened.dataset.classes, resolved.choice.preprocess)
    facts = facts_of(resolved.recipe, screened, machine, options)
    write_identity(folder, identity, facts | ({"weights": source.to_json()} if source else {}))
    with ExitStack() as stack:
        trainer, filled = make_trainer(
            folder, identity, resolved.recipe, source, screened, machine, options, report, stack
        )
        if options.ranks.leads:
            plan = make_plan(folder, trainer, resolved, screened, machine, filled, why)
            report.plan(plan)
            compile_where_it_pays(trainer, plan, report)
        # the last file of the start: from here on it can be resumed
        durable.write_text(folder / RECIPE, trainer.recipe.to_toml())
        return _finish(folder, trainer, resumed=False)


def _resume(folder: Path, asked: Mapping[str, Any], options: Options, report: Report) -> Trained:
    run = Run(folder)
    recipe = recipes.read(folder / RECIPE)
    check_settings(folder, recipe, asked)
    stored = recorded(run, "machine", {"name", "threads", "capability", "torch"})
    if (began := stored.get("processes", 1)) != options.ranks.world:
        raise UsageError(
            f"{folder} was begun by {plural(began, 'process')}, not {options.ranks.world}: with another number it "
            f"would not come out the same; give --nproc {began}, or as many to torchrun"
        )
    machine = survey(options.threads or stored["threads"], processes=began, here=options.ranks.here)
    settle(machine)
    with durable.lock(folder):
        durable.sweep(folder)
        durable.sweep(folder / checkpoint.FOLDER)
        found = checkpoint.newest(folder, recipe.digest())
        for message in found.damaged if found else ():
            report.warn(f"{message}; using the one before it")
        if found and found.progress.finished:
            report.note(f"{folder} is finished; nothing to do")
            return _trained(folder, found.progress, resumed=True)
        changed = [key for key in ("name", "threads", "capability", "torch") if stored[key] != getattr(machine, key)]
        for key in changed:
            report.warn(
                f"the run began with {key} {stored[key]!r}, this is {getattr(machine, key)!r}: "
                "the last bits of its numbers may differ"
            )
        moved = recipe.model_copy(update={"data": located(str(asked.get("data", recipe.data)))})  # by now elsewhere
        before = recorded(run, "data", {"sha256", "counts"})
        options = replace(options, data_dir=place_again(moved.data, options.data_dir, before.get("found_in")))
        screened = read_data(moved, options, report)
        same = same_data(folder, run, screened, options)
        source = None if found else sources.named_again(run, recipe, report)
        with ExitStack() as stack:
            trainer, _ = make_trainer(folder, run.identity, recipe, source, screened, machine, options, report, stack)
            if found:
                trainer.restore(found)
                p = found.progress
                if (changed or not same) and chosen_later(folder, p):
                    p.best = None
                    report.note(f"{MODEL} is of a later epoch than the checkpoint; the best is chosen anew from here")
                report.note(f"going on from epoch {p.epoch + 1}, batch {p.batch}, step {p.step}")
            return _finish(folder, trainer, resumed=True)


def _finish(folder: Path, trainer: Trainer, *, resumed: bool) -> Trained:
    trainer.fit()
    return _trained(folder, trainer.progress, resumed=resumed)


def _trained(folder: Path, progress: checkpoint.Progress, *, resumed: bool) -> Trained:
    write_results(folder, progress)
    return Trained(folder, tuple(progress.rows), progress.best or {}, resumed)
