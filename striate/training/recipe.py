"""A recipe: everything that decides how a run comes out, in one flat, frozen record.

What is `"auto"` is resolved from the data and the machine before the first step, and the resolved recipe is what a
run stores. How a run is carried out (workers, how often it saves) is not part of it: it changes no result.
"""

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
    engine: Engine = Field("torch", description="finds the gradients; by-hand: formulas in NumPy, to learn from; slow")

    @field_validator("model", "data", "group_by", "augment")
    @classmethod
    def _text(cls, value: str) -> str:
        value.encode()  # a path of bytes that are no text could not be written down; UnicodeError is a ValueError
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
        yield f"for each class {each}"
    else:
        for choice in get_args(annotation):
            yield from _kinds(choice)


def _words(annotation: Any) -> list[str]:
    """The names among what a type takes."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for choice in get_args(annotation) for word in _words(choice)]
