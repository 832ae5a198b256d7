"""Images of a classifier explained by one method, with the tests of the explanation: what pictures and JSON show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data.dataset import Pixels
from striate.errors import UnknownName, UsageError, suggest
from striate.look.explain.at_layer import Evidence, last_spatial_layer
from striate.look.explain.attribution import Attribution
from striate.look.explain.faithful import Faithfulness, faithfulness
from striate.look.explain.localise import SHARE, Place, enlarged, locate
from striate.look.explain.methods import ATTRIBUTION, CLASS_ACTIVATION, TITLES, Method, unknown
from striate.look.explain.randomised import Randomisation, randomise
from striate.look.explain.score import logits, on_device_of, score
from striate.models.registry import entry
from striate.run.classifier import Classifier
from striate.run.inference import evaluating, probabilities

NOTHING = "nothing in this image speaks for the class at this layer: the map is empty"


@dataclass(frozen=True, eq=False)
class Explained:
    """N images, a map for each, and what is known about how far to believe it."""

    title: str  # of the method
    layer: str | None  # that was read, where the method reads one
    grid: tuple[int, int] | None  # places (h, w) of that layer
    names: tuple[str, ...]  # of the images
    pixels: tuple[Pixels, ...]  # (H, W, 1 or 3) each, as the network sees them
    about: tuple[str, ...]  # the class that each map explains
    predicted: tuple[str, ...]
    probabilities: tuple[float, ...]  # of the class explained
    logits: tuple[float, ...]  # the scores that are explained
    maps: Tensor  # (N, H, W)
    values: Tensor | None  # (N, c, H, W) of an attribution
    signed: bool
    places: tuple[Place | None, ...]  # of class activation
    error: tuple[float, ...] | None  # completeness, of integrated gradients, in logits
    randomisation: Randomisation | None
    faithful: Faithfulness | None
    notes: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must see beside the picture."""
        tests = (self.randomisation and self.randomisation.warning, self.faithful and self.faithful.warning())
        return (*(text for text in tests if text), *self.notes)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"method": self.title, "layer": self.layer, "grid": self.grid}
        found["images"] = [self._image(i) for i in range(len(self.names))]
        if self.randomisation is not None:
            means = [round(mean, 4) for mean in self.randomisation.means]
            found["randomised_weights"] = {
                "down_to": self.randomisation.layers, "share": self.randomisation.shares, "rank_correlation": means,
            }  # fmt: skip
        if self.faithful is not None:
            found["areas"] = {name: round(float(area.mean()), 4) for name, area in self.faithful.areas().items()}
        return found | {"warnings": self.warnings}

    def _repr_png_(self) -> bytes:
        from striate.look.explain.picture import draw_explained
        from striate.look.png import figure_png

        return figure_png(draw_explained(self))

    def _image(self, i: int) -> dict[str, Any]:
        one: dict[str, Any] = {
            "file": self.names[i], "class": self.about[i], "predicted": self.predicted[i],
            "probability": round(self.probabilities[i], 6), "logit": round(self.logits[i], 4),
            "size": list(self.pixels[i].shape[:2]),
        }  # fmt: skip
        if self.error is not None:
            one["completeness_error"] = self.error[i]
        if self.layer is not None and self.values is None:
            place = self.places[i]
            one["nothing_positive"] = place is None
            one["place"] = place and {
                "box": place.box._asdict(), "outline": place.outline, "pixels": place.pixels, "peak": place.peak,
                "share_of_maximum": place.share,
            }  # fmt: skip
        return one


def explain(
    classifier: Classifier, images: Mapping[str, Pixels], method: str = "gradcam", *, model: str | None = None,
    layer: str | None = None, about: str | None = None, share: float = SHARE, check: bool = True,
) -> Explained:  # fmt: skip
    """Images by name, (H, W, 1 or 3) uint8, as a method of `striate.look.explain.methods` explains them.

    `model` is the network's name in the zoo, whose declared layer is read where `layer` gives no other; without both,
    it is found by running. `about` is a class by its name or number; None the predicted one of each image. A place
    counts as bright from `share` of a map's maximum on. `check` tests the maps: with weights replaced by chance, and
    by taking pixels away and bringing them in.

    Raises: UnknownName, UsageError, ShapeError, as the method.
    """
    if method not in TITLES:
        raise unknown(method, list(TITLES))
    if not images:
        raise UsageError("there are no images to explain")
    seen = [classifier.preprocess.pixels(one) for one in images.values()]
    module, count = classifier.module, len(classifier.classes)
    x = on_device_of(module, classifier.preprocess.normalise(torch.from_numpy(np.stack(seen))))
    with torch.inference_mode(False), evaluating(module):
        z = logits(module, x, count)
    p = probabilities(z, count)
    predicted = p.argmax(1)
    target = predicted if about is None else torch.full_like(predicted, number_of(about, classifier.classes))
    reads = method in CLASS_ACTIVATION or method == "guided_gradcam"
    at = _layer(classifier, x, method, model, layer) if reads else None
    if layer is not None and not reads:
        raise UsageError(
            f"{TITLES[method]} reads no layer; leave {layer!r} out, or take a method that does, as gradcam"
        )
    found: Evidence | Attribution
    if method in CLASS_ACTIVATION:
        found = CLASS_ACTIVATION[method](module, x, count, layer=at, target=target)
        maps, grid = enlarged(found.maps, classifier.preprocess.size), tuple(found.maps.shape[1:])
    else:
        options = {"layer": at} if reads else {}
        found = ATTRIBUTION[method](module, x, count, target=target, **options)
        maps, grid = found.maps, None
    again = Method(method, found.layer)
    arrays = [one.double().cpu().numpy() for one in maps]
    notes = list(found.notes)
    if isinstance(found, Evidence):
        empty = zip(images, found.nothing_positive.tolist(), strict=True)
        notes += [f"{name}: {NOTHING}" for name, nothing in empty if nothing]
    return Explained(
        title=TITLES[method],
        layer=found.layer,
        grid=(grid[0], grid[1]) if grid else None,
        names=tuple(images),
        pixels=tuple(_shown(one, classifier.preprocess.order) for one in seen),
        about=tuple(classifier.classes[k] for k in target.tolist()),
        predicted=tuple(classifier.classes[k] for k in predicted.tolist()),
        probabilities=tuple(p.gather(1, target[:, None])[:, 0].tolist()),
        logits=tuple(score(z, target).tolist()),
        maps=maps,
        values=None if isinstance(found, Evidence) else found.values,
        signed=isinstance(found, Attribution) and found.signed,
        places=tuple(locate(one, share) for one in arrays) if isinstance(found, Evidence) else (None,) * len(images),
        error=None if isinstance(found, Evidence) or found.error is None else tuple(found.error.tolist()),
        randomisation=randomise(module, x, count, target, again, steps=4) if check else None,
        faithful=faithfulness(module, x, count, target, maps, steps=_steps(maps)) if check else None,
        notes=tuple(notes),
    )


def number_of(about: str, classes: Sequence[str]) -> int:
    """The number of a class, by its name or by that number itself.

    >>> number_of("owl", ["cat", "owl"]), number_of("0", ["cat", "owl"])
    (1, 0)

    Raises: UnknownName, with the nearest names.
    """
    if about in classes:
        return list(classes).index(about)
    if about.isascii() and about.isdigit() and int(about) < len(classes):
        return int(about)
    some = ", ".join(classes[:5]) + (" ..." if len(classes) > 5 else "")
    raise UnknownName(
        f"no class is called {about!r}{suggest(about, classes, f'there are {len(classes)}, from 0 on: {some}')}"
    )


def _layer(classifier: Classifier, x: Tensor, method: str, model: str | None, layer: str | None) -> str | None:
    """The layer that is asked for; else the one that the zoo declares, if it has more than one place for this image.

    CAM reads what stands before the global mean, which need not be what is declared.
    """
    if layer is not None or model is None or method == "cam":
        return layer
    declared = entry(model).look
    part = dict(classifier.module.named_modules())[declared]
    places: list[int] = []
    handle = part.register_forward_hook(lambda _, __, y: places.append(y[0, 0].numel()))
    try:
        with evaluating(classifier.module):
            classifier.module(x[:1])
    finally:
        handle.remove()
    return declared if places and places[-1] > 1 else last_spatial_layer(classifier.module, x[:1])


def _steps(maps: Tensor) -> int:
    return min(16, maps.shape[1] * maps.shape[2])


def _shown(seen: Pixels, order: str) -> Pixels:
    """(c, H, W) as the network sees it -> (H, W, c), red first."""
    shown = seen.transpose(1, 2, 0)
    return shown[:, :, ::-1] if order == "bgr" else shown
