"""How long a training step of each arm takes. The arms take turns, so that what slows the machine slows all of them."""

from collections.abc import Generator, Mapping
from statistics import median
from time import perf_counter

import torch
from torch import nn

from striate.data.dataset import Dataset
from striate.data.loader import Loader
from striate.reproduce.experiment import Trained, Work
from striate.reproduce.trained import build, prepare
from striate.training.faster import faster_layers
from striate.training.machine import Machine
from striate.training.optimiser import make_optimiser

TURNS, WARM = 20, 2


def step_ms(
    arms: Mapping[str, Trained], work: Work, datasets: Mapping[str, Dataset], machine: Machine, turns: int = TURNS
) -> dict[str, float]:
    """Arm -> milliseconds of a training step with the first weights of seed 0: the median of the arm's turns.

    Forward, backward and update on one batch; the loader is left out.
    """
    steps = {name: _steps(arm, work, datasets[arm.recipe.data], machine) for name, arm in arms.items()}
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM + turns):
        for name, step in steps.items():
            torch.manual_seed(turn)  # blocks and units that are left out: the same in every measurement
            begun = perf_counter()
            next(step)
            if turn >= WARM:
                found[name].append(1e3 * (perf_counter() - begun))
    for step in steps.values():
        step.close()
    return {name: round(median(times), 2) for name, times in found.items()}


def _steps(arm: Trained, work: Work, dataset: Dataset, machine: Machine) -> Generator[None, None, None]:
    """Each `next` is one step."""
    recipe = arm.recipe
    assert isinstance(recipe.batch, int)
    prepared = prepare(dataset, recipe, work, 0)
    device = machine.place
    layout = torch.channels_last if recipe.channels_last is True else torch.contiguous_format
    module = build(arm, prepared, 0).to(device).to(memory_format=layout).train()  # type: ignore[call-overload]
    optimiser = make_optimiser(module, recipe)
    loader = Loader(prepared.train, prepared.preprocess, classes=prepared.classes, batch=recipe.batch, workers=0)
    batch = next(iter(loader.in_order()))
    images, labels = batch.images.to(device, memory_format=layout), batch.labels.to(device)
    with faster_layers(module, device):
        while True:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                z = module(images)
            nn.functional.cross_entropy(z.float(), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            yield
