"""How good a network is, in numbers that say how sure they are.

    accuracy           share of images whose predicted class is the true one
    recall of c        right / images of c                 precision of c    right / images called c
    F1 of c            2 right / (images of c + images called c)
    balanced accuracy  mean recall over the classes that have images
    macro ...          mean over the classes that have images or were predicted
    log loss           mean of -ln p(true class), in nats

A share of nothing (the recall of a class without images) is undefined: 0 in a macro mean, as in scikit-learn, and
None where it stands alone. Intervals are Wilson's, see `striate.data.wilson`.

Checked: against scikit-learn, and coverage of the intervals by simulation, in tests/evaluation/test_metrics.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.wilson import Z95 as Z95
from striate.data.wilson import Share as Share
from striate.data.wilson import wilson as wilson
from striate.errors import DatasetError
from striate.evaluation.predictions import Predictions, positive


@dataclass(frozen=True)
class ClassScore:
    """How one class came out. None: undefined, a share of nothing."""

    name: str
    images: int  # that are of the class (support)
    called: int  # that were called so
    right: int  # both
    recall: Share | None
    precision: Share | None
    f1: Share | None


@dataclass(frozen=True)
class Confusion:
    """`count` of the `images` of class `truth` were called `predicted`."""

    truth: str
    predicted: str
    count: int
    images: int


@dataclass(frozen=True, eq=False)
class Metrics:
    """All that is counted on one split."""

    images: int
    right: int
    accuracy: Share
    top5: Share | None  # only where there are more than five classes
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    log_loss: float  # nats
    baseline: Confusion  # always saying the most frequent class: right on `count` of `images`
    classes: tuple[ClassScore, ...]  # in stored order
    confusion: NDArray[np.int64]  # (K, K), rows: truth, columns: predicted

    def confusions(self) -> list[Confusion]:
        """The mistakes, by how many images they concern, then by their share of the class."""
        truth, predicted = np.nonzero(self.confusion * (1 - np.eye(len(self.confusion), dtype=np.int64)))
        names = [score.name for score in self.classes]
        found = [
            Confusion(names[t], names[p], int(self.confusion[t, p]), self.classes[t].images)
            for t, p in zip(truth.tolist(), predicted.tolist(), strict=True)
        ]
        return sorted(found, key=lambda c: (-c.count, c.images))


def confusion_matrix(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(N,) and (N,) -> (K, K) counts, rows: truth, columns: predicted."""
    return (
        np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes).astype(np.int64)
    )


def measure(predictions: Predictions) -> Metrics:
    """Every number that a split's predictions give.  Raises: DatasetError where there are none."""
    if not len(predictions):
        raise DatasetError(f"the {predictions.role} split has no images, so there is nothing to measure")
    k, n = len(predictions.classes), len(predictions)
    counts = confusion_matrix(predictions.truth, predictions.predicted, k)
    scores = tuple(_score(name, counts, i) for i, name in enumerate(predictions.classes))
    seen = [s for s in scores if s.images or s.called]
    right = int(np.trace(counts))
    most = int(counts.sum(1).argmax())
    common = scores[most]
    return Metrics(
        images=n,
        right=right,
        accuracy=_sure(right, n),
        top5=_sure(_within(predictions, 5), n) if k > 5 else None,
        balanced_accuracy=float(np.mean([s.right / s.images for s in scores if s.images])),
        macro_precision=float(np.mean([_value(s.precision) for s in seen])),
        macro_recall=float(np.mean([_value(s.recall) for s in seen])),
        macro_f1=float(np.mean([_value(s.f1) for s in seen])),
        log_loss=float(-np.log(positive(predictions.probabilities[np.arange(n), predictions.truth])).mean()),
        baseline=Confusion(common.name, common.name, common.images, n),
        classes=scores,
        confusion=counts,
    )


def _score(name: str, counts: NDArray[np.int64], i: int) -> ClassScore:
    images, called, right = int(counts[i].sum()), int(counts[:, i].sum()), int(counts[i, i])
    # F1 = 2J / (1 + J) rises with J = right / (images or called so), a plain share, so J's interval gives F1's
    either = wilson(right, images + called - right)
    f1 = Share(*(2 * j / (1 + j) for j in (either.value, either.low, either.high))) if either else None
    return ClassScore(name, images, called, right, wilson(right, images), wilson(right, called), f1)


def _within(predictions: Predictions, k: int) -> int:
    """Images whose true class is among the k most probable ones; of equals the first ones count."""
    order = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :k]
    return int((order == predictions.truth[:, None]).sum())


def _sure(right: int, images: int) -> Share:
    share = wilson(right, images)
    assert share is not None
    return share


def _value(share: Share | None) -> float:
    return 0.0 if share is None else share.value
