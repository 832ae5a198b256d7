"""Does a map depend on what has been learnt? It is drawn again with the weights replaced by chance, from the top.

A map that stays as it was shows the image, and not the network: an edge detector would have done.

Source: Adebayo et al. 2018, arXiv:1810.03292, section 3 (cascading randomisation, Spearman's rank correlation).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ShapeError, UsageError
from striate.look.explain.methods import Explain
from striate.look.explain.score import on_device_of
from striate.run.inference import evaluating

ALIKE = 0.5  # rank correlation from which on two maps are called alike


@dataclass(frozen=True)
class Randomisation:
    """How alike the maps are before and after, while more and more layers lose their weights."""

    layers: tuple[str, ...]  # randomised down to this one, the top one first
    shares: tuple[float, ...]  # of all layers with weights, by step
    correlations: tuple[tuple[float, ...], ...]  # by step and image, -1 to 1; 0 where a map is the same everywhere

    @property
    def means(self) -> tuple[float, ...]:
        """The mean over the images, by step."""
        return tuple(float(np.mean(row)) for row in self.correlations)

    @property
    def warning(self) -> str | None:
        """What to say of a map that does not depend on the weights; None where it does."""
        half = next(i for i, share in enumerate(self.shares) if share >= 0.5)
        alike, step = max((mean, i) for i, mean in enumerate(self.means) if i >= half)
        if alike < ALIKE:
            return None
        lost = "all" if step == len(self.shares) - 1 else f"the upper {100 * self.shares[step]:.0f} % of the"
        return (
            f"this map hardly depends on what has been learnt: with the weights of {lost} layers replaced by chance it "
            f"stays alike (rank correlation {alike:.2f}). It shows the image more than the network."
        )


def layers_with_weights(module: nn.Module, image: Tensor) -> list[str]:
    """The layers that have weights of their own, in the order in which an image (1, c, H, W) comes to them."""
    order: dict[str, None] = {}
    handles = [
        part.register_forward_pre_hook(lambda _, __, name=name: order.setdefault(name))
        for name, part in module.named_modules()
        if any(p.ndim > 1 for p in part.parameters(recurse=False))
    ]
    try:
        with evaluating(module):
            module(on_device_of(module, image))
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def randomise(
    module: nn.Module, images: Tensor, classes: int, target: Tensor, explain: Explain, *, steps: int = 8, seed: int = 0
) -> Randomisation:
    """Maps of normalised images (N, c, H, W) for target (N,), as `explain` draws them, while the weights are lost.

    `steps` layers are stopped at, evenly spread from the last to the first; at the last step all weights are random.
    They are drawn from a normal distribution with the mean and deviation of the layer's own; biases, and at the
    last step the numbers of norms, are shuffled. The module is not touched: a copy is.
    Maps are compared by the size of their values.

    Raises: ShapeError for a network without weights; UsageError for less than one step; as `explain`.
    """
    if steps < 1:
        raise UsageError(f"steps = {steps}: it must be at least 1")
    layers = layers_with_weights(module, images[:1])[::-1]
    if not layers:
        raise ShapeError(f"{type(module).__name__} has no layer with weights, so there is nothing to replace by chance")
    stops = sorted({ceil((i + 1) * len(layers) / steps) for i in range(steps)})
    before = explain(module, images, classes, target)
    with torch.inference_mode(False):
        copied = copy.deepcopy(module)
    draw = torch.Generator().manual_seed(seed)
    parts = dict(copied.named_modules(remove_duplicate=False))
    done = 0
    rows = []
    for stop in stops:
        for name in layers[done:stop]:
            _lose(parts[name], draw)
        if stop == len(layers):
            for part in parts.values():
                if not any(p.ndim > 1 for p in part.parameters(recurse=False)):
                    _lose(part, draw)
        done = stop
        after = explain(copied, images, classes, target)
        rows.append(tuple(rank_correlation(a, b) for a, b in zip(_arrays(before), _arrays(after), strict=True)))
    shares = tuple(stop / len(layers) for stop in stops)
    return Randomisation(tuple(layers[stop - 1] for stop in stops), shares, tuple(rows))


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's, of all values of two maps; ties share their mean rank. 0 where a map is the same everywhere.

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3]))
    1.0
    """
    x, y = _ranks(a), _ranks(b)
    spread = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / spread) if spread else 0.0


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks about their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    about: NDArray[np.float64] = rank[inverse.ravel()] - (values.size + 1) / 2
    return about


def _arrays(maps: Tensor) -> Sequence[NDArray[np.floating]]:
    return [np.abs(one) for one in maps.detach().double().cpu().numpy()]


@torch.no_grad()
def _lose(part: nn.Module, draw: torch.Generator) -> None:
    """Replace what a layer has learnt."""
    learnt = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    for tensor in learnt:
        if not tensor.is_floating_point():
            continue
        if isinstance(tensor, nn.Parameter) and tensor.ndim > 1:
            noise = torch.randn(tensor.shape, generator=draw, dtype=torch.float64)
            mean, deviation = tensor.double().mean().item(), tensor.double().std(unbiased=False).item()
            tensor.copy_(noise * deviation + mean)
        elif tensor.ndim == 1:
            tensor.copy_(tensor[torch.randperm(len(tensor), generator=draw).to(tensor.device)])
