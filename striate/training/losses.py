"""Losses on logits. Each gives the mean over the batch, and knows label smoothing, mixed labels and class weights.

    cross_entropy   -sum_k t_k log softmax(z)_k
    bce             -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z))          one output, two classes
    mse             mean_k (p_k - t_k)^2, p = softmax(z), or sigmoid(z) for one output

t is the label as shares of the classes. Weighted means divide by the sum of the weights of the samples, t w, which is
what torch does for plain labels.
Differs: for smoothed or mixed labels torch divides by the weights of the labels alone, or by the number of images.

A network with auxiliary heads gives, in training, the logits of each: `on_heads` knows what to do with them.
"""

from collections.abc import Callable
from math import log
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["cross_entropy", "bce", "mse"]
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # logits, labels, shares or None -> scalar


def make_loss(kind: Kind, classes: int, *, smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
    """The loss as a function of logits (N, K or 1), labels (N,) and shares (N, K) or None."""

    def shares(z: Tensor, labels: Tensor, given: Tensor | None) -> Tensor:
        t = (F.one_hot(labels, classes) if given is None else given).to(z.dtype)
        return t * (1 - smoothing) + smoothing / classes

    def weigh(each: Tensor, t: Tensor) -> Tensor:
        if weights is None:
            return each.mean()
        w = t @ weights.to(t)
        return (each * w).sum() / w.sum()

    def cross_entropy(z: Tensor, labels: Tensor, given: Tensor | None) -> Tensor:
        if given is None and weights is None:
            return F.cross_entropy(z, labels, label_smoothing=smoothing)
        t = shares(z, labels, given)
        log_p = z.log_softmax(1)
        if weights is None:
            return -(t * log_p).sum(1).mean()
        w = weights.to(z)
        return -(t * w * log_p).sum() / (t @ w).sum()

    def bce(z: Tensor, labels: Tensor, given: Tensor | None) -> Tensor:
        t = shares(z, labels, given)
        return weigh(F.binary_cross_entropy_with_logits(z[:, 0], t[:, 1], reduction="none"), t)

    def mse(z: Tensor, labels: Tensor, given: Tensor | None) -> Tensor:
        t = shares(z, labels, given)
        if z.shape[1] == 1:
            return weigh((z[:, 0].sigmoid() - t[:, 1]) ** 2, t)
        return weigh(((z.softmax(1) - t) ** 2).mean(1), t)

    return {"cross_entropy": cross_entropy, "bce": bce, "mse": mse}[kind]


def mass(labels: Tensor, given: Tensor | None, classes: int, smoothing: float, weights: Tensor) -> float:
    """What the images of a batch weigh in the weighted means of `make_loss` together: the sum of t w."""
    t = (F.one_hot(labels, classes) if given is None else given).to(torch.float64)
    return float((t * (1 - smoothing) + smoothing / classes).sum(0) @ weights.to(t))


class Judged(NamedTuple):
    """What the losses are of one batch."""

    logits: Tensor  # (N, K or 1) of the main head, in float32
    main: Tensor  # the loss on them
    whole: Tensor  # what is descended: the same, and a share of each auxiliary head's loss


def on_heads(loss: Loss, outputs: Any, labels: Tensor, shares: Tensor | None) -> Judged:
    """Logits, or the named outputs of a network with auxiliary heads -> the losses on them.

    Outputs have a field `logits`, one for each auxiliary head, and `share`: the weight that the paper gives each
    auxiliary loss. Accuracy, and the loss that is written down, are the main head's.

    Source: Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 5.
    """
    if isinstance(outputs, Tensor):
        z = outputs.float()
        main = loss(z, labels, shares)
        return Judged(z, main, main)
    z = outputs.logits.float()
    whole = main = loss(z, labels, shares)
    for name, aside in outputs._asdict().items():
        if name != "logits":
            whole = whole + outputs.share * loss(aside.float(), labels, shares)
    return Judged(z, main, whole)


def expected_at_start(kind: Kind, classes: int) -> float:
    """The loss of a network that gives every class the same probability."""
    if kind == "mse":
        return (classes - 1) / classes**2
    return log(classes)


def balanced_weights(counts: Tensor) -> Tensor:
    """(K,) images a class -> (K,) weights N / (K n_k): every class counts the same in the loss."""
    return counts.sum() / (len(counts) * counts.clamp_min(1).to(torch.float32))
