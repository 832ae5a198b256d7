"""One run of a fastest road: from a data set to an accuracy, and the seconds in between."""

import math
import time

import torch

from striate.data.dataset import Dataset
from striate.reproduce.fastest.measuring import accuracy
from striate.reproduce.fastest.pixels import Pixels
from striate.reproduce.fastest.training import build, train
from striate.reproduce.fastest.way import Way
from striate.reproduce.result import Measured
from striate.training.machine import Machine
from striate.training.report import Report


def run_once(way: Way, dataset: Dataset, seed: int, machine: Machine, report: Report) -> Measured:
    """Train and measure: the accuracy on the test images, per cent; "seconds" in the details, all included.

    Nothing is measured before the end: test images choose nothing, and looking would take time.

    Raises: DatasetError for a data set that does not lie in memory; TrainingError where the loss is not finite.
    """
    begun = time.perf_counter()
    device = machine.place
    precision = torch.bfloat16 if machine.bf16 else torch.float32
    data = Pixels.of(dataset.split("train"), device)
    test = Pixels.of(dataset.split("test"), device, like=data)
    network = build(way, data, len(dataset.classes), seed)
    losses: list[float] = []

    def tell(epoch: int, loss: float) -> None:
        losses.append(loss)
        report.prepare(f"{way.network}, seed {seed}, epoch", epoch, math.ceil(way.epochs))

    train(network, data, way, seed, precision, tell)
    value = accuracy(network, test, way.views, precision)
    seconds = time.perf_counter() - begun
    details = {
        "seconds": round(seconds, 2),
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_losses": [round(loss, 4) for loss in losses],
    }
    return Measured(round(value, 4), details=details)
