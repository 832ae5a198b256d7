"""What went wrong in a training whose numbers are not finite, in a sentence: step, layer, and what to try."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from striate.data.loader import Batch
from striate.errors import TrainingError
from striate.training import monitor
from striate.training.losses import on_heads

if TYPE_CHECKING:
    from striate.training.loop import Trainer

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def not_finite(trainer: "Trainer", what: str, group: Sequence[Batch], lr: float) -> TrainingError:
    """The batches of a step are computed again, and the first layer is named that gives what is not finite."""
    p = trainer.progress
    trainer.seed()
    trainer.ranks.diagnose()
    where = None
    for batch in group:
        images, labels, targets = trainer.place(batch)
        loss = partial(_loss, trainer, labels, targets)
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.bf16 and trainer.module.training):
            where = where or monitor.culprit(trainer.module, images, loss)
    where = trainer.ranks.culprit(where) or _largest_gradient(trainer.module)
    step = p.step + trainer.module.training  # the one that is under way, or the last before the validation
    return TrainingError(f"epoch {p.epoch + 1}, step {step}: {what}: {where}. {_advice(trainer, lr)}")


def check(trainer: "Trainer", lr: float) -> None:
    """See that all that would be saved is finite.  Raises: TrainingError, naming the first tensor that is not."""
    p = trainer.progress
    tensors = {name: tensor for name, tensor in trainer.tensors().items() if tensor.is_floating_point()}
    finite = torch.stack([torch.isfinite(tensor).all().to(trainer.device) for tensor in tensors.values()]).cpu()
    for name, fine in zip(tensors, finite.tolist(), strict=True):
        if not fine:
            kind, _, tensor = name.partition(":")
            raise TrainingError(
                f"epoch {p.epoch + 1}, step {p.step}: {tensor} ({kind}) holds values that are not finite. "
                f"{_advice(trainer, lr)}"
            )


def undo(trainer: "Trainer", group: Sequence[Batch]) -> None:
    """What steps have left behind that were computed after a bad one, and held back: it is not what went wrong.

    Weights are those of the bad step. Running statistics, which are not used while training, begin anew; gradients are
    computed again.
    """
    for layer in trainer.module.modules():
        if layer.training and isinstance(layer, NORMS):
            layer.reset_running_stats()
    trainer.module.zero_grad()
    trainer.seed()
    trainer.ranks.diagnose()
    for batch in group:
        images, labels, targets = trainer.place(batch)
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.bf16):
            outputs = trainer.module(images)
        loss = _loss(trainer, labels, targets, outputs) / len(group)
        loss.backward()  # type: ignore[no-untyped-call]


def _loss(trainer: "Trainer", labels: Tensor, targets: Tensor | None, outputs: Any) -> Tensor:
    return on_heads(trainer.loss, outputs, labels, targets).whole


def _largest_gradient(module: nn.Module) -> str:
    """Each value may be finite, and the norm too large for a float32."""
    gradients = {n: float(q.grad.abs().max()) for n, q in module.named_parameters() if q.grad is not None}
    name = max(gradients, key=gradients.__getitem__, default="none")
    return f"no single value, but its norm; the largest is in {name}: {gradients.get(name, 0):.3g}"


def _advice(trainer: "Trainer", lr: float) -> str:
    bf16 = " or precision=float32" if trainer.bf16 else ""
    return f"The rate was {lr:g}; try a lower lr, clip=1{bf16}. Nothing that is not finite was saved"
