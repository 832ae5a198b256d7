"""Images worth looking at, as the network saw them, with the evidence for its answer."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.data.dataset import Split
from striate.data.preprocess import Preprocess
from striate.errors import ShapeError
from striate.evaluation.card import Example
from striate.evaluation.pictures import as_seen, encoded, with_evidence
from striate.evaluation.predictions import Predictions
from striate.look.explain.gradcam import gradcam, last_spatial_layer


def most_wrong(predictions: Predictions, count: int) -> NDArray[np.int64]:
    """Indices of the `count` mistakes whose true class got the lowest probability, worst first."""
    truth = predictions.probabilities[np.arange(len(predictions)), predictions.truth]
    order = np.lexsort((-predictions.confidence, truth))
    return np.asarray(order[~predictions.right[order]][:count], dtype=np.int64)


def least_sure(predictions: Predictions, count: int) -> NDArray[np.int64]:
    """Indices of the `count` right answers with the lowest probability, the closest first."""
    order = np.argsort(predictions.confidence, kind="stable")
    return np.asarray(order[predictions.right[order]][:count], dtype=np.int64)


def explained(
    predictions: Predictions,
    chosen: NDArray[np.int64],
    split: Split,
    module: nn.Module,
    preprocess: Preprocess,
    *,
    layer: str | None = None,
) -> tuple[Example, ...]:
    """The chosen images with pictures of what the network saw and of its evidence (Grad-CAM for what it answered).

    `split` holds the images of `predictions`, in the same order. `layer` is what Grad-CAM reads; None finds it, and
    leaves the evidence out where the network has no layer with positions.
    """
    if not len(chosen):
        return ()
    p = predictions
    pixels = [preprocess.pixels(split.images.read(i)) for i in chosen.tolist()]
    x = preprocess.normalise(torch.from_numpy(np.stack(pixels)))
    layer = layer or _layer(module, x)
    pictures = [as_seen(one, preprocess.order) for one in pixels]
    evidence: list[bytes | None] = [None] * len(pictures)
    nothing: list[bool | None] = [None] * len(pictures)
    if layer is not None:
        found = gradcam(module, x, len(p.classes), layer=layer, target=torch.from_numpy(p.predicted[chosen]))
        nothing = list(found.nothing_positive.tolist())
        maps = found.maps.float().cpu().numpy()
        evidence = [encoded(with_evidence(picture, one)) for picture, one in zip(pictures, maps, strict=True)]
    examples = []
    for at, i in enumerate(chosen.tolist()):
        row = p.probabilities[i].astype(np.float64)
        best, second = np.argsort(-row, kind="stable")[:2].tolist()
        examples.append(
            Example(
                key=p.keys[i],
                truth=p.classes[p.truth[i]],
                predicted=p.classes[best],
                probability=float(row[best]),
                truth_probability=float(row[p.truth[i]]),
                runner_up=p.classes[second],
                runner_up_probability=float(row[second]),
                layer=layer,
                nothing_positive=nothing[at],
                image=encoded(pictures[at]),
                evidence=evidence[at],
            )
        )
    return tuple(examples)


def _layer(module: nn.Module, x: torch.Tensor) -> str | None:
    weight = next(module.parameters(), None)
    try:
        return last_spatial_layer(module, x[:1] if weight is None else x[:1].to(weight.device))
    except ShapeError:
        return None
