"""From a recipe to a trainer that is ready to begin: images screened, network built and filled, loaders made."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate import __version__
from striate.data.augment import Augment
from striate.data.dataset import ROLES, Dataset
from striate.data.loader import Loader
from striate.data.screen import Screened, screen
from striate.data.sources import called, open_dataset, place_found
from striate.errors import DatasetError
from striate.run.folder import CONFIG, MODEL, Identity, ModelSpec, write_model
from striate.training import checkpoint
from striate.training.compiled import Compiled
from striate.training.distributed.ranks import Ranks
from striate.training.engine import make_engine
from striate.training.loop import Trainer, kind_of
from striate.training.losses import balanced_weights, mass
from striate.training.machine import Machine
from striate.training.optimiser import make_optimiser
from striate.training.options import Options
from striate.training.recipe import Recipe
from striate.training.records import log, tensorboard, write_results
from striate.training.report import Report, Timing
from striate.training.resolve import Resolved
from striate.training.transfer import source as sources
from striate.training.transfer.conductor import Conductor, transfers
from striate.training.transfer.source import Filled, Source


def read_data(recipe: Recipe, options: Options, report: Report) -> Screened:
    """The images of a recipe, without those that can't be read.  Raises: DatasetError."""
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


def sizes(screened: Screened) -> np.ndarray:
    """(N, 2) height and width of the training images, upright."""
    split = screened.dataset.split("train")
    shape = split.images.shape()
    if shape is not None:
        return np.tile(np.array([shape[:2]], dtype=np.int64), (len(split), 1))
    return np.array([record.size for record in screened.records["train"] if record.reason is None], dtype=np.int64)


def spec_of(resolved: Resolved, source: Source | None = None) -> ModelSpec:
    """How the network is built.  Raises: ShapeError where it can't take the size or the number of channels."""
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


def facts_of(recipe: Recipe, screened: Screened, machine: Machine, options: Options) -> dict[str, Any]:
    """What config.json keeps beside the identity: data and machine."""
    dataset = screened.dataset
    return {
        "striate": __version__,
        "data": {
            "name": called(recipe.data),
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


def make_trainer(
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
    """All that the run is made of, and what the network took of the weights that it starts from."""
    dataset = screened.dataset
    device = machine.place
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
        "device": device,
    }
    augment = Augment.parse(recipe.augment)

    def tell(done: int, of: int) -> None:
        report.prepare("preparing images", done, of)

    train = Loader(dataset.split("train"), identity.preprocess, augment=None if recipe.augment == "none" else augment,
                   workers=options.workers, progress=tell, views=recipe.views, **common)  # fmt: skip
    val = None
    if "val" in dataset.splits and len(dataset.split("val")):
        val = Loader(dataset.split("val"), identity.preprocess, workers=options.workers, progress=tell, **common)
    progress = checkpoint.Progress()
    rule = "highest val accuracy, then lowest val loss" if val else "last epoch (no val split)"

    def save(state: checkpoint.Progress, tensors: dict[str, Tensor]) -> None:
        if not options.ranks.leads:
            return
        said = conductor.sign(state) if conductor else ""
        if said and state.finished:
            report.note(said)
        write_results(folder, state)
        checkpoint.write(folder, state, tensors, trainer.recipe.digest())

    def choose(tensors: dict[str, Tensor], best: dict[str, Any]) -> None:
        if options.ranks.leads:
            write_model(folder / MODEL, tensors, identity, {**best, "rule": rule})

    board = tensorboard(folder, stack) if options.tensorboard else None

    def timed(timing: Timing) -> None:
        log(folder, timing)
        write_results(folder, trainer.progress)
        if board:
            board(trainer.progress.rows[-1])

    engine = make_engine(
        recipe.engine, kind_of(recipe), len(dataset.classes), smoothing=recipe.smoothing,
        weights=class_weights(recipe, dataset, device))  # fmt: skip
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
        forward=Compiled() if recipe.compile is True else engine.forward,
        conductor=conductor,
        ranks=options.ranks,
        together=options.together,
    )
    if conductor and recipe.features == "cached":
        trainer.train, trainer.val = conductor.cache(train, val, trainer.place, trainer.bf16, report.prepare)
    _share(trainer, identity, dataset, screened, options.ranks)
    return trainer, filled


def _share(trainer: Trainer, identity: Identity, dataset: Dataset, screened: Screened, ranks: Ranks) -> None:
    """Give each of several processes its part of every batch, once they all are about to do the same."""
    for loader in (trainer.train, trainer.val):
        if loader is not None:
            loader.rank, loader.ranks = ranks.rank, ranks.world
    recipe, weights = trainer.recipe, class_weights(trainer.recipe, dataset, trainer.device)
    if weights is not None:
        ranks.weigh(lambda batch: mass(batch.labels, batch.targets, len(dataset.classes), recipe.smoothing, weights))
    same: dict[str, Any] = {"images": screened.fingerprint.sha256}
    same |= recipe.model_dump(exclude={"data", "weights"}) | identity.to_json()
    ranks.agree("plan", "\n".join(f"{key} = {value!r}" for key, value in same.items()))


def class_weights(recipe: Recipe, dataset: Dataset, device: torch.device) -> Tensor | None:
    if recipe.class_weights == "balanced":
        return balanced_weights(torch.from_numpy(dataset.counts("train"))).to(device)
    if isinstance(recipe.class_weights, list):
        return torch.tensor(recipe.class_weights, device=device)
    return None
