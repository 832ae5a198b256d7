"""One small member of each of the families for phones learns four images by heart."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.blocks.stochastic import StochasticDepth
from striate.models.registry import create_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2_0.35", "mobilenet_v1_0.25_128", "mobilenet_v1_shallow", "efficientnet_b0", "mnasnet0_5",
     "shufflenet_v2_x0_5"],
)  # fmt: skip
def test_a_few_steps_bring_the_loss_near_zero(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, num_classes=4).train()
    x, labels = torch.randn(4, 3, 64, 64), torch.arange(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout | StochasticDepth):  # they are there to keep it from learning by heart
            layer.eval()
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.7
    assert sum(losses[-5:]) / 5 < 0.02, losses[-10:]
