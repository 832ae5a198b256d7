"""Against torchvision: the spread of the first weights, and costs of models that were not built for Striate.

Needs `make oracles`. Names and logits are compared in test_oracle_logits.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from striate.models.cost import cost
from striate.models.registry import create_model
from tests.models.oracles import independent

pytestmark = pytest.mark.oracle
# One of each kind that the lectures name, and some that are wired in ways that Striate has not.
STRANGERS = [
    "alexnet", "vgg11_bn", "squeezenet1_1", "densenet121", "googlenet", "inception_v3", "mobilenet_v2",
    "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0", "resnext50_32x4d", "regnet_y_400mf", "convnext_tiny",
    "vit_b_32",
]  # fmt: skip


def theirs_untrained(name: str) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = getattr(independent("torchvision.models"), name)(weights=None).state_dict()
    return weights


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_first_weights_are_spread_as_torchvisions(name: str) -> None:
    ours, theirs = create_model(name).state_dict(), theirs_untrained(name)
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif not key.startswith("fc") and tensor.ndim < 2:
            assert torch.equal(ours[key], tensor), key


@pytest.mark.parametrize("name", STRANGERS)
def test_costs_are_known_for_models_that_were_not_built_for_it(name: str) -> None:
    model = getattr(independent("torchvision.models"), name)(
        weights=None, **({"aux_logits": False} if name in ("googlenet", "inception_v3") else {})
    )
    side = {"inception_v3": 299}.get(name, 224)
    found = cost(model, (3, side, side))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval().to("meta")(torch.empty(1, 3, side, side, device="meta"))
    products = sum(
        flops for op, flops in counter.get_flop_counts()["Global"].items() if "bmm" in str(op) or "attention" in str(op)
    )
    assert found.macs == (counter.get_total_flops() - products) // 2
    assert found.parameters == sum(p.numel() for p in model.parameters())
    followed = [row for row in found.rows if row.field is not None]
    if name not in ("vit_b_32", "convnext_tiny"):  # tokens, and channels in the last place
        assert len(followed) == len(found.rows), found.notes
