"""A classifier from published weights, or from somebody's file: with its classes and its preprocessing, as a run has.

    striate.load("resnet50", weights="imagenet")
    striate.load("resnet18", weights="mine.pth", classes=["cat", "dog"])

Where they come from: what is given; what the file says itself (a run's model.safetensors); the catalogue, which knows
published files by their names; a .json of the same name beside the file, with `classes` and `preprocess`. What nobody
says is assumed, and `Classifier.notes` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from striate.data.download import Progress
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, RecipeError, UsageError
from striate.models.published import Publication, class_names, recognise
from striate.models.registry import Entry, create_model, entry
from striate.models.weights import classes_in, described, find_weights
from striate.run.folder import Identity
from striate.run.packed import KEY, unpack


@dataclass(frozen=True)
class Pretrained:
    """What a classifier is made of, and what was assumed."""

    module: nn.Module
    classes: tuple[str, ...]
    preprocess: Preprocess
    notes: tuple[str, ...]


def pretrained(
    model: str,
    weights: str | Path,
    *,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress | None = None,
) -> Pretrained:
    """A network with published or local weights, its class names in order, and how its images are prepared.

    Raises: UnknownName for a model or weights that nobody knows; Offline, ArtefactError, as
    `striate.models.weights.find_weights`; UsageError where `classes` are not as many as the file's.
    """
    found = entry(model)
    path, publication = find_weights(found.name, weights, progress=progress)
    own = _own(path)
    if own is not None and own.spec.name != found.name:
        raise ArtefactError(f"{path}: holds a trained {own.spec.name}, not a {found.name}")
    beside = described(path)
    count = len(own.classes) if own else found.classes if publication else classes_in(found, path) or found.classes
    outputs = {"num_classes": count} if count != found.classes else {}
    arguments: dict[str, Any] = dict(own.spec.arguments) if own else outputs
    module = create_model(found.name, weights=path if publication is None else _source(publication, path), **arguments)
    notes: list[str] = []
    names = tuple(classes) if classes is not None else _classes(count, own, publication, beside, notes)
    if len(names) != count:
        raise UsageError(f"{len(names)} classes are given; {path.name} tells {count} apart")
    prepared = preprocess or _preprocess(found, own, publication, beside, path, notes)
    return Pretrained(module.eval(), names, prepared, tuple(notes))


def _source(publication: Publication, path: Path) -> str | Path:
    """The file itself, where it is known which entry of the catalogue it is; else the entry."""
    known = recognise(path, publication.model) is publication
    return path if known else f"{publication.dataset}:{publication.tag}"


def _own(path: Path) -> Identity | None:
    """The identity in the header of a file that `striate train` wrote."""
    if path.suffix != ".safetensors":
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            if KEY not in (file.metadata() or {}):
                return None
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{path}: not a readable .safetensors file ({error})") from error
    return Identity.from_json(unpack(path)[1], path)  # which compares it with its SHA-256


def _classes(
    count: int, own: Identity | None, publication: Publication | None, beside: Mapping[str, Any], notes: list[str]
) -> tuple[str, ...]:
    if own is not None:
        return own.classes
    named = beside.get("classes")
    if isinstance(named, list) and len(named) == count and all(isinstance(name, str) for name in named):
        return tuple(named)
    dataset = publication.dataset if publication else {1000: "imagenet"}.get(count, "")
    if dataset and len(class_names(dataset)) == count:
        if publication is None:
            notes.append("the file does not name its 1,000 classes: ImageNet's, in their usual order, are assumed")
        return class_names(dataset)
    notes.append(f"the file does not name its {count} classes: they are numbered from 0")
    return tuple(map(str, range(count)))


def _preprocess(
    found: Entry, own: Identity | None, publication: Publication | None, beside: Mapping[str, Any], path: Path,
    notes: list[str],
) -> Preprocess:  # fmt: skip
    if own is not None:
        return own.preprocess
    if publication is not None:
        return publication.preprocess
    side = found.input[1:]
    assumed = Preprocess(size=side, resize="stretch") if side[0] < 64 else Preprocess(
        size=side, resize="crop", short_side=round(side[0] / 0.875)
    )  # fmt: skip
    if found.input[0] == 1:
        assumed = replace(assumed, order="gray", mean=(0.5,), std=(0.5,))
    stated = beside.get("preprocess")
    if isinstance(stated, dict):
        known = {field.name for field in fields(Preprocess)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items() if k in known}
        try:
            return replace(assumed, **values)
        except (TypeError, RecipeError) as error:
            raise ArtefactError(f"{path.with_suffix('.json')}: {error}") from error
    notes.append(f"nothing says how the images for {path.name} were prepared; assumed: {assumed.describe()}")
    return assumed
