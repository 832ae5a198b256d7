"""Numbers that are not finite, and disks that are full: named at once, and never in a file."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from striate.data.loader import Loader
from striate.errors import (
    EnvironmentFault,
    TrainingError,
)
from striate.run.folder import MODEL, read_model
from striate.run.packed import unpack
from striate.training import checkpoint
from striate.training.loop import Trainer
from tests.training.runs import STEPS, files, go

# -- numbers that are not finite ---------------------------------------------------------------------------------------


def finite(run: Path) -> bool:
    """Whether every number in every file of weights is."""
    found = [unpack(path)[0] for _, path in checkpoint.stored(run)]
    found += [read_model(run / MODEL)[0]] if (run / MODEL).exists() else []
    return all(bool(torch.isfinite(t).all()) for tensors in found for t in tensors.values() if t.is_floating_point())


@pytest.mark.parametrize("model", ["test_plain", "test_norm"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_rate_that_is_far_too_high_ends_with_a_word_or_with_finite_weights(
    images: Path, tmp_path: Path, model: str, optimizer: str
) -> None:
    more = {"model": model, "optimizer": optimizer, "lr": 100.0, "epochs": 8, "save_every": 0, "schedule": "constant"}
    try:
        go(images, tmp_path / "r", momentum=0.99, weight_decay=10.0, **more)
    except TrainingError as error:
        said = str(error)
    else:
        said = ""
    if (model, optimizer) == ("test_plain", "sgd"):
        assert said
    assert finite(tmp_path / "r")
    if said:
        assert "lower lr" in said
        assert any(f"layer {name}" in said or f"{name}." in said for name in ("conv", "bn", "relu", "fc", "conv2"))
        assert "epoch " in said
        assert "step " in said


FAULTS = [
    ("output", "conv"),
    ("output", "bn"),
    ("output", "fc"),
    ("gradient", "conv2"),
    ("gradient", "fc"),
    ("weight", "conv2"),
]


@pytest.mark.parametrize(("kind", "layer"), FAULTS)
@pytest.mark.parametrize("at", [1, 8])
def test_the_layer_and_the_step_of_the_first_bad_number_are_named(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, layer: str, at: int
) -> None:
    """A NaN is planted in one layer: in the forward or backward pass of one step, or in its weights before it."""
    update = Trainer._update
    steps = 0

    def planted(self: Trainer, group: Any, lr: float) -> None:
        nonlocal steps
        steps += 1
        module = self.module.get_submodule(layer)
        if steps == at:
            if kind == "output":
                module.register_forward_hook(lambda _m, _x, y: y * float("nan"))
            elif kind == "gradient":
                module.weight.register_hook(lambda g: g * float("nan"))  # type: ignore[union-attr, operator]
            else:
                with torch.no_grad():
                    module.weight.view(-1)[0] = float("nan")  # type: ignore[union-attr, operator]
        update(self, group, lr)

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError) as caught:
        go(images, tmp_path / "r", save_every=0)
    said = str(caught.value)
    assert f"epoch {1 + (at > STEPS)}, step {at}:" in said
    expected = {
        "output": f"layer {layer} is the first",
        "gradient": f"gradient of {layer}.weight",
        "weight": f"weights of {layer}.weight",
    }
    assert expected[kind] in said
    assert steps == at
    assert finite(tmp_path / "r")
    assert len(checkpoint.stored(tmp_path / "r")) == min(2, at - 1)


def test_memory_of_the_update_rule_that_is_not_finite_is_not_saved(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = Trainer._update

    def planted(self: Trainer, group: Any, lr: float) -> None:
        update(self, group, lr)
        if self.progress.step == 4:
            self.optimiser.state[self.module.get_parameter("fc.bias")]["exp_avg_sq"][0] = float("inf")

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError, match=r"step 4: fc\.bias:exp_avg_sq \(optimiser\)"):
        go(images, tmp_path / "r", save_every=0)
    assert finite(tmp_path / "r")


def test_a_val_loss_that_is_not_finite_is_told_with_its_layer(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and statistics are finite, and what the evaluation makes of them is not."""
    validate = Trainer._validate

    def planted(self: Trainer, loader: Loader) -> Any:
        self.module.get_submodule("bn").running_var.fill_(1e-38)  # type: ignore[union-attr, operator]
        self.module.get_submodule("bn").eps = 0.0
        self.module.get_submodule("bn").weight.data.fill_(1e30)  # type: ignore[union-attr, operator]
        return validate(self, loader)

    monkeypatch.setattr(Trainer, "_validate", planted)
    with pytest.raises(TrainingError, match=f"epoch 1, step {STEPS}: the val loss is .*: layer bn is the first"):
        go(images, tmp_path / "r")
    assert not (tmp_path / "r" / MODEL).exists()


def test_a_bad_number_in_any_batch_of_a_group_is_found(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of four batches has the bad gradient, the others have none."""
    spoilt: list[int] = []
    update = Trainer._update

    def planted(self: Trainer, group: Any, lr: float) -> None:
        first = group[0].images

        def look(_m: Any, inputs: Any, y: torch.Tensor) -> torch.Tensor:
            if inputs[0].shape == first.shape and torch.equal(inputs[0].detach(), first):
                spoilt.append(1)
                y.register_hook(lambda g: g * float("inf"))
            return y

        self.module.get_submodule("conv").register_forward_hook(look)
        update(self, group, lr)

    monkeypatch.setattr(Trainer, "_update", planted)
    with pytest.raises(TrainingError, match=r"the gradient is not finite: the gradient of conv\.weight"):
        go(images, tmp_path / "r", accumulate=4)
    assert spoilt


def test_a_full_disk_ends_the_run_and_leaves_what_was_saved(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, fsync, calls = tmp_path / "r", os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 20:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        go(images, out, save_every=0)
    monkeypatch.undo()
    assert finite(out)
    assert not list(out.rglob(".tmp-*"))
    go(images, out, resume=True)
    assert files(out) == files(finished)


def test_a_log_that_can_not_be_written_is_named(images: Path, tmp_path: Path) -> None:
    (tmp_path / "r" / "timing.jsonl").mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match=r"timing\.jsonl: could not be written"):
        go(images, tmp_path / "r")
