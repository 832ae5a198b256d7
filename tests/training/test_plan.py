"""The plan times a copy of the network for a few steps, and the training that follows never knows."""

import copy

import pytest
import torch

from striate.data.loader import Batch
from striate.models.registry import create_model
from striate.training.losses import make_loss
from striate.training.plan import trial


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_trial_takes_time_and_changes_nothing(bf16: bool, mixed: bool) -> None:
    module = create_model("test_norm", num_classes=3, in_chans=1).train()
    before, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    labels = torch.tensor([0, 1, 2, 0])
    targets = torch.full((4, 3), 1 / 3) if mixed else None
    took = trial(module, Batch(torch.randn(4, 1, 12, 12, generator=torch.Generator()), labels, targets),
                 make_loss("cross_entropy", 3), bf16=bf16)  # fmt: skip
    assert took.step_s > 0
    assert took.eval_s > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert module.training
