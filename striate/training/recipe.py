"""A recipe: everything that decides how a run comes out, in one flat, frozen record.

What is `"auto"` is resolved from the data and the machine before the first step, and the resolved recipe is what a
run stores. How a run is carried out (workers, how often it saves) is not part of it: it changes no result.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from striate.errors import RecipeError, suggest

Auto = Literal["auto"]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Images = Annotated[int, Field(ge=1, le=65_536)]
Weights = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
Resize = Literal["crop", "letterbox", "stretch", "pad"]  # as in Preprocess, which would bring torch with it
Interpolation = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Kind = Literal["constant", "step", "plateau", "cosine", "onecycle"]
Loss = Literal["cross_entropy", "bce", "mse"]
Precision = Literal["float32", "bf16"]
Engine = Literal["torch", "by-hand"]
Features = Literal["auto", "cached", "live"]
Norms = Literal["auto", "keep", "train"]
Phases = list[dict[str, int | float | str]]
PHASE = "{epoch = 3, down_to = 'STEP', lr = 0.0001}"  # lr may be left out


class Recipe(BaseModel):
    """Every setting with its type, default, unit and range on one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # what
    model: str = Field(min_length=1, description="name of an architecture (`striate models` lists them)")
    data: str = Field(min_length=1, description="a data set's name, a folder of class folders, a .csv or .jsonl list")
    seed: int = Field(0, ge=0, lt=2**63, description="of initial weights, order, augmentation and dropout")
    # data
    val_share: float = Field(0.1, ge=0, lt=1, description="share of training images set apart where there is no val")
    group_by: str = Field("", description="regular expression; images whose key gives the same group stay in one split")
    # preprocessing
    size: int = Field(0, ge=0, le=4096, description="side of the square the network sees, pixels; 0: the model's own")
    channels: Literal["auto", "gray", "rgb"] = Field("auto", description="auto: as the images are")
    resize: Auto | Resize = Field("auto", description="what gives where the shapes of image and network differ")
    interpolation: Interpolation = Field("bilinear", description="resampling filter")
    augment: str = Field("auto", description="e.g. 'hflip crop:4'; auto: by the kind of data; none: as they are")
    # training
    epochs: Auto | Epochs = Field("auto", description="passes over the training images; auto: >= 20, and 1,500 steps")
    batch: Auto | Images = Field("auto", description="images a step; auto: 128, fewer for small sets")
    accumulate: int = Field(1, ge=1, le=4096, description="batches whose gradients are added up before a step")
    optimizer: Literal["sgd", "rmsprop", "adam", "adamw"] = Field("adamw", description="update rule")
    lr: float = Field(0.002, gt=0, le=100, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and rmsprop")
    nesterov: bool = Field(True, description="Nesterov's momentum in sgd")
    weight_decay: float = Field(0.01, ge=0, le=10, description="not on biases and norms; decoupled in adamw")
    schedule: Kind = Field("cosine", description="how the rate changes from step to step")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps in which the rate rises to lr")
    step_epochs: int = Field(30, ge=1, description="step: epochs between two divisions by ten")
    patience: int = Field(5, ge=1, description="plateau: epochs without a better val loss until the rate is divided")
    stop_after: int = Field(0, ge=0, description="stop after this many epochs without a better val accuracy; 0: never")
    loss: Auto | Loss = Field("auto", description="auto: bce for one output, else cross_entropy")
    smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing: share given to all classes evenly")
    class_weights: Literal["none", "balanced"] | Weights = Field("none", description="of each class in the loss")
    clip: float = Field(0.0, ge=0, description="largest norm of the whole gradient; 0: not clipped")
    ema: float = Field(0.0, ge=0, lt=1, description="decay a step of the moving average of weights; 0: none")
    precision: Auto | Precision = Field("auto", description="of the network's arithmetic; auto: by the machine")
    channels_last: Auto | bool = Field("auto", description="memory layout N H W C; auto: by the machine")
    compile: Auto | bool = Field(
        "auto", description="the network by torch; auto: in long runs, where it is measured to pay"
    )
    sync_batch_norm: bool = Field(False, description="several processes: batch norm over the whole batch")
    engine: Engine = Field("torch", description="finds the gradients; by-hand: formulas in NumPy, to learn from; slow")
    # transfer
    weights: str = Field("", description="to start from: imagenet, imagenet:TAG, a run or a file; empty: from nothing")
    weights_to: str = Field("all", min_length=1, description="last step that takes them; the rest begins anew; or none")
    freeze: str = Field(
        "none", min_length=1, description="none, head (all but it), or the last step that is not trained"
    )
    unfreeze: Phases = Field([], description=f"later phases, [{PHASE}, ...]: STEP and all after it are trained")
    norms: Norms = Field(
        "auto", description="of batch norms that came with weights: keep their statistics, or train them; auto: keep"
    )
    head_factor: float = Field(1.0, gt=0, le=1000, description="learning rate of the head, in multiples of lr")
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor of the rate from each block to the one before it")
    features: Features = Field("auto", description="of what is frozen: cached, or computed live; auto: where it can be")
    views: int = Field(0, ge=0, le=1000, description="augmented forms of each image, used in turn; 0: always new ones")

    @field_validator("model", "data", "group_by", "augment", "weights", "weights_to", "freeze")
    @classmethod
    def _text(cls, value: str) -> str:
        value.encode()  # a path of bytes that are no text could not be written down; UnicodeError is a ValueError
        return value

    @field_validator("unfreeze")
    @classmethod
    def _phases(cls, value: Phases) -> Phases:
        """Whole tables, one after the other; whether there is such a step is for the network to say."""
        before = 1
        for phase in value:
            lr, epoch = phase.get("lr", 1.0), phase.get("epoch")
            given = {"epoch", "down_to"} <= phase.keys() <= {"epoch", "down_to", "lr"}
            if not (given and type(epoch) is int and epoch > before and phase["down_to"] and type(lr) in (int, float)):
                raise ValueError
            cls._text(str(phase["down_to"]))
            if not (isinstance(phase["down_to"], str) and 0 < float(lr) <= 100):
                raise ValueError
            before = epoch
        return value

    @classmethod
    def make(cls, values: Mapping[str, Any], where: str = "recipe") -> "Recipe":
        """A checked recipe.  Raises: RecipeError, naming the setting, what it was and what was expected."""
        known = cls.model_fields
        for key in values:
            if key not in known:
                raise RecipeError(
                    f"{where}: no setting is called {key!r}{suggest(key, known, 'see `striate train --settings`')}"
                )
        missing = [name for name, field in known.items() if field.is_required() and name not in values]
        if missing:
            raise RecipeError(f"{where}: {' and '.join(missing)} must be given")
        whole: dict[str, Any] = dict(values)
        for key, value in values.items():
            if type(value) is int and known[key].annotation is float:
                whole[key] = float(value)
        try:
            return cls(**whole)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            value = values[name]
            near = suggest(value, _words(known[name].annotation)) if isinstance(value, str) else ""
            raise RecipeError(f"{where}: {name} = {value!r}: expected {expected(name)}{near}") from None

    def to_toml(self) -> str:
        """The recipe as a TOML file; `Recipe.read` gives it back."""
        return tomli_w.dumps(self.model_dump())

    def digest(self) -> str:
        """SHA-256 of the settings, not of the file: a comment may be added to it while a run is stopped."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


def expected(name: str) -> str:
    """What a setting may be.

    >>> expected("epochs")
    "'auto' or a whole number, at least 1, at most 100000"
    """
    field = Recipe.model_fields[name]
    return " or ".join(_kinds(field.annotation, field.metadata))


def read(path: Path, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in a TOML file, with `key=value` changes."""
    return Recipe.make(read_settings(path) | parse(changes), str(path))


def parse(changes: Iterable[str]) -> dict[str, Any]:
    """`key=value` words -> settings. A value is written as in TOML, or bare where it is a word.

    >>> parse(["lr=0.1", "optimizer=sgd", "augment='hflip crop:4'"])
    {'lr': 0.1, 'optimizer': 'sgd', 'augment': 'hflip crop:4'}
    """
    values: dict[str, Any] = {}
    for word in changes:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not equals or not key:
            raise RecipeError(f"--set {word!r}: expected key=value, for example lr=0.01")
        if key in values:
            raise RecipeError(f"--set {word!r}: {key} is given twice")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            value = text
        values[key] = value if isinstance(value, bool | int | float | str | list) else text  # a folder 2024-01-01
    return values


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, not yet checked.  Raises: RecipeError, naming file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: can't be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error


def _kinds(annotation: Any, limits: Iterable[Any] = ()) -> Iterator[str]:
    """What a type takes, in words; `limits` are its range as annotations."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if annotation in words:
        said = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "min_length": "not empty"}
        found = [said[key].format(getattr(limit, key)) for limit in limits for key in said if hasattr(limit, key)]
        yield ", ".join([words[annotation], *found])
    elif get_origin(annotation) is Annotated:
        inner, *given = get_args(annotation)
        yield from _kinds(inner, [limit for one in given for limit in one.metadata])
    elif get_origin(annotation) is Literal:
        yield from map(repr, get_args(annotation))
    elif get_origin(annotation) is list:
        (each,) = _kinds(get_args(annotation)[0])
        yield f"{'a list of' if each == PHASE else 'for each class'} {each}"
    elif get_origin(annotation) is dict:
        yield PHASE
    else:
        for choice in get_args(annotation):
            yield from _kinds(choice)


def _words(annotation: Any) -> list[str]:
    """The names among what a type takes."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for choice in get_args(annotation) for word in _words(choice)]
