"""What a training starts from: published weights, somebody's file, or a run of our own.

The network is built in the form in which the weights were trained, and images are prepared as they were for them. The
head begins anew, unless the weights are of a run that tells the same classes apart. For another number of channels
the first convolution is summed over colours, or repeats them, scaled; mean and deviation follow.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.download import Progress
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError
from striate.models.dialects import NORMS
from striate.models.published import DATASETS, Publication
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
from striate.models.weights import find_weights, form_of, load_weights
from striate.run.folder import CONFIG, MODEL, ModelSpec, Run
from striate.run.pretrained import pretrained
from striate.training.recipe import Recipe
from striate.training.report import Report
from striate.training.transfer.places import head_layers, span, steps, within

OF_THE_DATA = ("num_classes", "in_chans", "input_size")  # arguments of a model that the new data decide


@dataclass(frozen=True)
class Source:
    """Weights that fit a model, and what one must know to use them."""

    asked: str
    path: Path
    sha256: str
    publication: Publication | None
    classes: tuple[str, ...]  # of a run of our own, whose head may stay; else empty
    preprocess: Preprocess
    options: Mapping[str, Any]  # of create_model: the form in which they were trained
    constants: Mapping[str, Any]  # of its layers, likewise
    notes: tuple[str, ...]  # what was assumed

    @property
    def name(self) -> str:
        """As it is called in a sentence."""
        if self.publication:
            return f"{self.publication.dataset}:{self.publication.tag}"
        return self.path.parent.name if self.path.name == MODEL else self.path.name

    def to_json(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"from": self.name, "file": self.path.name, "sha256": self.sha256}


def located(weights: str) -> str:
    """The weights of a recipe so that they are found from another working directory: a name, or a whole path."""
    return weights if not weights or is_name(weights) or not Path(weights).exists() else str(Path(weights).resolve())


def is_name(weights: str) -> bool:
    """Whether these are published weights by their name, which goes before a folder or a file that is called so.

    >>> is_name("imagenet:keras"), is_name("./imagenet")
    (True, False)
    """
    return re.fullmatch(rf"({'|'.join(DATASETS)})(:.+)?", weights) is not None


def understood(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What settings that name weights mean: a path as text, and the model where a run of our own says which it is.

    A `Path` is a path, whatever it is called.

    Raises: ArtefactError for a damaged run.
    """
    weights = asked.get("weights")
    if not isinstance(weights, str | Path) or not str(weights):
        return {}
    if isinstance(weights, Path) and is_name(str(weights)):
        weights = weights.absolute()
    of_a_run = not is_name(str(weights)) and (Path(weights) / CONFIG).is_file()
    own = {"model": Run(Path(weights)).identity.spec.name} if of_a_run else {}
    return {"weights": str(weights)} | ({} if "model" in asked else own)


def open_source(model: str, weights: str, *, progress: Progress | None = None) -> Source:
    """Find weights for a model, download them if they are published ones, and see that they fit.

    A name goes before a folder or a file that is called so; a note then says how to write that.

    Raises: UnknownName for weights that nobody knows; Offline where they can't be downloaded; ArtefactError where they
    are damaged, or of another network.
    """
    place: str | Path = weights
    own: ModelSpec | None = None
    classes: tuple[str, ...] = ()
    if not is_name(weights) and Path(weights).is_dir():
        run = Run(Path(weights))
        place, own, classes = run.folder / MODEL, run.identity.spec, run.classes
        if not place.is_file():
            raise ArtefactError(f"{place}: not there yet; the run was stopped before its first epoch ended")
    made = pretrained(model, place, progress=progress)
    path, publication = find_weights(entry(model).name, place, progress=progress)
    if own is not None:
        options = {key: value for key, value in own.arguments.items() if key not in OF_THE_DATA}
        constants = own.constants
    else:
        options = form_of(entry(model).name, path, publication)
        constants = _constants(made.module, model, options)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    notes = made.notes
    if is_name(weights) and Path(weights).exists():
        kind = "folder" if Path(weights).is_dir() else "file"
        notes += (f"weights = {weights!r} is a name; for the {kind} that is called so here, write ./{weights}",)
    return Source(weights, path, sha256, publication, classes, made.preprocess, options, constants, notes)


def named_by(recipe: Recipe, report: Report) -> Source | None:
    """The weights that a recipe begins with; None where it begins from nothing.  Raises: as `open_source`."""
    if not recipe.weights:
        return None
    found = open_source(
        recipe.model,
        recipe.weights,
        progress=lambda file, done, of: report.prepare(f"downloading {file}", done, of),
    )
    for note in found.notes:
        report.note(note)
    return found


def named_again(run: Run, recipe: Recipe, report: Report) -> Source | None:
    """For a run that was stopped before it stored anything.  Raises: ArtefactError where the weights are others now."""
    source = named_by(recipe, report)
    before = (run.config.get("weights") or {}).get("sha256")
    if source and before != source.sha256:
        raise ArtefactError(
            f"{source.path}: not the weights that {run.folder} began with (their SHA-256 was {str(before)[:12]}..., "
            f"this is {source.sha256[:12]}...)"
        )
    return source


def _constants(trained: nn.Module, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the layers of a network with its weights have otherwise than the zoo builds them."""
    with without_numbers():
        built = dict(create_model(model, **options).named_modules())
    found: dict[str, Any] = {}
    for name, layer in trained.named_modules():
        kind: type[nn.Module] | tuple[type[nn.Module], ...]
        for what, kind in (("eps", NORMS), ("padding", nn.Conv2d)):
            if isinstance(layer, kind) and getattr(built[name], what) != getattr(layer, what):
                found[f"{name}.{what}"] = getattr(layer, what)
    return found


def preprocess_of(source: Source, recipe: Recipe) -> tuple[Preprocess, str]:
    """How images are prepared: as for these weights, but for what the recipe sets; and why, in words."""
    own, given = source.preprocess, recipe.model_fields_set
    changes: dict[str, Any] = {}
    if "size" in given and recipe.size and own.size != (recipe.size, recipe.size):
        short = own.short_side and round(own.short_side * recipe.size / min(own.size))
        changes |= {"size": (recipe.size, recipe.size), "short_side": short and max(short, recipe.size)}
    if recipe.resize not in ("auto", own.resize):
        changes |= {"resize": recipe.resize, "short_side": None}
    if "interpolation" in given and recipe.interpolation != own.interpolation:
        changes["interpolation"] = recipe.interpolation
    channels = {"auto": own.channels, "gray": 1, "rgb": 3}[recipe.channels]
    why = f"as the weights of {source.name} were trained"
    if channels != own.channels:
        changes |= {"order": "gray" if channels == 1 else "rgb", **_numbers(own, channels)}
        why += ", with the mean and deviation of its colours" if channels == 1 else ", the same for each colour"
    set_otherwise = sorted(changes.keys() & {"size", "resize", "interpolation"})
    return replace(own, **changes), why + (f", but for {' and '.join(set_otherwise)}" if set_otherwise else "")


def _numbers(own: Preprocess, channels: int) -> dict[str, tuple[float, ...]]:
    """Mean and deviation for another number of channels: those of the colours on average, or the gray ones repeated."""
    if channels == 1:
        return {key: (round(sum(v) / len(v), 6),) for key, v in (("mean", own.mean), ("std", own.std))}
    return {"mean": own.mean * channels, "std": own.std * channels}


@dataclass(frozen=True)
class Filled:
    """What became of a network's tensors."""

    taken: tuple[str, ...]
    fresh: tuple[str, ...]  # layers that begin anew
    sentence: str


def fill(module: nn.Module, source: Source, spec: ModelSpec, classes: tuple[str, ...], up_to: str) -> Filled:
    """Copy the weights into a network that has just been built, up to and including a step.

    "all" is wherever they fit; "none" leaves the network as it began, for the comparison with nothing.

    Raises: ArtefactError where they do not fit; UnknownName, RecipeError for a step that is not there.
    """
    heads = head_layers(spec.name, spec.arguments)
    same = source.classes == classes and len(classes) > 0
    known = steps(module)
    last = {"all": len(known) - 1, "none": -1}
    after = known[(last[up_to] if up_to in last else span(known, up_to, "weights_to")[1]) + 1 :]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    report = load_weights(
        module, source.path, name=spec.name, publication=source.publication, fresh_head=True, adapt_stem=True
    )
    anew = [h for h in heads if not same or any(n.startswith(f"{h}.") for n in report.fresh)]
    again = [n for n in before if any(within(n, place) for place in (*anew, *after))]
    with torch.no_grad():
        state: dict[str, Tensor] = module.state_dict()
        for name in again:
            state[name].copy_(before[name])
    taken = tuple(name for name in before if name not in set(again))
    fresh = tuple(dict.fromkeys(name.rpartition(".")[0] for name in again))
    if len(fresh) < 4:
        shown = fresh
    else:
        shown = (
            ("all",) if up_to == "none" else (f"{len(fresh)} layers",) if up_to == "all" else (f"all after {up_to}",)
        )
    said = [f"{source.name}: {len(taken)} tensors"]
    said += [f"{', '.join(shown)} begin{'s' if len(shown) == 1 else ''} anew"] if shown else ["head and all"]
    said += [f"{r.name.rpartition('.')[0]} {r.how}" for r in report.reshaped if "channels" in r.how]
    return Filled(taken, fresh, "; ".join(said))
