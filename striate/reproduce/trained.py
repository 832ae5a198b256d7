"""One arm with one seed: trained on a share of the training images, measured on test images after every epoch.

The weights that count are those of the last epoch: nothing is chosen on the test images, whose curve is only drawn.
"""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.blocks.wiring import Chain
from striate.data import keyed
from striate.data.augment import Augment
from striate.data.choose import choose
from striate.data.dataset import Dataset, Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.errors import DatasetError, Interrupted, TrainingError
from striate.models.registry import create_model, entry
from striate.reproduce.costs import blocks_that_ran, multiply_adds
from striate.reproduce.experiment import Trained, Work
from striate.reproduce.ingredients import small_network
from striate.reproduce.objectives import make_objective
from striate.reproduce.result import Measured
from striate.reproduce.small_images import NETWORKS, small_network_named
from striate.training.checkpoint import Progress
from striate.training.loop import Trainer, kind_of
from striate.training.machine import Machine
from striate.training.optimiser import make_optimiser
from striate.training.recipe import Recipe
from striate.training.report import Report


@dataclass(frozen=True)
class Prepared:
    """The images of one seed, and how the network sees them."""

    train: Split
    test: Split
    preprocess: Preprocess
    classes: int


def prepare(dataset: Dataset, recipe: Recipe, work: Work, seed: int) -> Prepared:
    """Training images drawn with the seed, and the same test images for all seeds.

    Raises: DatasetError where there are fewer than the recipe asks for.
    """
    train = part(dataset.split("train"), work.train_images, seed, dataset.name)
    test = part(dataset.split("test"), work.test_images, 0, dataset.name)
    shape = train.images.shape()
    if shape is None:
        raise DatasetError(f"{dataset.name}: recipes need images of one size")
    sizes = np.tile(np.array(shape[:2], dtype=np.int64), (len(train), 1))
    channels = {"gray": 1, "rgb": 3, "auto": dataset.channels}[recipe.channels]
    chosen = choose(train, sizes, size=(recipe.size, recipe.size), channels=channels)
    return Prepared(train, test, chosen.preprocess, len(dataset.classes))


def part(split: Split, images: int, seed: int, name: str) -> Split:
    """So many images of a split, drawn with a seed; all of them, in their order, for 0."""
    if images > len(split):
        raise DatasetError(f"{name}: the recipe asks for {images:,} images; there are {len(split):,}")
    return split.take(keyed.order(seed, 0, len(split))[:images]) if images else split


def build(arm: Trained, prepared: Prepared, seed: int) -> nn.Module:
    """The network with the first weights of a seed."""
    torch.manual_seed(seed)
    pre = prepared.preprocess
    if arm.network is not None:
        return small_network(arm.network, prepared.classes, pre.channels, pre.size[0])
    if arm.recipe.model in NETWORKS:
        return small_network_named(arm.recipe.model, dict(arm.options))(prepared.classes, pre.channels, pre.size[0])
    found = entry(arm.recipe.model)
    size = pre.size if found.fixed_size else None
    return create_model(found.name, num_classes=prepared.classes, in_chans=pre.channels, input_size=size, **arm.options)


def train_once(
    arm: Trained, work: Work, dataset: Dataset, seed: int, machine: Machine, workers: int | None, report: Report
) -> Measured:
    """Train, and measure after every epoch. The value is an accuracy, per cent, of the images that `work` counts.

    A training whose numbers cease to be finite is a result: it counts as always saying the most frequent class.

    Raises: DatasetError; Interrupted after a signal.
    """
    recipe = arm.recipe.model_copy(update={"seed": seed})
    prepared = prepare(dataset, recipe, work, seed)
    module = build(arm, prepared, seed)
    details: dict[str, object] = {"parameters": sum(p.numel() for p in module.parameters())}
    objective = make_objective(work.objective, kind_of(recipe), prepared.classes, recipe.smoothing, prepared.preprocess)
    device = machine.place
    if work.gradients and isinstance(module, Chain):
        details["gradients"] = gradients_over_depth(module, prepared)
    module = module.to(device)
    if recipe.channels_last is True:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(recipe.batch, int)
    augment = None if recipe.augment == "none" else Augment.parse(recipe.augment)
    progress = Progress()
    trainer = Trainer(
        module=module,
        optimiser=make_optimiser(module, recipe),
        recipe=recipe,
        train=Loader(prepared.train, prepared.preprocess, classes=prepared.classes, batch=recipe.batch, seed=seed,
                     augment=augment, workers=workers, device=device),
        val=Loader(prepared.test, prepared.preprocess, classes=prepared.classes, batch=500, workers=workers,
                   device=device),
        loss=objective.loss,
        device=device,
        progress=progress,
        save=lambda _progress, _tensors: None,
        choose=lambda _weights, _row: None,
        report=report,
        timed=lambda _timing: None,
        save_every=float("inf"),
        forward=objective.forward,
    )  # fmt: skip
    diverged = False
    counting: AbstractContextManager[dict[str, int]] = blocks_that_ran(module) if work.costs else nullcontext({})
    try:
        with counting as ran:
            trainer.fit()
    except TrainingError:
        diverged = True
    except Interrupted as error:
        raise Interrupted("stopped; nothing was stored", error.exit_code - 128) from error
    if work.costs:
        details |= multiply_adds(module, (prepared.preprocess.channels, *prepared.preprocess.size), ran)
    labels, column = {
        "test": (prepared.test.labels, "val_accuracy"), "training": (prepared.train.labels, "train_accuracy"),
    }[work.counted]  # fmt: skip
    counts = np.bincount(labels)
    guess = 100 * float(counts.max() / counts.sum())
    value = guess if diverged else 100 * float(progress.rows[-1][column])
    return Measured(round(value, 4), diverged, tuple(_row(row) for row in progress.rows), details)


def gradients_over_depth(module: Chain, prepared: Prepared, images: int = 128) -> dict[str, float]:
    """Root mean square of dL/dy of every convolution's output y before the first step, by the name of the step.

    Of the mean cross-entropy over `images`, in units of the loss. Batch norms take the statistics of these images, as
    in training; dropout drops nothing. The module is left as it was.
    """
    loader = Loader(prepared.train, prepared.preprocess, classes=prepared.classes, batch=images, workers=0)
    batch = next(iter(loader.in_order()))
    x, seen = batch.images, {}
    for name, step in copy.deepcopy(module).train().named_children():
        x = x if isinstance(step, nn.Dropout) else step(x)
        if isinstance(step, nn.Conv2d):
            seen[name] = x
    loss = nn.functional.cross_entropy(x, batch.labels)
    found: tuple[Tensor, ...] = torch.autograd.grad(loss, list(seen.values()))
    return {name: float(f"{g.square().mean().sqrt().item():.4g}") for name, g in zip(seen, found, strict=True)}


def _row(row: dict[str, float]) -> dict[str, float]:
    return {
        "epoch": float(row["epoch"]),
        "train_loss": round(row["train_loss"], 5), "train_accuracy": round(row["train_accuracy"], 5),
        "test_loss": round(row["val_loss"], 5), "test_accuracy": round(row["val_accuracy"], 5),
    }  # fmt: skip
