"""The main job: images in, a run folder with a trained classifier out."""

import csv
import hashlib
import io
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate import __version__, durable
from striate.data.augment import Augment
from striate.data.dataset import ROLES, Dataset
from striate.data.loader import Loader
from striate.data.screen import Screened, screen
from striate.data.sources import NAMES, open_dataset, place_again, place_found
from striate.data.wording import plural
from striate.errors import ArtefactError, Busy, DatasetError, EnvironmentFault, MissingExtra, UsageError
from striate.models.cost import cost
from striate.models.registry import entry
from striate.run.folder import (
    CONFIG,
    MODEL,
    RECIPE,
    RESULTS,
    Identity,
    ModelSpec,
    Run,
    read_about,
    write_identity,
    write_model,
)
from striate.training import checkpoint
from striate.training import recipe as recipes
from striate.training.distributed.joining import several
from striate.training.distributed.ranks import ALONE, Ranks
from striate.training.engine import SLOW, make_engine
from striate.training.loop import Trainer, kind_of
from striate.training.losses import balanced_weights, mass
from striate.training.machine import Machine, settle, survey
from striate.training.optimiser import make_optimiser
from striate.training.plan import Plan, trial
from striate.training.recipe import Recipe
from striate.training.report import Report, Timing
from striate.training.resolve import Resolved, resolve
from striate.training.transfer import source as sources
from striate.training.transfer.conductor import Conductor, settled, transfers
from striate.training.transfer.receipt import FILE as RECEIPT
from striate.training.transfer.source import Filled, Source

TIMING = "timing.jsonl"
COLUMNS = (  # of results.csv
    "epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "best",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How a run is carried out. None of it changes a result."""

    data_dir: Path | None = None  # where named data sets lie
    download: bool = False  # fetch a named data set that is not there
    workers: int | None = None  # threads that prepare batches; None: by the data
    threads: int | None = None  # of the network's arithmetic; None: all cores. Recorded: it decides the last bits
    save_every: float = 60.0  # seconds between checkpoints
    allow_changed_data: bool = False  # resume although the images are not those of the run
    strict: bool = False  # refuse to start where an image can't be read
    tensorboard: bool = False
    keep: int | None = None  # bytes of prepared pixels kept in memory; None: half of what is free
    ranks: Ranks = ALONE  # the processes that train together; recorded


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
        _summary_writer()
    with ExitStack() as stack:
        if folder is None:
            folder = _claim_new(Path("runs"), f"{Path(recipe.data).stem or 'data'}-{recipe.model}", stack)
        else:
            stack.enter_context(durable.claim(folder))
        if (folder / RECIPE).exists():
            raise UsageError(f"{folder} holds a run that another process has just made; choose another --out")
        return _start(folder, recipe, source, options, report)


def located(data: str) -> str:
    """The data of a recipe so that they are found from another working directory: a name, or a whole path."""
    return data if data in NAMES or not Path(data).exists() else str(Path(data).resolve())


def _check_names(recipe: Recipe) -> None:
    """What can be wrong with a recipe before a single image is read.  Raises: UnknownName, RecipeError."""
    entry(recipe.model)
    if recipe.augment != "auto":
        Augment.parse(recipe.augment)


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
    screened = _data(recipe, options, report)
    prepared = sources.preprocess_of(source, recipe) if source else None
    resolved = resolve(recipe, screened.dataset, sizes(screened), machine, prepared)
    spec = _spec(resolved, source)
    resolved, why = settled(resolved, recipe, spec, len(screened.dataset.split("train")))
    options.ranks.check(resolved.recipe)
    if resolved.recipe.stop_after and "val" not in screened.dataset.splits:
        report.warn("stop_after does nothing: there is no val split to tell when it gets no better")
    if resolved.recipe.engine == "by-hand":
        report.note(SLOW)
    identity = Identity(spec, screened.dataset.classes, resolved.choice.preprocess)
    facts = _facts(resolved.recipe, screened, machine, options)
    write_identity(folder, identity, facts | ({"weights": source.to_json()} if source else {}))
    with ExitStack() as stack:
        trainer, filled = _trainer(folder, identity, resolved.recipe, source, screened, machine, options, report, stack)
        if options.ranks.leads:
            report.plan(_plan(folder, trainer, resolved, screened, machine, filled, why))
        # the last file of the start: from here on it can be resumed
        durable.write_text(folder / RECIPE, resolved.recipe.to_toml())
        return _finish(folder, trainer, resumed=False)


def _resume(folder: Path, asked: Mapping[str, Any], options: Options, report: Report) -> Trained:
    run = Run(folder)
    recipe = recipes.read(folder / RECIPE)
    _same_settings(folder, recipe, asked)
    stored = _recorded(run, "machine", {"name", "threads", "capability", "torch"})
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
        found = checkpoint.newest(folder, _sha(recipe))
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
        before = _recorded(run, "data", {"sha256", "counts"})
        options = replace(options, data_dir=place_again(moved.data, options.data_dir, before.get("found_in")))
        screened = _data(moved, options, report)
        same = _same_data(folder, run, screened, options)
        source = None if found else sources.named_again(run, recipe, report)
        with ExitStack() as stack:
            trainer, _ = _trainer(folder, run.identity, recipe, source, screened, machine, options, report, stack)
            if found:
                trainer.restore(found)
                p = found.progress
                if (changed or not same) and _chosen_later(folder, p):
                    p.best = None
                    report.note(f"{MODEL} is of a later epoch than the checkpoint; the best is chosen anew from here")
                report.note(f"going on from epoch {p.epoch + 1}, batch {p.batch}, step {p.step}")
            return _finish(folder, trainer, resumed=True)


def _data(recipe: Recipe, options: Options, report: Report) -> Screened:
    dataset = open_dataset(
        recipe.data,
        data_dir=options.data_dir,
        download=options.download,
        val_share=recipe.val_share,
        group_by=recipe.group_by or None,
        seed=recipe.seed,
        progress=lambda file, done, of: report.prepare(f"downloading {file}", done, of),
    )
    screened = screen(dataset, progress=lambda done, of: report.prepare("reading images", done, of))
    for note in screened.dataset.notes:
        report.note(note)
    if screened.quarantined:
        shown = "; ".join(f"{q.role}/{q.key}: {q.reason}" for q in screened.quarantined[:3])
        more = f"; and {len(screened.quarantined) - 3} more" if len(screened.quarantined) > 3 else ""
        n = len(screened.quarantined)
        said = f"{n} of {screened.fingerprint.images + n} images can't be read: {shown}{more}"
        if options.strict:
            raise DatasetError(f"{said}. Mend or remove them, or leave out --strict to train without them")
        report.warn(f"{said}. They are left out, and listed in {CONFIG}")
    return screened


def _trainer(
    folder: Path,
    identity: Identity,
    recipe: Recipe,
    source: Source | None,
    screened: Screened,
    machine: Machine,
    options: Options,
    report: Report,
    stack: ExitStack,
) -> tuple[Trainer, Filled | None]:
    dataset = screened.dataset
    device = torch.device(machine.device)
    torch.manual_seed(recipe.seed)
    module = identity.spec.build()
    filled = sources.fill(module, source, identity.spec, identity.classes, recipe.weights_to) if source else None
    module = module.to(device)
    if recipe.channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(recipe.batch, int)
    common: dict[str, Any] = {
        "classes": len(dataset.classes),
        "batch": recipe.batch,
        "seed": recipe.seed,
        "keep": options.keep,
    }
    augment = Augment.parse(recipe.augment)

    def tell(done: int, of: int) -> None:
        report.prepare("preparing images", done, of)

    train = Loader(dataset.split("train"), identity.preprocess, augment=None if recipe.augment == "none" else augment,
                   workers=options.workers, progress=tell, views=recipe.views, **common)  # fmt: skip
    val = None
    if "val" in dataset.splits and len(dataset.split("val")):
        val = Loader(dataset.split("val"), identity.preprocess, workers=options.workers, progress=tell, **common)
    sha = _sha(recipe)
    progress = checkpoint.Progress()
    rule = "highest val accuracy, then lowest val loss" if val else "last epoch (no val split)"

    def save(state: checkpoint.Progress, tensors: dict[str, Tensor]) -> None:
        if not options.ranks.leads:
            return
        said = conductor.sign(state) if conductor else ""
        if said and state.finished:
            report.note(said)
        _write_results(folder, state)
        checkpoint.write(folder, state, tensors, sha)

    def choose(tensors: dict[str, Tensor], best: dict[str, Any]) -> None:
        if options.ranks.leads:
            write_model(folder / MODEL, tensors, identity, {**best, "rule": rule})

    board = _tensorboard(folder, stack) if options.tensorboard else None

    def timed(timing: Timing) -> None:
        _log(folder / TIMING, json.dumps(asdict(timing)) + "\n")
        _write_results(folder, trainer.progress)
        if board:
            board(trainer.progress.rows[-1])

    engine = make_engine(
        recipe.engine, kind_of(recipe), len(dataset.classes), smoothing=recipe.smoothing,
        weights=_class_weights(recipe, dataset))  # fmt: skip
    conductor = Conductor(module, identity.spec, recipe, folder) if transfers(recipe) else None
    if conductor:
        conductor.thaw()
        stack.callback(conductor.end)
    trainer = Trainer(
        module=module,
        optimiser=make_optimiser(module, recipe, conductor.factors() if conductor else None),
        recipe=recipe,
        train=train,
        val=val,
        loss=engine.loss,
        device=device,
        progress=progress,
        save=save,
        choose=choose,
        report=report,
        timed=timed,
        save_every=options.save_every,
        forward=engine.forward,
        conductor=conductor,
        ranks=options.ranks,
    )
    if conductor and recipe.features == "cached":
        trainer.train, trainer.val = conductor.cache(train, val, trainer._place, trainer.bf16, report.prepare)
    _share(trainer, identity, dataset, screened, options.ranks)
    return trainer, filled


def _share(trainer: Trainer, identity: Identity, dataset: Dataset, screened: Screened, ranks: Ranks) -> None:
    """Give each of several processes its part of every batch, once they all are about to do the same."""
    for loader in (trainer.train, trainer.val):
        if loader is not None:
            loader.rank, loader.ranks = ranks.rank, ranks.world
    recipe, weights = trainer.recipe, _class_weights(trainer.recipe, dataset)
    if weights is not None:
        ranks.weigh(lambda batch: mass(batch.labels, batch.targets, len(dataset.classes), recipe.smoothing, weights))
    same: dict[str, Any] = {"images": screened.fingerprint.sha256}
    same |= recipe.model_dump(exclude={"data", "weights"}) | identity.to_json()
    ranks.agree("plan", "\n".join(f"{key} = {value!r}" for key, value in same.items()))


def _finish(folder: Path, trainer: Trainer, *, resumed: bool) -> Trained:
    trainer.fit()
    return _trained(folder, trainer.progress, resumed=resumed)


def _trained(folder: Path, progress: checkpoint.Progress, *, resumed: bool) -> Trained:
    _write_results(folder, progress)
    return Trained(folder, tuple(progress.rows), progress.best or {}, resumed)


def _log(path: Path, line: str) -> None:
    """Add a line to a file that nothing depends on; it is opened each time, for it may have been moved away."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise EnvironmentFault(f"{path}: could not be written ({error.strerror or error})") from error


def _write_results(folder: Path, progress: checkpoint.Progress) -> None:
    if not progress.rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: "" if v is None else repr(v) if isinstance(v, float) else v for k, v in row.items()}
        for row in progress.rows
    )
    path = folder / RESULTS
    if not path.is_file() or path.read_bytes() != text.getvalue().encode():
        durable.write_text(path, text.getvalue())


def sizes(screened: Screened) -> np.ndarray:
    """(N, 2) height and width of the training images, upright."""
    split = screened.dataset.split("train")
    shape = split.images.shape()
    if shape is not None:
        return np.tile(np.array([shape[:2]], dtype=np.int64), (len(split), 1))
    return np.array([record.size for record in screened.records["train"] if record.reason is None], dtype=np.int64)


def _spec(resolved: Resolved, source: Source | None = None) -> ModelSpec:
    arguments = {
        "num_classes": resolved.outputs,
        "in_chans": resolved.channels,
        "input_size": resolved.choice.preprocess.size,
    }
    spec = ModelSpec(resolved.recipe.model, arguments | dict(source.options if source else {}),
                     dict(source.constants) if source else {})  # fmt: skip
    with torch.device("meta"):
        spec.build()  # a size or a number of channels that the model can't take is told before anything is written
    return spec


def _facts(recipe: Recipe, screened: Screened, machine: Machine, options: Options) -> dict[str, Any]:
    dataset = screened.dataset
    named = recipe.data if recipe.data in NAMES else Path(recipe.data).name
    return {
        "striate": __version__,
        "data": {
            "name": named,
            "found_in": place_found(recipe.data, options.data_dir),
            "sha256": screened.fingerprint.sha256,
            "counts": {
                role: dict(zip(dataset.classes, dataset.counts(role).tolist(), strict=True))
                for role in ROLES
                if role in dataset.splits
            },
            "quarantined": [asdict(q) for q in screened.quarantined],
            "notes": list(dataset.notes),
        },
        "machine": machine.to_json(),
    }


def _plan(
    folder: Path, trainer: Trainer, resolved: Resolved, screened: Screened, machine: Machine,
    filled: Filled | None = None, why: str = "",
) -> Plan:  # fmt: skip
    dataset, r = screened.dataset, resolved.recipe
    assert isinstance(r.epochs, int)
    assert isinstance(r.batch, int)
    pre = resolved.choice.preprocess
    whole = cost(trainer.module, (pre.channels, *pre.size))
    conductor = trainer.conductor
    if conductor:
        conductor.set(0)
    begun = time.perf_counter()
    first = next(iter(trainer.train.in_order()))
    features_s = (time.perf_counter() - begun) / len(first.labels) if r.features == "cached" else 0.0
    measured = trial(trainer.module, first, trainer.loss, bf16=trainer.bf16, forward=trainer.forward)
    val_batches = len(trainer.val) if trainer.val else 0
    seconds = r.epochs * (len(trainer.train) * measured.step_s + val_batches * measured.eval_s)
    n = len(dataset.split("train")) * max(1, r.views) + (len(dataset.split("val")) if val_batches else 0)
    seconds += features_s * n
    pixels = (
        sum(len(s) for role, s in dataset.splits.items() if role != "test") * pre.channels * pre.size[0] * pre.size[1]
    )
    files = (MODEL, CONFIG, "preprocess.json", RECIPE, RESULTS, TIMING, f"{checkpoint.FOLDER}/")
    return Plan(
        run=str(folder),
        data=dataset.name,
        classes=dataset.classes,
        images={role: len(dataset.splits[role]) for role in ROLES if role in dataset.splits},
        per_class=tuple(dataset.counts("train").tolist()),
        quarantined=len(screened.quarantined),
        preprocess=pre.describe(),
        preprocess_why=resolved.choice.why,
        augment=Augment.parse(r.augment).describe(),
        model=r.model,
        parameters=whole.parameters,
        macs=whole.macs,
        epochs=r.epochs,
        steps=trainer.updates * r.epochs,
        batch=r.batch,
        loss=r.loss,
        precision=f"{r.precision}, {'channels-last' if r.channels_last else 'channels-first'}",
        machine=machine.describe(),
        seconds=seconds,
        memory_bytes=whole.memory(r.batch, training=True, optimizer=r.optimizer).total + pixels,
        files=(*files, RECEIPT) if conductor and conductor.freezes else files,
        notes=dataset.notes,
        weights=filled.sentence if filled else "",
        frozen=conductor.describe() if conductor and conductor.freezes else "",
        features=f"{r.features}: {why}" if why and r.freeze != "none" else "",
    )


def _class_weights(recipe: Recipe, dataset: Dataset) -> Tensor | None:
    if recipe.class_weights == "balanced":
        return balanced_weights(torch.from_numpy(dataset.counts("train")))
    if isinstance(recipe.class_weights, list):
        return torch.tensor(recipe.class_weights)
    return None


def _same_settings(folder: Path, recipe: Recipe, asked: Mapping[str, Any]) -> None:
    wanted = Recipe.make(recipe.model_dump() | dict(asked), str(folder / RECIPE))
    for key in asked.keys() - {"data"}:  # images are compared by their content
        before, now = getattr(recipe, key), getattr(wanted, key)
        same = now in (before, "auto") or (key == "size" and now == 0)
        if key == "model":
            same = entry(now).name == before
        if key == "weights":
            same = sources.located(now) == before
        if key == "augment" and not same:
            same = str(Augment.parse(now)) == before
        if not same:
            raise UsageError(
                f"{folder} was started with {key} = {before!r}, not {now!r}; --resume goes on with the run's own recipe"
            )


def _recorded(run: Run, key: str, names: set[str]) -> dict[str, Any]:
    """A table in config.json that training wrote.  Raises: ArtefactError where it is not there."""
    table = run.config.get(key)
    if not isinstance(table, dict) or not names <= table.keys():
        raise ArtefactError(f"{run.folder / CONFIG}: expected a table {key!r} with {', '.join(sorted(names))}")
    return table


def _same_data(folder: Path, run: Run, screened: Screened, options: Options) -> bool:
    """Whether the images are those of the run.  Raises: DatasetError where they are not, and it is not allowed."""
    stored = _recorded(run, "data", {"sha256", "counts"})
    if screened.dataset.classes != run.classes:
        gone = sorted(set(run.classes) - set(screened.dataset.classes))
        new = sorted(set(screened.dataset.classes) - set(run.classes))
        raise DatasetError(
            f"{folder}: the classes have changed since the run began: gone {gone or 'none'}, new {new or 'none'}"
        )
    same = bool(screened.fingerprint.sha256 == stored["sha256"])
    if not same and not options.allow_changed_data:
        counts = sum(sum(each.values()) for each in stored["counts"].values())
        raise DatasetError(
            f"{folder}: the images are not those the run began with (then {counts}, now {screened.fingerprint.images}; "
            "contents, names or splits differ); --allow-changed-data goes on all the same"
        )
    return same


def _chosen_later(folder: Path, progress: checkpoint.Progress) -> bool:
    """Whether the weights that were kept are of an epoch that the checkpoint has not seen, or never will in this form.

    A run that goes on to the same bytes chooses them again. One whose images or machine have changed may not, and
    would name one epoch as its best and hold another's weights.
    """
    about = read_about(folder / MODEL) if (folder / MODEL).is_file() else {}
    return progress.best is not None and about.get("epoch") != progress.best["epoch"]


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("TensorBoard is not installed; `pip install 'striate[tensorboard]'` brings it") from error
    return SummaryWriter


def _tensorboard(folder: Path, stack: ExitStack) -> Any:
    writer = _summary_writer()(str(folder / "tensorboard"))
    stack.callback(writer.close)

    def write(row: dict[str, Any]) -> None:
        for key, value in row.items():
            if value is not None and key not in ("epoch", "step", "best"):
                writer.add_scalar(key.replace("_", "/", 1), value, row["epoch"])

    return write


def _sha(recipe: Recipe) -> str:
    """Of the settings, not of the text: a comment may be added to recipe.toml while a run is stopped."""
    return hashlib.sha256(recipe.to_toml().encode()).hexdigest()
