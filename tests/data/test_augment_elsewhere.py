"""Images in a device's memory are varied there, without waiting for it, to what the processor makes of them."""

import numpy as np
import pytest
import torch

from striate.data.augment import Augment
from striate.data.preprocess import Preprocess
from tests import simulated

SPECS = [
    "rotation:20", "shift:0.2", "shear:10 fill:reflect", "zoom:0.3 fill:wrap", "rotation:30 fill:constant,99",
    "crop:3", "crop:3 hflip vflip fill:reflect", "crop:2 fill:wrap", "crop:9 fill:constant,7",
    "rotation:5 crop:2 hflip",
    "brightness:0.5", "contrast:0.5", "saturation:0.8", "hue:0.4", "cutout:0.4", "erasing:0.9", "mixup:0.4",
    "cutmix:1", "mixup:0.4 cutmix:1", "rescale:2", "randaugment:2,9", "randaugment:10,30", "none",
]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spec", SPECS)
def test_every_operation_gives_the_same_bits_there_as_here(spec: str, channels: int) -> None:
    rng = np.random.default_rng(len(spec))
    images = torch.from_numpy(rng.integers(0, 256, (40, channels, 11, 13), dtype=np.uint8))
    images[:4] = 200  # of one colour: nothing to stretch or to spread
    labels, ids = rng.integers(0, 5, 40), np.arange(100, 140)
    augment = Augment.parse(spec)
    here = augment(images, labels, ids, seed=3, epoch=2, classes=5)
    there = images.to(simulated.DEVICE)
    simulated.looks.clear()
    found = augment(there, labels, ids, seed=3, epoch=2, classes=5)
    assert simulated.looks == []
    assert found.images.device == simulated.DEVICE
    assert torch.equal(found.images.cpu(), here.images)
    assert (found.targets is None) == (here.targets is None)
    if found.targets is not None and here.targets is not None:
        assert torch.equal(found.targets.cpu(), here.targets)
    assert torch.equal(there.cpu(), images)  # what was given is as it was


def test_every_operation_of_randaugment_is_drawn_in_these_tests() -> None:
    """Or an operation that goes wrong there would not be seen."""
    from striate.data.augment.draw import Draw
    from striate.data.augment.randaugment import NAMES, Rounds

    drawn = Rounds.draw(Draw(3, 2, np.arange(100, 140)), 10, 30, Augment.parse("randaugment:10,30").outside)
    assert {NAMES[number] for number in drawn.picks.ravel()} == set(NAMES)


def test_images_are_normalised_where_they_are_without_waiting() -> None:
    pre = Preprocess(size=(5, 4), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    images = torch.randint(0, 256, (6, 3, 5, 4), dtype=torch.uint8)
    there = images.to(simulated.DEVICE)
    pre.normalise(there)  # takes mean and deviation there, once
    simulated.looks.clear()
    found = pre.normalise(there)
    assert simulated.looks == []
    assert torch.equal(found.cpu(), pre.normalise(images))
