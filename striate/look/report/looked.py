"""What is found out about one image, for the report: numbers and maps, and of what can't be had, why.

Nothing here makes HTML. Each finding is what the function of its own room gives; the report adds none of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from striate.data.dataset import Pixels
from striate.errors import ShapeError, StriateError
from striate.look.activations.activations import Activations, activations
from striate.look.explain.attribution import integrated_gradients
from striate.look.explain.explained import Explained, explain, number_of
from striate.look.explain.faithful import faithfulness
from striate.look.explain.methods import Method
from striate.look.explain.randomised import layers_with_weights, randomise
from striate.look.explain.score import on_device_of
from striate.look.units.unit import Unit, unit
from striate.run.classifier import Classifier, Prediction

T = TypeVar("T")
TOP = 5  # classes named
BESIDE = ("layercam", "gradcam++", "cam")  # class activation, small
SHARP = ("saliency", "guided")  # of pixels, small
ROUGHLY = 8  # points of the integral while weights are lost: ranks need fewer than sums


@dataclass(frozen=True)
class Refused:
    """Something that can't be shown, and why."""

    why: str


@dataclass(frozen=True)
class Subject:
    """The network that is asked."""

    classifier: Classifier
    model: str | None  # its name in the zoo
    title: str  # what to call it
    words: str | None = None  # how a command names it


@dataclass(frozen=True, eq=False)
class Looked:
    """One image, and what the network makes of it."""

    name: str
    source: Pixels  # (H, W, 1 or 3)
    seen: Pixels  # (h, w, 1 or 3), red first: what the network is given, before normalisation
    prediction: Prediction  # the best five classes, and the probabilities of all
    about: str  # the class that maps are about
    chance: float  # its probability
    rival: str | None  # the best of the other classes
    where: Explained | Refused  # Grad-CAM, tested
    where_rival: Explained | Refused | None  # of the rival
    beside: tuple[Explained, ...]  # other class activation
    pixels: Explained | Refused  # integrated gradients, tested
    sharp: tuple[Explained, ...]  # other attribution
    stages: Activations | Refused  # the last step of each resolution, with its maps
    layers: Activations | Refused  # all, in numbers
    unit: Unit | Refused  # of the first convolution, the most active one

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before believing the two maps that are tested."""
        maps = [one for one in (self.where, self.pixels) if isinstance(one, Explained)]
        return tuple(f"{one.title}: {text}" for one in maps for text in one.warnings)


def look_at(subject: Subject, name: str, source: Pixels, *, about: str | None = None, check: bool = True) -> Looked:
    """An image (H, W, 1 or 3) -> what the report shows of it. `about` is a class; None: the predicted one.

    Raises: UnknownName for a class that is not there; ShapeError where the network can't take the image.
    """
    classifier = subject.classifier
    seen = classifier.preprocess.pixels(source)
    x = on_device_of(classifier.module, classifier.preprocess.normalise(torch.from_numpy(np.stack([seen]))))
    (prediction,) = classifier.answer(x, top=TOP)
    asked = prediction.label if about is None else classifier.classes[number_of(about, classifier.classes)]
    chance = prediction.probabilities[classifier.classes.index(asked)]
    rival = next((label for label, _ in prediction.top if label != asked), None)
    by = partial(explain, classifier, {name: source}, model=subject.model)
    where = attempt(lambda: by("gradcam", about=asked, check=check))
    at = where.layer if isinstance(where, Explained) else None
    there = None if rival is None else attempt(lambda: by("gradcam", about=rival, layer=at, check=False))
    beside = [] if at is None else [
        attempt(partial(by, method, about=asked, layer=at, check=False)) for method in BESIDE
    ]  # fmt: skip
    pixels = attempt(lambda: _of_pixels(classifier, x, by("integrated", about=asked, check=False), check))
    sharp = [attempt(partial(_sharp, classifier, x, method, by, asked, check)) for method in SHARP]
    return Looked(
        name=name,
        source=source,
        seen=_upright(seen, classifier.preprocess.order),
        prediction=prediction,
        about=asked,
        chance=chance,
        rival=rival,
        where=where,
        where_rival=there,
        beside=tuple(one for one in beside if isinstance(one, Explained)),
        pixels=pixels,
        sharp=tuple(one for one in sharp if isinstance(one, Explained)),
        stages=attempt(lambda: activations(classifier.module, x, "stages")),
        layers=attempt(lambda: activations(classifier.module, x)),
        unit=attempt(lambda: unit(classifier.module, x, first_convolution(classifier.module, x),
                                  toward=asked, classes=classifier.classes)),
    )  # fmt: skip


def _of_pixels(classifier: Classifier, x: Tensor, found: Explained, check: bool) -> Explained:
    """Integrated gradients, tested: while weights are lost, with fewer points of the integral."""
    if not check:
        return found

    def roughly(module: nn.Module, images: Tensor, classes: int, target: Tensor) -> Tensor:
        return integrated_gradients(module, images, classes, target=target, steps=ROUGHLY).maps

    module, count, target = classifier.module, len(classifier.classes), _number(classifier, found)
    steps = min(16, x.shape[2] * x.shape[3])
    return replace(
        found,
        randomisation=randomise(module, x, count, target, roughly, steps=2),
        faithful=faithfulness(module, x, count, target, found.maps, steps=steps),
    )


def _sharp(
    classifier: Classifier, x: Tensor, method: str, by: Callable[..., Explained], asked: str, check: bool
) -> Explained:
    """An attribution that takes a single pass, with the test by lost weights."""
    found = by(method, about=asked, check=False)
    if not check:
        return found
    target = _number(classifier, found)
    lost = randomise(classifier.module, x, len(classifier.classes), target, Method(method), steps=2)
    return replace(found, randomisation=lost)


def _number(classifier: Classifier, found: Explained) -> Tensor:
    return torch.tensor([classifier.classes.index(found.about[0])])


def _upright(seen: Pixels, order: str) -> Pixels:
    """(c, H, W) as the network is given it -> (H, W, c), red first."""
    shown = seen.transpose(1, 2, 0)
    return np.ascontiguousarray(shown[:, :, ::-1] if order == "bgr" else shown)


def attempt(make: Callable[[], T]) -> T | Refused:
    """What is made; or, where the network has no such thing, the reason."""
    try:
        return make()
    except StriateError as error:
        return Refused(str(error))


def first_convolution(module: nn.Module, x: Tensor) -> str:
    """The name of the convolution that an image (1, c, H, W) comes to first.

    Raises: ShapeError where there is none.
    """
    parts = dict(module.named_modules())
    for name in layers_with_weights(module, x):
        if isinstance(parts[name], nn.Conv2d):
            return name
    raise ShapeError(f"{type(module).__name__} has no convolution whose window could be shown")
