"""Training on a device with a memory of its own: what a GPU is given, on one that computes the processor's numbers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.data.loader import Loader
from striate.errors import TrainingError
from striate.run.folder import read_model
from striate.training import job
from striate.training.loop import Trainer
from striate.training.machine import survey
from striate.training.tally import TOGETHER
from tests import simulated
from tests.training.conftest import write_images
from tests.training.runs import SMALL, STEPS, Listener, chain, go

EXACT: dict[str, Any] = {"precision": "float32"}
WHOLE: dict[str, Any] = EXACT | {"val_share": 0.0}  # forty batches an epoch of `many`
MANY = "rotation:10 shift:0.1 colour:0.3 hue:0.1 cutout:3 erasing:0.5 randaugment:2,9"
TRAININGS = {
    "flips and crops": {"augment": "hflip crop:2"},
    "all that an image can go through": {"augment": MANY},
    "mixed labels, class weights, averages": {
        "augment": "mixup:0.4 cutmix:1", "class_weights": "balanced", "ema": 0.9, "clip": 0.5, "smoothing": 0.1,
    },
    "accumulated": {"accumulate": 3, "augment": "resized_crop:0.3"},
    "a rule that is not fused": {"optimizer": "rmsprop", "lr": 0.001, "schedule": "plateau", "patience": 1},
    "batches made by two threads": {"augment": MANY, "workers": 2},
    "squared errors": {"loss": "mse"},
}  # fmt: skip


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine has a device."""
    asked = survey
    monkeypatch.setattr(job, "survey", lambda *a, **k: replace(asked(*a, **k), device=simulated.NAME))
    with simulated.plugged_in():
        yield


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty batches of four, without validation."""
    return write_images(tmp_path_factory.mktemp("many") / "bands", train=160, val=0)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_model(run / "model.safetensors")[0]


def same(a: Path, b: Path) -> bool:
    """The same weights to the last bit, and the same account of how they came about."""
    found, expected = weights(a), weights(b)
    assert found.keys() == expected.keys()
    equal = all(torch.equal(found[name], expected[name]) for name in expected)
    return equal and (a / "results.csv").read_bytes() == (b / "results.csv").read_bytes()


@pytest.mark.parametrize("settings", TRAININGS.values(), ids=list(TRAININGS))
def test_a_training_on_a_device_gives_the_bytes_of_one_on_the_processor(
    images: Path, tmp_path: Path, request: pytest.FixtureRequest, settings: dict[str, Any]
) -> None:
    go(images, tmp_path / "here", **EXACT | settings)
    request.getfixturevalue("elsewhere")
    go(images, tmp_path / "there", **EXACT | settings)
    assert same(tmp_path / "there", tmp_path / "here")


def test_a_fused_rule_on_a_device_does_what_the_rule_on_the_processor_does(
    images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rule = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "augment": "none"}
    go(images, tmp_path / "here", **EXACT | rule)
    request.getfixturevalue("elsewhere")
    go(images, tmp_path / "there", **EXACT | rule)
    found, expected = weights(tmp_path / "there"), weights(tmp_path / "here")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_frozen_and_cached_features_on_a_device_give_the_same_bytes(
    finished: Path, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, Any] = EXACT | {"weights": str(finished), "freeze": "conv2", "views": 2, "epochs": 4}
    settings |= {"augment": "hflip", "features": "cached", "unfreeze": [{"epoch": 3, "down_to": "conv2"}]}
    go(images, tmp_path / "here", **settings)
    request.getfixturevalue("elsewhere")
    go(images, tmp_path / "there", **settings)
    assert same(tmp_path / "there", tmp_path / "here")


def test_stopped_again_and_again_on_a_device_it_comes_out_the_same(
    images: Path, tmp_path: Path, elsewhere: None
) -> None:
    settings = EXACT | {"epochs": 4, "augment": "hflip crop:2"}
    go(images, tmp_path / "whole", **settings)
    assert chain(images, tmp_path / "parts", iter([1, 1, 2]), **settings) == 3
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_between_two_looks_the_loop_never_waits_for_the_device(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: None
) -> None:
    """A look is allowed at the first batch and at every sixteenth, and that it is one: all numbers come together."""
    update = Trainer._update
    waits: list[list[str]] = []

    def watched(self: Trainer, group: Any, lr: float) -> None:
        simulated.looks.clear()
        update(self, group, lr)
        waits.append(list(simulated.looks))

    monkeypatch.setattr(Trainer, "_update", watched)
    listener = Listener()
    go(many, tmp_path / "r", listener=listener, epochs=1, augment=MANY, clip=0.5, ema=0.9, **WHOLE)
    assert len(waits) == 40
    looked = [i for i, found in enumerate(waits) if found]
    assert looked == [0, TOGETHER, 2 * TOGETHER]  # batch 0 is looked at by itself
    assert all(len(waits[i]) == 1 for i in looked)
    assert [step.batch for step in listener.steps] == [TOGETHER + 1, 2 * TOGETHER + 1, 40]


def test_fetching_batches_does_not_wait_for_the_device_either(many: Path, elsewhere: None) -> None:
    loader = loader_of(many, augment=MANY)
    next(loader.epoch(0))  # takes mean and deviation there, once
    simulated.looks.clear()
    batches = list(loader.epoch(0))
    assert all(batch.images.device == simulated.DEVICE == batch.labels.device for batch in batches)
    assert simulated.looks == []


def test_what_does_not_fit_on_the_device_is_brought_there_batch_by_batch(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = loader_of(many)
    monkeypatch.setattr("striate.data.loader.free_memory", lambda device=None: 0 if device else 1 << 30)
    brought = loader_of(many)
    assert kept._pixels is not None
    assert brought._pixels is not None
    assert kept._pixels.device == simulated.DEVICE
    assert brought._pixels.device.type == "cpu"
    for a, b in zip(kept.epoch(1), brought.epoch(1), strict=True):
        assert b.images.device == simulated.DEVICE
        assert torch.equal(a.images.cpu(), b.images.cpu())


FAULTS = {
    "output": "layer conv2 is the first",
    "gradient": "gradient of conv2.weight",
    "norm": "no single value, but its norm; the largest is in conv2.weight: ",
}


@pytest.mark.parametrize("at", [1, 8, 25, 40])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_number_is_told_as_if_it_had_been_looked_at_at_once(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: None, kind: str, at: int
) -> None:
    """It stays planted in that step alone; the steps behind it, which are done before anybody looks, change nothing."""
    update, go_back = Trainer._update, Trainer._go_back
    steps = 0
    before: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}

    def trained(trainer: Trainer) -> dict[str, torch.Tensor]:
        return {name: p.detach().cpu().clone() for name, p in trainer.module.named_parameters()}

    def spoil(trainer: Trainer) -> Any:
        module = trainer.module.get_submodule("conv2")
        if kind == "output":
            return module.register_forward_hook(lambda _m, _x, y: y * float("nan"))
        factor = float("nan") if kind == "gradient" else 1e30
        return module.get_parameter("weight").register_hook(lambda g: g * factor)

    def planted(self: Trainer, group: Any, lr: float) -> None:
        nonlocal steps
        steps += 1
        if steps == at + 1 and kind == "gradient":  # more goes wrong before anybody looks: the first fault counts
            self.module.get_submodule("fc").register_forward_hook(lambda _m, _x, y: y * float("inf"))
        if steps != at:
            return update(self, group, lr)
        before.update(trained(self))
        handle = spoil(self)
        update(self, group, lr)
        handle.remove()

    def watched(self: Trainer, step: int, numbers: list[int], what: str) -> None:
        after.update(trained(self))
        self.module.get_submodule("fc")._forward_hooks.clear()
        spoil(self)
        go_back(self, step, numbers, what)

    monkeypatch.setattr(Trainer, "_update", planted)
    monkeypatch.setattr(Trainer, "_go_back", watched)
    with pytest.raises(TrainingError) as caught:
        go(many, tmp_path / "r", save_every=0, epochs=2, **WHOLE)
    said = str(caught.value)
    assert f"epoch 1, step {at}:" in said
    assert FAULTS[kind] in said
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert steps - at <= TOGETHER


def test_only_what_a_step_was_made_of_is_computed_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: None
) -> None:
    """A group of three batches, whose gradient is not finite: these three are asked for, of their epoch."""
    asked: list[tuple[int, int]] = []
    update, epoch = Trainer._update, Loader.epoch

    def planted(self: Trainer, group: Any, lr: float) -> None:
        if self.progress.step == 3:  # the second of epoch 2: batches 3, 4 and 5
            self.module.get_parameter("fc.weight").register_hook(lambda g: g * float("inf"))
        update(self, group, lr)

    def watched(self: Loader, number: int, start: int = 0) -> Any:
        asked.append((number, start))
        return epoch(self, number, start)

    monkeypatch.setattr(Trainer, "_update", planted)
    monkeypatch.setattr(Loader, "epoch", watched)
    with pytest.raises(TrainingError, match=r"epoch 2, step 4: the gradient is not finite: the gradient of fc\.weight"):
        go(images, tmp_path / "r", accumulate=3, epochs=3, **EXACT)
    assert STEPS == 6
    assert asked == [(0, 0), (1, 0), (1, 3)]


def test_the_device_refuses_what_a_gpu_would_refuse() -> None:
    there = torch.ones(2, 2).to(simulated.DEVICE)
    with pytest.raises(RuntimeError, match="one device"):
        there + torch.ones(2, 2)
    simulated.looks.clear()
    assert float(there.sum()) == 4
    assert there.cpu().tolist() == [[1, 1], [1, 1]]
    assert len(simulated.looks) == 2
    simulated.looks.clear()


def loader_of(many: Path, augment: str = "hflip") -> Loader:
    from striate.data.augment import Augment
    from striate.data.preprocess import Preprocess
    from striate.data.sources import open_dataset

    split = open_dataset(str(many)).split("train")
    pre = Preprocess(size=(12, 12), order="gray", mean=(0.5,), std=(0.25,))
    return Loader(split, pre, classes=3, batch=SMALL["batch"], augment=Augment.parse(augment), device=simulated.DEVICE)
