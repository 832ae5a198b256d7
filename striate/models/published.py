"""The catalogue of published weights: what there is, where, on which terms, and how its images were prepared.

published.json holds the facts, made by tests/models/make_catalogue.py; nothing is downloaded unless somebody asks.
The file lies under $STRIATE_CACHE, or the user's cache folder, in `weights/`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs

from striate.data.download import Original, Progress, fetch
from striate.data.preprocess import Preprocess
from striate.errors import UnknownName, suggest
from striate.models.registry import list_models

DATASETS = ("imagenet", "cifar10")
ENVIRONMENT = "STRIATE_CACHE"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Publication:
    """One file of weights that somebody has published for a network of ours."""

    model: str  # id in the registry
    dataset: str  # whose classes it tells apart: imagenet, cifar10
    tag: str  # "torchvision.v1", "timm.a1_in1k", "keras": weights="imagenet:TAG"
    publisher: str
    name: str  # what the publisher calls it
    file: str
    urls: tuple[str, ...]  # none: it can't be downloaded as it is
    sha256: str  # or its first digits; "" where none is published
    md5: str
    size_mb: float  # of 10^6 bytes; of the values alone where `size_stated` is False
    size_stated: bool
    licence: str
    top1: float | None  # per cent, as the publisher claims for this preprocessing
    top5: float | None
    preprocess: Preprocess
    dialect: str  # whose names and layout, of dialects.toml; "" for ours
    options: Mapping[str, Any]  # of create_model: the form it was trained in
    eps: float | None  # of all norms, where it is not the model's
    default: bool  # what weights="imagenet" means
    misfit: str  # why it does not fit our form of the network; "" where it does

    @property
    def original(self) -> Original:
        return Original(self.file, None, self.sha256, self.urls, self.md5)

    @property
    def cached(self) -> bool:
        """Whether it has been downloaded."""
        return (weights_cache() / self.file).is_file()

    def to_json(self) -> dict[str, Any]:
        """All of it, the preprocessing as a sentence too."""
        plain = {k: v for k, v in vars(self).items() if k != "preprocess"}
        return plain | {
            "preprocess": self.preprocess.to_json(), "sentence": self.preprocess.describe(), "cached": self.cached,
        }  # fmt: skip


@cache
def catalogue() -> tuple[Publication, ...]:
    """All of published.json."""
    rows = json.loads((files("striate.models") / "published.json").read_text(encoding="utf-8"))["weights"]
    return tuple(_publication(row) for row in rows)


def _publication(row: Mapping[str, Any]) -> Publication:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
    side, short, interpolation, order, numbers = values.pop("preprocess")
    mean, std = IMAGENET if numbers == "imagenet" else (tuple(numbers[0]), tuple(numbers[1]))
    prepared = Preprocess(
        size=(side, side), resize="crop" if short else "stretch", short_side=short or None,
        interpolation=interpolation, order=order, mean=mean, std=std,
    )  # fmt: skip
    return Publication(**values, preprocess=prepared)


def published(pattern: str = "*") -> list[Publication]:
    """What is published for the models that match a shell pattern, or under a publisher's name that does.

    Raises: UnknownName where nothing matches.
    """
    models = set(list_models(pattern))
    found = [one for one in catalogue() if one.model in models or fnmatchcase(one.name, pattern)]
    if not found and not models:
        raise UnknownName(f"no model matches {pattern!r}{suggest(pattern, list_models())}")
    return found


def choose(model: str, dataset: str, tag: str | None = None) -> Publication:
    """The published weights of a model by their tag, or the default ones.

    Raises: UnknownName, with what is published for it, or for another form of it.
    """
    mine = [one for one in catalogue() if one.model == model and one.dataset == dataset and not one.misfit]
    if tag is None:
        for one in mine:
            if one.default:
                return one
        raise UnknownName(f"no {dataset} weights are published for {model}{elsewhere(model, dataset)}")
    for one in mine:
        if tag in (one.tag, one.name):
            return one
    if refused := [one for one in catalogue() if one.model == model and tag in (one.tag, one.name)]:
        raise UnknownName(f"{dataset}:{tag} does not fit {model}: {refused[0].misfit or elsewhere(model, dataset)}")
    tags = [one.tag for one in mine]
    known = suggest(tag, tags, f"there is {', '.join(tags)}" if tags else "none are")
    raise UnknownName(f"no weights called {dataset}:{tag} are published for {model}{known}{elsewhere(model, dataset)}")


def elsewhere(model: str, dataset: str) -> str:
    """The half-sentence on which other form of the network a publisher means by this name; or nothing."""
    base = re.split(r"[._](?:paper|aux|2gpu|onetower|deck_table)$", model)[0]
    others = sorted({
        f"{one.publisher}'s {one.name.partition('.')[0].removesuffix('_Weights')} fits {one.model!r}"
        for one in catalogue()
        if one.dataset == dataset and not one.misfit and one.model != model
        and (base.lower() == _bare(one.name) or one.model.startswith(f"{base}_") or one.model == base)
    })  # fmt: skip
    return f"; {'; '.join(others[:3])}" if others else ""


def _bare(name: str) -> str:
    """`GoogLeNet_Weights.IMAGENET1K_V1` -> `googlenet`."""
    return name.partition(".")[0].removesuffix("_Weights").lower()


def recognise(path: Path, model: str) -> Publication | None:
    """The catalogue's entry for a local file of this model, by its name or, where it was renamed, by its hash."""
    mine = [one for one in catalogue() if one.model == model and not one.misfit]
    for one in mine:
        if one.file == path.name:
            return one
    for kind in ("sha256", "md5"):
        known = [one for one in mine if getattr(one, kind)]
        if known and path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            for one in known:
                if found.startswith(getattr(one, kind)):
                    return one
    return None


def weights_cache() -> Path:
    """Folder that downloaded weights are kept in."""
    place = os.environ.get(ENVIRONMENT)
    return (Path(place) if place else platformdirs.user_cache_path("striate")) / "weights"


def fetch_weights(one: Publication, *, progress: Progress | None = None, timeout_s: float = 30) -> Path:
    """The file of published weights, downloaded if it is not there, and compared with the hash that is known.

    Where its publisher states none, that of the file which came first is written beside it, and holds from then on.

    Raises: Offline, with the place to put the file by hand; and as `striate.data.download.fetch`.
    """
    return fetch(one.original, weights_cache(), timeout_s=timeout_s, progress=progress)


@cache
def class_names(dataset: str) -> tuple[str, ...]:
    """The classes in the order of the logits.

    >>> class_names("imagenet")[0], len(class_names("imagenet"))
    ('tench', 1000)
    """
    text = (files("striate.models") / "class_names.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)[dataset]["names"])
