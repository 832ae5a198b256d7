"""From a run and data to predictions.csv, card.json and card.html."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate import durable
from striate.data.dataset import ROLES, Dataset
from striate.data.sources import aligned
from striate.errors import UsageError
from striate.evaluation.card import Card, Example, Rival, make_card
from striate.evaluation.examples import explained, least_sure, most_wrong
from striate.evaluation.facts import differences, gather, results_of
from striate.evaluation.opening import Progress, open_for_run
from striate.evaluation.page import card_html
from striate.evaluation.predictions import Predictions, predict_split, save
from striate.models.registry import entry
from striate.run.folder import Run
from striate.run.precision import settle_float32

PREDICTIONS, CARD, PAGE = "predictions.csv", "card.json", "card.html"
IMAGES = 12  # most-wrong images on the card
CLOSE = 6  # right answers that it was least sure of


def evaluate(
    run: str | Path | Run,
    data: str | Path | None = None,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    compare: Sequence[str | Path] = (),
    data_dir: Path | None = None,
    download: bool = False,
    images: int = IMAGES,
    batch: int = 256,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Card:
    """Evaluate a run and write predictions.csv, card.json and card.html into its folder, or into `out`.

    `data` are those of the training (None), or others with the same classes. `split` is `test` where there is one,
    else `val`, with a caution; `train` only where it is asked for. `compare` names other runs, which then answer the
    same images. `images` is how many of the mistakes the card shows.

    Raises: ArtefactError where the run is none, or damaged; UsageError, DatasetError for data that can't be used so;
    Busy where somebody is writing into the folder.
    """
    run = run if isinstance(run, Run) else Run(run)
    tell = progress or (lambda what, done, of: None)
    if split is not None and split not in ROLES:
        raise UsageError(f"no split is called {split!r}; they are {', '.join(ROLES)}")
    settle_float32()
    module = run.load_module().to("cuda" if torch.cuda.is_available() else "cpu")
    opened = open_for_run(run, data, split, data_dir, download, tell)
    dataset = aligned(opened.screened.dataset, run.classes)
    role = _role(dataset, split)

    def answers(asked: Run, network: nn.Module, role: str, what: str) -> Predictions:
        part = aligned(dataset, asked.classes).split(role)
        return predict_split(network, part, asked.preprocess, classes=asked.classes, role=role, batch=batch,
                             workers=workers, progress=lambda done, of: tell(what, done, of))  # fmt: skip

    predictions = answers(run, module, role, "answering")
    val = None
    if opened.is_training_data and role == "test" and "val" in dataset.splits:
        val = answers(run, module, "val", "answering val")
    rivals = []
    for other in map(Run, compare):
        network = other.load_module().to(next(module.parameters()).device)
        rivals.append(
            Rival(other.name, answers(other, network, role, f"answering ({other.name})"), differences(run, other))
        )
    layer = entry(run.identity.spec.name).look

    def shown(chosen: NDArray[np.int64]) -> tuple[Example, ...]:
        return explained(predictions, chosen, dataset.split(role), module, run.preprocess, layer=layer)

    wrong, unsure = shown(most_wrong(predictions, images)), shown(least_sure(predictions, min(images, CLOSE)))
    facts = gather(run, module, opened, dataset, role)
    card = make_card(
        predictions,
        facts=facts,
        val_predictions=val,
        wrong=wrong,
        unsure=unsure,
        curves=results_of(run),
        compare_with=rivals,
    )
    folder = run.folder if out is None else Path(out)
    durable.make_folder(folder)
    with durable.lock(folder):
        save(predictions, folder / PREDICTIONS)
        durable.write_json(folder / CARD, card.to_json())
        durable.write_text(folder / PAGE, card_html(card))
    return card


def _role(dataset: Dataset, asked: str | None) -> str:
    """The split to evaluate: the one asked for, else test, else val; never train by itself."""
    if asked is not None:
        dataset.split(asked)
        return asked
    for role in ("test", "val"):
        if role in dataset.splits and len(dataset.splits[role]):
            return role
    raise UsageError(
        f"{dataset.name} has only images that the network was trained on: what it says about them is no evaluation. "
        "Give other data, or ask for it by --split train"
    )
