"""What finds the gradients: torch, or the formulas of `math/` in NumPy. All else of a training is the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from striate.training.losses import Kind, Loss, make_loss

Forward = Callable[[nn.Module, Tensor], Any]  # network, images -> outputs, which `backward()` can start from
SLOW = (
    "engine = by-hand: every gradient is found by formulas in NumPy that can be read (striate/math), without torch's "
    "autograd. That is slow; engine = torch gives the same weights but for rounding"
)


@dataclass(frozen=True)
class Engine:
    """How the network and the loss are computed while it is trained."""

    forward: Forward
    loss: Loss


def make_engine(
    name: Literal["torch", "by-hand"],
    kind: Kind,
    classes: int,
    *,
    smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Engine:
    """By hand or by torch, with the loss as `make_loss` has it."""
    if name == "torch":
        return Engine(nn.Module.__call__, make_loss(kind, classes, smoothing=smoothing, weights=weights))
    from striate.look.by_hand.training import loss_by_hand, outputs_by_hand

    return Engine(outputs_by_hand, loss_by_hand(kind, classes, smoothing=smoothing, weights=weights))
