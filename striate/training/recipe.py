"""A recipe: everything that decides how a run comes out, in one flat, frozen record.

What is `"auto"` is resolved from the data and the machine before the first step, and the resolved recipe is what a
run stores. How a run is carried out (workers, how often it saves) is not part of it: it changes no result.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from striate.errors import RecipeError, suggest

Auto = Literal["auto"]


class Recipe(BaseModel):
    """Every setting with its type, default, unit and range on one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    # what
    model: str = Field(description="name of an architecture (`striate models` lists them)")
    data: str = Field(
        description="name of a data set, a folder with one sub-folder per class, or a .csv/.jsonl manifest"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="of initial weights, order, augmentation and dropout")
    # data
    val_share: float = Field(
        0.1, ge=0, lt=1, description="share of the training images set apart where there is no val split"
    )
    group_by: str = Field("", description="regular expression; images whose key gives the same group stay in one split")
    # preprocessing
    size: int = Field(0, ge=0, le=4096, description="side of the square the network sees, pixels; 0: the model's own")
    channels: Literal["auto", "gray", "rgb"] = Field("auto", description="auto: as the images are")
    resize: Literal["auto", "crop", "letterbox", "stretch", "pad"] = Field(
        "auto", description="what gives where shapes differ"
    )
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = Field(
        "bilinear", description="resampling filter"
    )
    augment: str = Field("auto", description="e.g. 'hflip crop:4'; auto: by the kind of data; none: as they are")
    # training
    epochs: int | Auto = Field(
        "auto", description="passes over the training images; auto: at least 20, and 1,500 steps"
    )
    batch: int | Auto = Field("auto", description="images a step; auto: 128, fewer for small sets")
    accumulate: int = Field(1, ge=1, le=4096, description="batches whose gradients are added up before a step")
    optimizer: Literal["sgd", "rmsprop", "adam", "adamw"] = Field("adamw", description="update rule")
    lr: float = Field(0.002, gt=0, le=100, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd and rmsprop")
    nesterov: bool = Field(True, description="Nesterov's momentum in sgd")
    weight_decay: float = Field(0.01, ge=0, le=10, description="not on biases and norms; decoupled in adamw")
    schedule: Literal["constant", "step", "plateau", "cosine", "onecycle"] = Field(
        "cosine", description="how the rate changes"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps in which the rate rises to lr")
    step_epochs: int = Field(30, ge=1, description="step: epochs between two divisions by ten")
    patience: int = Field(
        5, ge=1, description="plateau: epochs without a better val loss before the rate is divided by ten"
    )
    stop_after: int = Field(0, ge=0, description="stop after this many epochs without a better val accuracy; 0: never")
    loss: Literal["auto", "cross_entropy", "bce", "mse"] = Field(
        "auto", description="auto: bce for one output, else cross_entropy"
    )
    smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing: share given to all classes evenly")
    class_weights: Literal["none", "balanced"] | list[float] = Field(
        "none", description="weight of each class in the loss"
    )
    clip: float = Field(0.0, ge=0, description="largest norm of the whole gradient; 0: not clipped")
    ema: float = Field(0.0, ge=0, lt=1, description="decay a step of the moving average of weights; 0: none")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="of the network's arithmetic; auto: by the machine"
    )
    channels_last: bool | Auto = Field("auto", description="memory layout N H W C; auto: by the machine")

    @model_validator(mode="after")
    def _whole_numbers(self) -> "Recipe":
        for name, value, most in (("epochs", self.epochs, 100_000), ("batch", self.batch, 65_536)):
            if value != "auto" and not 1 <= value <= most:
                raise ValueError(f"{name} = {value}: expected 'auto' or a whole number from 1 to {most}")
        if isinstance(self.class_weights, list) and min(self.class_weights, default=0) <= 0:
            raise ValueError(f"class_weights = {self.class_weights}: expected a number above zero for every class")
        return self

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
        whole = {k: float(v) if type(v) is int and known[k].annotation is float else v for k, v in values.items()}
        try:
            return cls(**whole)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            said = first["msg"].removeprefix("Value error, ")
            detail = f"{name} = {values.get(name)!r}: {said[0].lower()}{said[1:]}" if name else said
            raise RecipeError(f"{where}: {detail}") from None

    def to_toml(self) -> str:
        """The recipe as a TOML file; `Recipe.read` gives it back."""
        return tomli_w.dumps(self.model_dump())


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
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = text
    return values


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, not yet checked.  Raises: RecipeError, naming file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: can't be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
