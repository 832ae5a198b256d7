"""The run: the folder that training writes and every later room reads.

    model.safetensors   the chosen weights; class names, preprocessing and model are in its header too
    config.json         model and its arguments, class names in order, data facts, machine
    preprocess.json     how an image becomes the network's input
    recipe.toml         every setting, resolved
    results.csv         one row an epoch, no clock times: the same run gives the same bytes
    timing.jsonl        one line an epoch: seconds, images a second
    last/               all that a resume needs
    card.json, card.html, predictions.csv   written by `evaluate`

All but timing.jsonl are there whole or not at all: a reader may come at any time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import durable
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, UnknownName, UsageError, suggest
from striate.models.registry import create_model
from striate.run.packed import header_of, pack, unpack

FORMAT = 1
CONSTANTS = ("eps", "padding")  # of a layer, that no argument of the model sets
MODEL, CONFIG, PREPROCESS, RECIPE, RESULTS, TIMING = (
    "model.safetensors",
    "config.json",
    "preprocess.json",
    "recipe.toml",
    "results.csv",
    "timing.jsonl",
)


@dataclass(frozen=True)
class ModelSpec:
    """Enough to build the network again: a registered name and the arguments of `create_model`.

    `constants`, as `bn1.eps` or `conv1.padding`, are those that weights from elsewhere were trained with and that the
    zoo's form of the network has otherwise.
    """

    name: str
    arguments: Mapping[str, Any]
    constants: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        module = create_model(self.name, **self.arguments)
        for place, value in self.constants.items():
            layer, _, what = place.rpartition(".")
            if what not in CONSTANTS or not hasattr(module.get_submodule(layer), what):
                raise UsageError(f"{self.name} has no constant {place!r}")
            setattr(module.get_submodule(layer), what, value)
        return module


@dataclass(frozen=True)
class Identity:
    """What travels inside every artefact: the model, its classes in order, and its preprocessing."""

    spec: ModelSpec
    classes: tuple[str, ...]
    preprocess: Preprocess

    def to_json(self) -> dict[str, Any]:
        model = {"name": self.spec.name, "arguments": dict(self.spec.arguments)}
        return {
            "format": FORMAT,
            "model": model | ({"constants": dict(self.spec.constants)} if self.spec.constants else {}),
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, where: Path) -> "Identity":
        """The inverse of `to_json`; `where` is what errors name.  Raises: ArtefactError."""
        try:
            if value["format"] > FORMAT:
                raise ArtefactError(
                    f"{where}: written in format {value['format']} by a newer Striate; this one reads up to {FORMAT}"
                )
            model, classes = value["model"], value["classes"]
            name, arguments = model["name"], model["arguments"]
            preprocess = Preprocess.from_json(value["preprocess"])
            arguments, constants = (
                {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
                for table in (arguments, model.get("constants", {}))
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(
                f"{where}: not what `striate train` writes ({type(error).__name__}: {error})"
            ) from error
        except ArtefactError as error:
            raise ArtefactError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error
        if not (isinstance(classes, list) and classes and all(isinstance(c, str) for c in classes)):
            raise ArtefactError(f"{where}: expected a list of class names, found {classes!r}")
        if len(set(classes)) != len(classes):
            raise ArtefactError(f"{where}: two classes have the same name: {', '.join(classes)}")
        return cls(ModelSpec(str(name), arguments, constants), tuple(classes), preprocess)


class Run:
    """A run folder, read.  Raises: ArtefactError where it is not one, or is damaged."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ArtefactError(
                f"{self.folder}: there is no such folder; a run is the folder that `striate train` wrote"
            )
        if not (self.folder / CONFIG).is_file():
            raise ArtefactError(
                f"{self.folder}: not a run (it holds no {CONFIG}); a run is the folder that `striate train` wrote"
            )
        self.config: dict[str, Any] = read_json(self.folder / CONFIG)
        self.identity = Identity.from_json(self.config, self.folder / CONFIG)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.identity.classes

    @property
    def preprocess(self) -> Preprocess:
        return self.identity.preprocess

    def load_module(self) -> nn.Module:
        """The network with its chosen weights, in evaluation mode, on the CPU."""
        path = self.folder / MODEL
        if not path.is_file():
            raise ArtefactError(
                f"{path}: not there yet; the run was stopped before its first epoch ended (go on with --resume)"
            )
        tensors, stored = read_model(path)
        if stored != self.identity:
            raise ArtefactError(
                f"{path} and {CONFIG} beside it disagree about model, classes or preprocessing; "
                "one of them is of another run"
            )
        try:
            module = self.identity.spec.build()
        except (TypeError, AttributeError, UsageError) as error:
            raise ArtefactError(f"{self.folder / CONFIG}: its model can't be built ({error})") from error
        load_into(module, tensors, path)
        return module.eval()


def write_identity(folder: Path, identity: Identity, facts: Mapping[str, Any]) -> None:
    """Write config.json (identity and `facts`) and preprocess.json."""
    durable.write_json(folder / CONFIG, identity.to_json() | dict(facts))
    durable.write_json(
        folder / PREPROCESS, identity.preprocess.to_json() | {"sentence": identity.preprocess.describe()}
    )


def write_model(path: Path, tensors: Mapping[str, Tensor], identity: Identity, about: Mapping[str, Any]) -> None:
    """Weights with their identity in the header, and `about` them: the epoch, and why it was chosen."""
    durable.write_bytes(path, pack(tensors, identity.to_json() | {"about": dict(about)}))


def read_model(path: Path) -> tuple[dict[str, Tensor], Identity]:
    """Weights and identity of a file that `write_model` wrote.  Raises: ArtefactError."""
    tensors, header = unpack(path)
    return tensors, Identity.from_json(header, path)


def read_about(path: Path) -> dict[str, Any]:
    """What `write_model` was told about the weights."""
    return dict(header_of(path).get("about", {}))


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Fill a network, strictly by name and shape.  Raises: ArtefactError, with the differences."""
    want = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    have = {name: tuple(t.shape) for name, t in tensors.items()}
    wrong = [f"{n} is missing" for n in want if n not in have]
    wrong += [f"{n} is not in the model" for n in have if n not in want]
    wrong += [f"{n} is {have[n]}, the model has {want[n]}" for n in want if n in have and have[n] != want[n]]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ArtefactError(f"{where}: does not fit the model: {'; '.join(wrong[:5])}{more}")
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if bad:
        raise ArtefactError(f"{where}: {', '.join(bad[:5])} holds values that are not finite")
    module.load_state_dict(dict(tensors))


def read_json(path: Path) -> Any:
    """A JSON file of a run.  Raises: ArtefactError, naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtefactError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: not valid JSON ({error})") from error


def class_index(classes: tuple[str, ...], name: str) -> int:
    """Position of a class by name.  Raises: UnknownName."""
    if name not in classes:
        raise UnknownName(
            f"no class is called {name!r}{suggest(name, classes, 'the classes are ' + ', '.join(classes[:20]))}"
        )
    return classes.index(name)
