"""How much each pixel of an image matters for the score of a class: what all these methods answer with.

`saliency` and `integrated_gradients` are here; `look.rectified` has guided backpropagation and the deconvolutional
network, `look.occlusion` the method that needs no gradients, `look.methods` the list of all.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UsageError
from striate.look.explain.score import chosen, logits, notes_on, on_device_of, score
from striate.run.inference import evaluating

PIXELS = 250_000  # at a time. Measured, MobileNet v2 at 224: 5 images 2.8 s and 0.8 GB, 50 images 5.4 s and 4.8 GB
ROUGH = 0.05  # of the change of the score: by more than that a sum may not miss it without a note


@dataclass(frozen=True, eq=False)
class Attribution:
    """A number for each value of N normalised images, about one class each."""

    values: Tensor  # (N, c, H, W); with one channel where whole pixels were asked about
    target: Tensor  # (N,) int64, the class that each is about
    method: str
    signed: bool  # whether the sign says for or against the class; else only the size counts
    notes: tuple[str, ...] = ()  # what to know before believing it
    layer: str | None = None  # where the method asks one
    error: Tensor | None = None  # (N,) logits that the values' sum misses the change of the score by

    @property
    def maps(self) -> Tensor:
        """(N, H, W): the sum over the channels where the sign counts, else the largest size."""
        return self.values.sum(1) if self.signed else self.values.abs().amax(1)


def gradient(
    module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """The gradient d score / d x for normalised images x (N, c, H, W), the classes (N,), and notes.

    The module is in evaluation mode meanwhile, and afterwards as it was: parameters, `.grad`, modes, hooks. Frozen
    parameters and layers that work in place do no harm.

    Raises: ShapeError where the score does not depend on the image, or the network puts out no logits.
    """
    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images).requires_grad_()
        with torch.enable_grad():
            z = logits(module, x.clone(), classes)  # a copy: a first layer that works in place may not change a leaf
            target = chosen(z, target)
            total = score(z, target).sum()
            (g,) = torch.autograd.grad(total, x, allow_unused=True) if total.requires_grad else (None,)
    if g is None:
        raise ShapeError(
            f"the answer of {type(module).__name__} has no gradient in its image: somewhere inside it is cut off "
            "(detach, no_grad, rounding); occlusion needs no gradient"
        )
    return g, target.detach(), notes_on(z)


def saliency(module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None) -> Attribution:
    """|d score / d x|: how much the logit changes with each value of the normalised image.

    Source: Simonyan, Vedaldi, Zisserman 2013, arXiv:1312.6034, section 3.1; `maps` has their maximum over colours.
    Raises: as `gradient`.
    """
    g, target, notes = gradient(module, images, classes, target=target)
    return Attribution(g.abs(), target, "saliency", False, notes)


def integrated_gradients(
    module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None, baseline: float = 0.0,
    steps: int = 50, batch: int | None = None,
) -> Attribution:  # fmt: skip
    """(x - b) times the mean gradient on the way from b to x; the values add up to score(x) - score(b).

    b is `baseline` everywhere, in normalised units: 0 is the mean colour. The integral is taken at `steps` points of
    Gauss and Legendre; `error` is by how much it misses, in logits. `batch` points at a time; None: as many as make a
    quarter of a million pixels, for each keeps all that its way back needs.

    Source: Sundararajan, Taly, Yan 2017, arXiv:1703.01365, eq. 1, proposition 1.
    Raises: as `gradient`; UsageError for less than one step.
    """
    batch = at_once(images) if batch is None else batch
    if steps < 1 or batch < 1:
        raise UsageError(f"steps = {steps}, batch = {batch}: both must be at least 1")
    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images)
        b = torch.full_like(x, baseline)
        z = logits(module, x, classes)
        target = chosen(z, target)
        change = score(z, target) - score(logits(module, b, classes), target)
        nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(steps))
        total = torch.zeros_like(x)
        for i, k in enumerate(target):
            for some, share in zip(torch.split((1 + nodes) / 2, batch), torch.split(weights / 2, batch), strict=True):
                along = some.to(x).view(-1, 1, 1, 1)
                path = b[i] + along * (x[i] - b[i])
                g, _, _ = gradient(module, path, classes, target=k.expand(len(path)))
                total[i] += (share.to(g).view(-1, 1, 1, 1) * g).sum(0)
        values = (x - b) * total
        error = values.sum(dim=(1, 2, 3)) - change
    notes = list(notes_on(z))
    if bool((error.abs() > ROUGH * change.abs()).any()):
        worst = int((error.abs() / change.abs().clamp_min(1e-12)).argmax())
        notes.append(
            f"the integral is rough: with {steps} steps the values add up to {float(change[worst] + error[worst]):.3g} "
            f"logits, where the score changes by {float(change[worst]):.3g}"
        )
    return Attribution(values, target.detach(), "integrated gradients", True, tuple(notes), error=error)


def at_once(images: Tensor) -> int:
    """How many copies of an image (N, c, H, W) go through a network together, where it may be many."""
    return max(1, min(64, PIXELS // (images.shape[2] * images.shape[3])))


def times_map(pixels: Attribution, maps: Tensor, layer: str, method: str) -> Attribution:
    """The values where a coarser map (N, h, w) in 0..1, enlarged to the image, is bright."""
    coarse = nn.functional.interpolate(maps[:, None], size=pixels.values.shape[2:], mode="bilinear")
    return replace(pixels, values=pixels.values * coarse.to(pixels.values), layer=layer, method=method)
