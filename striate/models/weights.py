"""Published or local weights into a model, by name and all of them, or an error that says which do not fit.

    create_model("resnet18", weights="imagenet")          the default of what is published: `striate weights resnet18`
    create_model("resnet18", weights="imagenet:timm.a1_in1k")
    create_model("resnet18", weights="mine.pth", num_classes=5)

A report says what became of every tensor: `report_of(model)`. With `num_classes` or `in_chans` other than the file's,
the head stays fresh, and the first convolution is summed over colours (one channel) or repeats them.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from inspect import signature
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from striate.data.download import Progress
from striate.errors import ArtefactError, StriateError, UnknownName, suggest
from striate.models.dialects import OWN, Reading, dialects, read_as, set_constants, spoken
from striate.models.published import DATASETS, Publication, choose, fetch_weights, published, recognise
from striate.models.registry import Entry, create_model, entry, list_models
from striate.models.shapes import without_numbers
from striate.models.weightfiles import KERAS, PICKLED, Stored, read_weights
from striate.models.weightreport import MISFIT, LoadReport, fit, some, wanted

_reports: "WeakKeyDictionary[nn.Module, LoadReport]" = WeakKeyDictionary()


def report_of(model: nn.Module) -> LoadReport | None:
    """What `create_model(..., weights=...)` or `load_weights` found when it filled this model."""
    return _reports.get(model)


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    name: str = "",
    publication: Publication | None = None,
    fresh_head: bool = False,
    adapt_stem: bool = False,
    strict: bool = True,
) -> LoadReport:
    """Copy the tensors of a `.safetensors`, `.pth` or Keras' `.h5` file into the model.

    `name` is the model's in the registry: names of other publishers, its head and its first convolution are known
    through it. Tensors of the head of another number of classes are left out with `fresh_head`; another number of
    channels is made to fit with `adapt_stem`. With `strict=False` what does not fit is only reported.

    Raises: ArtefactError if the file is absent, damaged or holds more than tensors, or names or shapes differ; the
    model is then as it was. MissingExtra for .h5 without h5py.
    """
    stored = read_weights(path)
    reading = _understood(path, model, name, stored, publication)
    return _fill(
        model, entry(name) if name else None, path, reading, stored, publication,
        fresh_head=fresh_head, adapt_stem=adapt_stem, strict=strict,
    )  # fmt: skip


def build_with_weights(
    found: Entry,
    make: Callable[..., nn.Module],
    options: Mapping[str, Any],
    source: str | Path,
    *,
    fresh_head: bool,
    adapt_stem: bool,
    progress: Progress | None = None,
) -> nn.Module:
    """`make(**options)` with weights: in the form (padding, constants) in which they were trained.

    Raises: as `load_weights`; UnknownName for weights that nobody publishes; Offline where they can't be downloaded.
    """
    path, publication = find_weights(found.name, source, progress=progress)
    stored = read_weights(path)
    with without_numbers():
        shapes = make()
    reading = _understood(path, shapes, found.name, stored, publication)
    model = make(**{**_form(make, reading, publication), **options})
    reading = read_as(reading.dialect, model, stored.tensors, described(path))
    _fill(
        model, found, path, reading, stored, publication, fresh_head=fresh_head, adapt_stem=adapt_stem, strict=True
    )  # fmt: skip
    return model


def form_of(model: str, path: Path, publication: Publication | None) -> dict[str, Any]:
    """The options of `create_model` that make the form (padding, ...) in which the weights in a file were trained.

    Raises: as `load_weights`.
    """
    found = entry(model)
    with without_numbers():
        shapes = create_model(model)
    return _form(found.build, _understood(path, shapes, model, read_weights(path), publication), publication)


def _form(make: Callable[..., nn.Module], reading: Reading, publication: Publication | None) -> dict[str, Any]:
    stated = dict(publication.options) if publication else {}
    return {key: v for key, v in {**reading.dialect.options, **stated}.items() if _takes(make, key)}


def find_weights(
    model: str, source: str | Path, *, progress: Progress | None = None
) -> tuple[Path, Publication | None]:
    """The file that `source` means, downloaded if it is a published one, and what the catalogue knows about it.

    Raises: UnknownName, Offline, ArtefactError.
    """
    if isinstance(source, str) and (asked := re.fullmatch(rf"({'|'.join(DATASETS)})(?::(.+))?", source)):
        publication = choose(model, asked[1], asked[2])
        return fetch_weights(publication, progress=progress), publication
    path = Path(source)
    if not path.exists() and path.suffix.lower() not in (".safetensors", *PICKLED, *KERAS):
        names = [*DATASETS, *(f"{p.dataset}:{p.tag}" for p in published_for(model))]
        raise UnknownName(
            f"weights {str(source)!r}: neither a file nor published ones"
            + suggest(str(source), names, f"`striate weights {model}` lists those")
        )
    return path, recognise(path, model)


def published_for(model: str) -> list[Publication]:
    """What is published for a model."""
    return [one for one in published(model) if not one.misfit]


def described(path: Path) -> dict[str, Any]:
    """The .json beside a weights file: scales of integers, the graph, preprocessing, classes; {} where there is none.

    Raises: ArtefactError where it is damaged.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{beside}: beside the weights, and not readable as JSON ({error})") from error
    return found if isinstance(found, dict) else {}


def _understood(
    path: Path, model: nn.Module, name: str, stored: Stored, publication: Publication | None = None
) -> Reading:
    """The file read in the dialect that finds most of the model's tensors."""
    beside = described(path)
    known = spoken(name, "tflite" if "graph" in beside else stored.form) or spoken(name, stored.form) or [OWN]
    if publication and publication.dialect:
        known = [d for d in dialects() if d.name == publication.dialect] + known
    best, odd = None, "nothing"
    for dialect in known:
        try:
            reading = read_as(dialect, model, stored.tensors, beside)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:  # whatever it may hold
            odd = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            continue
        if best is None or len(reading.tensors) > len(best.tensors):
            best = reading
        if not reading.left and len(reading.tensors) >= len(wanted(model)):
            break
    if best is None:
        raise ArtefactError(f"{path}: its arrays, or the .json beside it, are not what they are called ({odd})")
    return best


def _takes(make: Callable[..., nn.Module], option: str) -> bool:
    return option in signature(make).parameters


def _fill(
    model: nn.Module, known: Entry | None, path: Path, reading: Reading, stored: Stored,
    publication: Publication | None, *, fresh_head: bool, adapt_stem: bool, strict: bool,
) -> LoadReport:  # fmt: skip
    if stored.within:
        reading.notes.append(f"taken from under {stored.within}")
    tag = publication.tag if publication else ""
    ready, report = fit(model, known, reading, str(path), tag, fresh_head=fresh_head, adapt_stem=adapt_stem)
    if not report.fits and strict:
        raise ArtefactError(f"{path}: these weights do not fit the model: {_explained(path, known, report, stored)}")
    if bad := [k for k, t in ready.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]:
        raise ArtefactError(f"{path}: {some(bad)} holds values that are not finite")
    model.load_state_dict(ready, strict=False)
    set_constants(model, reading.dialect, publication.eps if publication else None)
    _reports[model] = report
    return report


def _explained(path: Path, known: Entry | None, report: LoadReport, stored: Stored) -> str:
    """What differs, and what the weights do fit."""
    said = "; ".join(report.complaints())
    if known is None:
        return said
    misfits = [one for one in report.reshaped if one.how == MISFIT]
    heads = [one for one in misfits if one.name.startswith(f"{known.head}.")]
    stems = [one for one in misfits if one.name == f"{known.stem}.weight"]
    if not (report.missing or report.unexpected) and len(heads) + len(stems) == len(misfits):
        given = [f"num_classes={heads[0].wanted[0]}"] if heads else []
        given += [f"in_chans={stems[0].wanted[1]}"] if stems else []
        return f"{said}; say {', '.join(given)} to keep the others and have a new head or first convolution"
    fitting = _fitting(path, known.name, stored)
    return said + (f"; they fit {' and '.join(map(repr, fitting))}" if fitting else "")


def _fitting(path: Path, name: str, stored: Stored) -> list[str]:
    """Which other models of the same paper these weights fit."""

    def origin(model: str) -> str:
        build: Any = entry(model).build
        while isinstance(build, partial):
            build = build.func
        return str(build.__module__)

    known = json.loads((files("striate.models") / "costs.json").read_text(encoding="utf-8"))
    values, fitting = sum(tensor.numel() for tensor in stored.tensors.values()), []
    for other in list_models():
        count = known.get(other, {}).get("parameters", values)
        if other == name or origin(other) != origin(name) or not 0.9 * count < values < 2.2 * count:
            continue  # the statistics of norms and auxiliary heads may be there besides
        try:
            with without_numbers():
                model = create_model(other)
            reading = _understood(path, model, other, stored)
        except StriateError:
            continue
        if fit(model, entry(other), reading, "")[1].fits:
            fitting.append(other)
    return fitting


def classes_in(found: Entry, path: Path) -> int | None:
    """How many classes the head in a weights file tells apart; None where it has none that is the model's.

    Raises: as `load_weights`.
    """
    with without_numbers():
        model = create_model(found.name)
    head = f"{found.head}.weight"
    reading = _understood(path, model, found.name, read_weights(path))
    own = wanted(model).get(head)
    if own is None or own.shape[0] != found.classes or head not in reading.tensors:
        return None
    count = reading.tensors[head].shape[0]
    return 1000 if count == 1001 else count
