"""Objectives that are not a function of logits and labels alone, or not of the recipe's: the 1998 and the capsule loss.

The accuracy is always that of the logits; the loss that is written down beside the test accuracy is the objective
without what only training adds (the reconstruction of capsules).
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate.data.preprocess import Preprocess
from striate.models.capsnet import CapsNet, margin_loss
from striate.models.lenet_1998 import map_loss
from striate.training.engine import Engine, make_engine
from striate.training.losses import Kind

Objective = Literal["recipe", "map", "capsules"]
RECONSTRUCTION = 0.0005  # of the squared error summed over pixels.  Source: arXiv:1710.09829, section 4.1


def make_objective(name: Objective, kind: Kind, classes: int, smoothing: float, preprocess: Preprocess) -> Engine:
    """How the network and the loss are computed in training; `recipe` is the loss of the recipe."""
    if name == "map":
        return Engine(nn.Module.__call__, lambda z, labels, _: map_loss(z, labels))
    if name == "capsules":
        both = Capsules(preprocess)
        return Engine(both.forward, both.loss)
    return make_engine("torch", kind, classes, smoothing=smoothing)


class Capsules:
    """Margin loss, and in training the reconstruction of the image from the capsule of the right class.

    The trainer asks for logits first and for the loss on them next: between the two the capsules are kept here.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        shape = (1, -1, 1, 1)
        self.mean, self.std = torch.tensor(preprocess.mean).view(shape), torch.tensor(preprocess.std).view(shape)
        self._seen: tuple[Callable[[Tensor], Tensor], Tensor] | None = None

    def forward(self, model: nn.Module, images: Tensor) -> Any:
        """(N, C, H, W) -> (N, K) logits."""
        assert isinstance(model, CapsNet)
        capsules = model.capsules(images)
        pixels = images * self.std.to(images) + self.mean.to(images)  # 0..1 again: what the decoder's sigmoid can draw

        def error(labels: Tensor) -> Tensor:
            return (model.reconstruct(capsules, labels) - pixels).square().flatten(1).sum(1).mean()

        self._seen = error, images
        return model._run("lengths", capsules)

    def loss(self, z: Tensor, labels: Tensor, _shares: Tensor | None) -> Tensor:
        """Both terms for what `forward` has just seen; for any other logits the margin loss alone."""
        seen, self._seen = self._seen, None
        whole = margin_loss(z, labels)
        return whole if seen is None else whole + RECONSTRUCTION * seen[0](labels).to(whole)
