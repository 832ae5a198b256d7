"""What an experiment is: a claim, how it is measured, and the arms that are compared.

An arm does one thing, and what it does is a type of its own, with all that decides it and nothing else. Such a type is
read in `striate.reproduce.reading`, carried out in `striate.reproduce.runs` and told of in `striate.reproduce.page`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from striate.reproduce.fastest.way import Way
from striate.reproduce.ingredients import Ingredients
from striate.reproduce.objectives import Objective
from striate.training.recipe import Recipe

RESULTS = "results"  # folder beside the recipes
Kind = Literal["training", "published", "compressed", "fastest", "transfer"]
Counted = Literal["test", "training"]


class Claim(BaseModel):
    """What is claimed, and what our stored result rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field(min_length=1)
    says: str = Field(min_length=1)  # in our words, a whole sentence
    who: str = Field(min_length=1)  # deck, page or paper
    metric: str = Field(min_length=1)  # with its unit
    figure: float | None = None  # the claimed value of the metric, where there is one
    command: str = Field(min_length=1)
    hardware: str = ""  # of the stored result; empty while there is none
    n: int = Field(0, ge=0)
    measured: date | None = None
    differs: str = ""  # why ours and theirs differ, and what must not be concluded


class Work(BaseModel):
    """How it is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind = "training"
    seeds: int = Field(1, ge=1, le=1000)  # 0, 1, 2, ...
    train_images: int = Field(0, ge=0)  # drawn anew with each seed; 0: all
    test_images: int = Field(0, ge=0)  # the same for all seeds; 0: all
    objective: Objective = "recipe"
    gradients: bool = False  # also measure how gradients change over the depth, before the first step
    baseline: str = ""  # the arm with which the others are compared
    tolerance: float = Field(0.0, ge=0)  # least half width of the interval of a repetition, in the unit of the metric
    counted: Counted = "test"  # images whose accuracy is the metric; training: as they were seen in the last epoch
    costs: bool = False  # also count multiply-adds, and time a step of each arm in turns where times count


@dataclass(frozen=True)
class Trained:
    """A training from nothing on a data set that has a name; seed 0."""

    recipe: Recipe
    network: Ingredients | None = None  # the small network; None: recipe.model
    options: Mapping[str, Any] = field(default_factory=dict)  # of recipe.model


class Published(BaseModel):
    """A network with weights of somebody else's, for images that are prepared like its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(min_length=1)
    weights: str = Field(min_length=1)  # name of the file
    size: int = Field(ge=1)  # pixels a side that the network sees
    prepare: Literal["tensorflow", "caffe"]
    claimed: float | None = None  # its publishers' figure on ImageNet's validation images


@dataclass(frozen=True)
class Transferred:
    """A training on a few images of a folder, from weights or from nothing; seed 0."""

    recipe: Recipe  # data and weights by their places in the material
    images: int  # a class


Does: TypeAlias = Trained | Published | Transferred | Way


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared."""

    name: str
    does: Does
    against: str = ""  # the arm that this one is compared with


@dataclass(frozen=True)
class Experiment:
    """A recipe in one of its two forms."""

    name: str
    path: Path
    quick: bool
    claim: Claim
    work: Work
    arms: tuple[Arm, ...]
    digest: str  # of all that decides the result

    @property
    def form(self) -> str:
        """The name with its form: "mnist_lenet5 --quick"."""
        return f"{self.name} --quick" if self.quick else self.name

    @property
    def against(self) -> dict[str, str]:
        """Arm -> the arm that it is compared with; those that are compared with none are left out."""
        return {arm.name: arm.against for arm in self.arms if arm.against}

    @property
    def trained(self) -> dict[str, Trained]:
        """Arm -> what is trained in it; empty where the arms do something else."""
        return {arm.name: arm.does for arm in self.arms if isinstance(arm.does, Trained)}

    @property
    def result_path(self) -> Path:
        return self.path.parent / RESULTS / f"{self.name}{'.quick' if self.quick else ''}.json"
