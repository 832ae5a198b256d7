"""Linear probes: how well a linear classifier tells the classes apart from what each layer makes of an image.

Every probe is given about as many numbers: maps are averaged over the finest grid whose cells, times the channels, are
at most FEATURES; more than twice as many are projected onto as many random directions. The first probe sees the image
itself. All are trained in one pass over the training images, by sums alone (see ridge.py). A fifth of these images
chooses the penalty, then all train; the images that give the accuracy have no part in it.

Source: Alain & Bengio 2016, arXiv:1610.01644. The question is that of Yosinski, Clune, Bengio & Lipson 2014, "How
transferable are features in deep neural networks?", arXiv:1411.1792.
Differs: Yosinski et al. train the layers above anew, a probe is linear and leaves the network as it is: a low accuracy
says that the classes are not yet in straight reach, not that the layer has lost them. Ridge regression in place of
logistic regression, so that memory does not grow with the images.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.data.dataset import Split
from striate.data.preprocess import Preprocess
from striate.data.wilson import Share, wilson
from striate.errors import ArtefactError, DatasetError, UsageError
from striate.look.excite.steps import dense, stages, stream
from striate.look.sets.features import Progress, prepared
from striate.look.sets.ridge import PENALTIES, Linear, Sums, solve

FEATURES = 1024
WIDEST = 2048  # features that channels alone may make; more are projected at random onto FEATURES
HELD, HELD_MOST = 0.2, 2000  # images that choose the penalty
IMAGE = "the image"  # no step is called so; what the first probe is called


@dataclass(frozen=True)
class Probe:
    """The classifier of one step."""

    step: str
    shape: tuple[int, ...]  # of what the step puts out, without the batch
    features: int
    penalty: float
    right: int
    accuracy: Share
    held_out: float  # accuracy on the images that chose the penalty


@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of a network, first to last."""

    probes: tuple[Probe, ...]
    trained_on: int
    images: int  # that the accuracies are counted on
    role: str
    classes: tuple[str, ...]
    chance: Share  # always saying the class that is most frequent in training

    def to_json(self) -> dict[str, Any]:
        """All of it as plain numbers."""
        return {
            "trained_on": self.trained_on,
            "images": self.images,
            "split": self.role,
            "classes": len(self.classes),
            "most_frequent_class": asdict(self.chance),
            "probes": [asdict(probe) for probe in self.probes],
        }

    def _repr_png_(self) -> bytes:
        from striate.look.png import figure_png
        from striate.look.sets.picture import draw_probes

        return figure_png(draw_probes(self))


def shrunk(y: Tensor, most: int = FEATURES) -> Tensor:
    """Maps (N, C, h, w) -> (N, C·g·g) means over the finest g × g grid with at most `most` numbers; else (N, d).

    >>> shrunk(torch.zeros(2, 6, 28, 28)).shape, shrunk(torch.zeros(2, 2048, 7, 7)).shape
    (torch.Size([2, 1014]), torch.Size([2, 2048]))
    """
    if y.ndim == 4:
        grid = max(1, isqrt(most // y.shape[1]))
        y = functional.adaptive_avg_pool2d(y, (min(grid, y.shape[2]), min(grid, y.shape[3])))
    flat = y.flatten(1)
    if flat.shape[1] <= WIDEST:
        return flat
    signs = torch.randint(0, 2, (flat.shape[1], most), generator=torch.Generator().manual_seed(0))
    projected: Tensor = flat @ ((signs * 2 - 1).to(flat.device, flat.dtype) / most**0.5)
    return projected


def probe(
    module: nn.Module,
    train: Split,
    test: Split,
    preprocess: Preprocess,
    layers: Sequence[str] | None = None,
    *,
    classes: Sequence[str],
    role: str = "test",
    most: int = FEATURES,
    seed: int = 0,
    batch: int = 64,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Probes:
    """Train a probe on each of the named steps, and count what each gets right.

    If no step is named, these are the last of each resolution, and the dense layers before the head.

    One pass over `train` and one over `test`, whatever the number of steps. The module is as it was afterwards. The
    accuracies are of `test`, which `role` names, with 95 % intervals (Wilson).

    Raises: DatasetError with fewer than two classes or ten images to train on, or none to test; as
    `striate.look.excite.steps.told`.
    """
    k, n = len(classes), len(train)
    if most < 1:
        raise UsageError(f"at most {most} features: there must be at least one")
    if n < 10 or len(np.unique(train.labels)) < 2 or not len(test):
        raise DatasetError(
            f"{n} images of {len(np.unique(train.labels))} classes to train probes on, {len(test)} to test them; "
            "expected at least 10 of 2, and 1"
        )
    weight = next(module.parameters(), torch.empty(0))
    if layers is None:
        image = preprocess([train.images.read(0)]).to(weight.device)
        layers = (*stages(module, image), *dense(module, image))
    names = list(dict.fromkeys(layers))
    held = np.zeros(n, dtype=bool)
    held[np.random.default_rng(seed).permutation(n)[: min(HELD_MOST, max(1, round(HELD * n)))]] = True
    learner = Learner(k, most, torch.from_numpy(held), torch.from_numpy(train.labels))
    total, done = n + len(test), 0

    def told(part: int, _: int) -> None:
        if progress:
            progress(done + part, total)

    stream(module, learner.watching(prepared(train, preprocess, k, batch, workers, told)), names, learner.add)
    done = n
    chosen = {name: learner.choose(name) for name in (IMAGE, *names)}
    judge = Judge({name: one[0] for name, one in chosen.items()}, most, torch.from_numpy(test.labels))
    stream(module, judge.watching(prepared(test, preprocess, k, batch, workers, told)), names, judge.add)
    common = int(np.bincount(train.labels, minlength=k).argmax())
    found = []
    for name in (IMAGE, *names):
        linear, penalty, share = chosen[name]
        right = judge.right[name]
        found.append(
            Probe(name, learner.shapes[name], len(linear.weight), penalty, right, _sure(right, len(test)), share)
        )
    chance = _sure(int((test.labels == common).sum()), len(test))
    return Probes(tuple(found), n, len(test), role, tuple(classes), chance)


class Pass:
    """One pass over a split: which images a batch holds, and what becomes of what the steps put out."""

    def __init__(self, most: int, labels: Tensor) -> None:
        self.most, self.labels = most, labels
        self.here = slice(0, 0)

    def watching(self, batches: Any) -> Any:
        """The batches, each told as a step of its own before it is run."""
        first = 0
        for images in batches:
            self.here = slice(first, first + len(images))
            self.add(IMAGE, images)
            yield images
            first += len(images)

    def add(self, name: str, y: Tensor) -> None:
        x = shrunk(y, self.most).cpu()
        if not bool(x.isfinite().all()):
            raise ArtefactError(f"{name} puts out a value that is not finite; the weights may be damaged")
        self.take(name, x, tuple(y.shape[1:]))

    def take(self, name: str, x: Tensor, shape: tuple[int, ...]) -> None:
        raise NotImplementedError


class Learner(Pass):
    """Adds up what the probes are made of; of the held-out images it keeps the features."""

    def __init__(self, classes: int, most: int, held: Tensor, labels: Tensor) -> None:
        super().__init__(most, labels)
        self.classes, self.held = classes, held
        self.sums: dict[str, tuple[Sums, Sums]] = {}  # to fit, held out
        self.kept: dict[str, list[Tensor]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def take(self, name: str, x: Tensor, shape: tuple[int, ...]) -> None:
        if name not in self.sums:
            self.sums[name] = (Sums.zero(x.shape[1], self.classes), Sums.zero(x.shape[1], self.classes))
            self.kept[name], self.shapes[name] = [], shape
        held, labels = self.held[self.here], self.labels[self.here]
        fit, aside = self.sums[name]
        fit.add(x[~held], labels[~held])
        aside.add(x[held], labels[held])
        self.kept[name].append(x[held].float())

    def choose(self, name: str) -> tuple[Linear, float, float]:
        """The classifier with the best penalty (of equals the largest), trained on all; that; its held-out share."""
        fit, aside = self.sums.pop(name)
        x, labels = torch.cat(self.kept.pop(name)), self.labels[self.held]
        shares = [float((one(x).argmax(1) == labels).double().mean()) for one in solve(fit)]
        best = max(range(len(shares)), key=lambda i: (shares[i], i))
        return solve(fit + aside, PENALTIES[best : best + 1])[0], PENALTIES[best], shares[best]


class Judge(Pass):
    """Counts what the probes get right."""

    def __init__(self, linear: dict[str, Linear], most: int, labels: Tensor) -> None:
        super().__init__(most, labels)
        self.linear = linear
        self.right = dict.fromkeys(linear, 0)

    def take(self, name: str, x: Tensor, shape: tuple[int, ...]) -> None:
        self.right[name] += int((self.linear[name](x).argmax(1) == self.labels[self.here]).sum())


def _sure(right: int, images: int) -> Share:
    share = wilson(right, images)
    assert share is not None
    return share
