"""What is going to happen, before it happens."""

import copy
import time
from dataclasses import dataclass

import torch
from torch import nn

from striate.data.loader import Batch
from striate.training.engine import Forward
from striate.training.faster import faster_layers
from striate.training.losses import Loss, on_heads


@dataclass(frozen=True)
class Plan:
    """Facts about a run that has not begun. Seconds and bytes are estimates."""

    run: str
    data: str
    classes: tuple[str, ...]
    images: dict[str, int]  # role -> number
    per_class: tuple[int, ...]  # training images of each class
    quarantined: int
    preprocess: str
    preprocess_why: str
    augment: str
    model: str
    parameters: int
    macs: int  # of one image
    epochs: int
    steps: int
    batch: int
    loss: str
    precision: str
    machine: str
    seconds: float
    step_s: float  # a batch forward, backward and updated
    memory_bytes: int
    files: tuple[str, ...]
    notes: tuple[str, ...]
    weights: str = ""  # what training starts from
    frozen: str = ""
    features: str = ""  # cached or live, and why


@dataclass(frozen=True)
class Trial:
    """What a few steps on a copy of the network took."""

    step_s: float
    eval_s: float  # for one batch


def trial(
    module: nn.Module, batch: Batch, loss: Loss, *, bf16: bool, steps: int = 3, least: int = 1,
    forward: Forward = nn.Module.__call__,
) -> Trial:  # fmt: skip
    """Time `steps` updates of a copy, or only `least` where they are slow.

    The network itself and torch's random state stay as they are.
    """
    device = next(module.parameters()).device
    with torch.random.fork_rng(devices=[]):
        copied = copy.deepcopy(module).train()
        images, labels = batch.images.to(device), batch.labels.to(device)
        targets = None if batch.targets is None else batch.targets.to(device)
        rule = torch.optim.SGD(copied.parameters(), lr=0.0)
        best = float("inf")
        with faster_layers(copied, device):
            for step in range(steps):
                begun = time.perf_counter()
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    outputs = forward(copied, images)
                on_heads(loss, outputs, labels, targets).whole.backward()  # type: ignore[no-untyped-call]
                rule.step()
                rule.zero_grad()
                _wait(device)
                best = min(best, time.perf_counter() - begun)
                if best > 2 and step + 1 >= least:
                    break
        copied.eval()
        begun = time.perf_counter()
        with torch.no_grad():
            copied(images)
        _wait(device)
        return Trial(best, time.perf_counter() - begun)


def _wait(device: torch.device) -> None:
    """Until all that was asked of a device is done: what is asked for is not done yet."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
