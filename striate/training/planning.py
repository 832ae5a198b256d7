"""What a run is going to be, before it begins: a few steps of a copy say how long it takes, and whether to compile."""

import time
from pathlib import Path

from striate.data.augment import Augment
from striate.data.dataset import ROLES
from striate.data.screen import Screened
from striate.models.cost import cost
from striate.run.folder import CONFIG, MODEL, PREPROCESS, RECIPE, RESULTS, TIMING
from striate.training import checkpoint
from striate.training.compiled import Choice, Compiled, choose
from striate.training.loop import Trainer
from striate.training.machine import Machine
from striate.training.plan import Plan, trial
from striate.training.report import Report
from striate.training.resolve import Resolved
from striate.training.transfer.receipt import FILE as RECEIPT
from striate.training.transfer.source import Filled


def make_plan(
    folder: Path, trainer: Trainer, resolved: Resolved, screened: Screened, machine: Machine,
    filled: Filled | None = None, why: str = "",
) -> Plan:  # fmt: skip
    """What is going to happen; the network and torch's random state stay as they are."""
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
    files = (MODEL, CONFIG, PREPROCESS, RECIPE, RESULTS, TIMING, f"{checkpoint.FOLDER}/")
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
        step_s=measured.step_s,
        memory_bytes=whole.memory(r.batch, training=True, optimizer=r.optimizer).total + pixels,
        files=(*files, RECEIPT) if conductor and conductor.freezes else files,
        notes=dataset.notes,
        weights=filled.sentence if filled else "",
        frozen=conductor.describe() if conductor and conductor.freezes else "",
        features=f"{r.features}: {why}" if why and r.freeze != "none" else "",
    )


def compile_where_it_pays(trainer: Trainer, plan: Plan, report: Report) -> None:
    """Settle what `compile = "auto"` means for this run, and say so where it was tried.

    A network of which a part is frozen is not tried: it is another one in each phase.
    """
    recipe = trainer.recipe
    if recipe.compile != "auto":
        return
    choice = Choice(False)
    if trainer.conductor is None:
        choice = choose(
            trainer.module, next(iter(trainer.train.in_order())), trainer.loss, bf16=trainer.bf16,
            steps=plan.steps * recipe.accumulate, seconds=plan.seconds, plain_s=plan.step_s,
        )  # fmt: skip
    if choice.why:
        report.note(choice.why)
    trainer.recipe = recipe.model_copy(update={"compile": choice.compile})
    if choice.compile:
        trainer.forward = Compiled()
