"""A recipe that reproduces a claim: recipes/NAME.toml.

    [claim]      what is claimed, who claims it; what the stored result was measured on, n, date and command
    [work]       how it is measured: the kind, seeds, how many images
    [settings]   of the training, as in `striate train --settings`; of a fastest road: striate.reproduce.fastest.way
    [options]    of settings.model: those of the zoo, or of the networks in striate.reproduce.small_images
    [network]    ingredients of the small network, in place of settings.model
    [arms.NAME]  settings, options and network that differ in this arm; or model and weights that were published;
                 against = the arm that this one is compared with, where it is not work.baseline
    [quick.work], [quick.settings], [quick.arms.NAME] ...   what the small form changes; false in place of an arm: it
                 is left out

Its results lie beside it, in recipes/results/NAME.json and NAME.quick.json.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from striate.errors import RecipeError, UnknownName, suggest
from striate.reproduce.fastest.way import Way
from striate.reproduce.ingredients import Ingredients
from striate.reproduce.objectives import Objective
from striate.training.recipe import Recipe, read_settings

RESULTS = "results"  # folder beside the recipes
_CLAIM = re.compile(r"^\[claim\]", re.MULTILINE)
Kind = Literal["training", "published", "compressed", "fastest", "transfer"]
Counted = Literal["test", "training"]
OWN = ("settings", "options", "network")  # what an arm may have of its own, and the small form of an arm
Model = TypeVar("Model", bound=BaseModel)


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


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared."""

    name: str
    recipe: Recipe | None = None  # of a training; seed 0
    network: Ingredients | None = None  # the small network; None: recipe.model
    published: Published | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of recipe.model
    against: str = ""  # the arm that this one is compared with
    way: Way | None = None  # of a fastest road
    transferred: Transferred | None = None


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
    def result_path(self) -> Path:
        return self.path.parent / RESULTS / f"{self.name}{'.quick' if self.quick else ''}.json"


def names(folder: Path) -> list[str]:
    """The recipes of claims in a folder, in the order of their names; those of plain trainings lie beside them.

    Raises: RecipeError where there are none.
    """
    found = sorted(path.stem for path in folder.glob("*.toml") if _CLAIM.search(path.read_text(encoding="utf-8-sig")))
    if not found:
        raise RecipeError(
            f"{folder}: holds no recipes of claims (*.toml with a table [claim]); they are in the folder recipes/ of a "
            "clone: name it by --recipes"
        )
    return found


def open_experiment(folder: Path, name: str, *, quick: bool = False) -> Experiment:
    """A recipe by its name.  Raises: UnknownName with the nearest ones; RecipeError for what is wrong in it."""
    known = names(folder)
    if name not in known and (folder / f"{name}.toml").is_file():
        raise RecipeError(f"{folder / name}.toml claims nothing; to train by it: striate train {folder / name}.toml")
    if name not in known:
        raise UnknownName(f"no recipe is called {name!r}{suggest(name, known, 'there are ' + ', '.join(known))}")
    return read_experiment(folder / f"{name}.toml", quick=quick)


def read_experiment(path: Path, *, quick: bool = False) -> Experiment:
    """The recipe in a file.  Raises: RecipeError, naming file, table and key."""
    whole = read_settings(path)
    tables = {"claim", "work", *OWN, "arms", "quick"}
    for key in whole:
        if key not in tables:
            raise RecipeError(f"{path}: no table is called {key!r}{suggest(key, tables)}")
    changes = _table(whole, "quick", path)
    for key in changes:
        if key not in {"work", *OWN, "arms"}:
            raise RecipeError(f"{path}: quick.{key}: only work, {', '.join(OWN)} and arms may differ in the small form")

    def merged(key: str) -> dict[str, Any]:
        return _table(whole, key, path) | (_table(changes, key, path) if quick else {})

    claim = _checked(Claim, _table(whole, "claim", path), f"{path}: claim")
    work = _checked(Work, merged("work"), f"{path}: work")
    given = _arms(whole, changes, path, quick)
    shared = {key: merged(key) for key in OWN}
    arms = []
    for name, table in given.items():
        where = f"{path}: arms.{name}"
        if work.kind == "fastest":
            own = dict(shared["settings"]) | _table(table, "settings", path)
            arms.append(Arm(name, way=_checked(Way, own, where)))
            continue
        if work.kind == "transfer":
            arms.append(_transferred(name, table, shared["settings"], work.baseline, where))
            continue
        if work.kind != "training":
            arms.append(Arm(name, published=_checked(Published, table, where)))
            continue
        against = table.get("against", work.baseline if name != work.baseline else "")
        if against and against not in given:
            raise RecipeError(f"{where}: against = {against!r}: no such arm{suggest(str(against), given)}")
        arms.append(_trained(name, table, shared, "network" in whole, against, where))
    if work.baseline and work.baseline not in given:
        raise RecipeError(f"{path}: work.baseline = {work.baseline!r}: no such arm{suggest(work.baseline, given)}")
    if work.seeds == 1 and not work.tolerance:
        raise RecipeError(
            f"{path}: work.tolerance must say how far a repetition may be off: one seed gives no interval"
        )
    digest = _digest(work, shared, given)
    return Experiment(path.stem, path, quick, claim, work, tuple(arms), digest)


def _arms(whole: Mapping[str, Any], changes: Mapping[str, Any], path: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Each arm as it is written, with what the small form changes in it."""
    given = {name: _table(_table(whole, "arms", path), name, path) for name in _table(whole, "arms", path)}
    given = given or {path.stem: {}}
    for name, table in _table(changes, "arms", path).items():
        if name not in given:
            raise RecipeError(f"{path}: quick.arms.{name}: no such arm{suggest(name, given)}")
        if table is False:  # too dear for the small form
            if quick:
                del given[name]
            continue
        for key in _table(changes["arms"], name, path):
            if key not in OWN:
                raise RecipeError(f"{path}: quick.arms.{name}: {key!r}: expected {', '.join(OWN[:-1])} or {OWN[-1]}")
            if quick:
                given[name] = given[name] | {key: given[name].get(key, {}) | table[key]}
    return given


def _trained(
    name: str,
    table: Mapping[str, Any],
    shared: Mapping[str, Mapping[str, Any]],
    small: bool,
    against: str,
    where: str,
) -> Arm:
    for key in table:
        if key not in {*OWN, "against"}:
            raise RecipeError(f"{where}: {key!r}: expected {', '.join(OWN[:-1])} or {OWN[-1]}")
    own = {key: dict(shared[key]) | dict(table.get(key, {})) for key in OWN}
    if small and "model" in own["settings"]:
        raise RecipeError(f"{where}: a model and a [network]; expected one of them")
    recipe = Recipe.make(own["settings"] | ({"model": "small"} if small else {}), where)
    _closed(recipe, where)
    ingredients = _checked(Ingredients, own["network"], where) if small else None
    fixed = {
        "channels_last": recipe.channels_last is True,
        "loss": "cross_entropy" if recipe.loss == "auto" else recipe.loss,
    }
    return Arm(name, recipe.model_copy(update=fixed), ingredients, options=own["options"], against=against)


def _closed(recipe: Recipe, where: str) -> None:
    """See that nothing is left open that machine or data would decide."""
    left = [key for key in ("epochs", "batch", "precision", "augment") if getattr(recipe, key) == "auto"]
    if left or not recipe.size:
        raise RecipeError(f"{where}: {(left or ['size'])[0]} must be given, so that it is the same on every machine")
    if recipe.compile is True:
        raise RecipeError(
            f"{where}: compile = true: recipes of claims are not compiled, which may be another thing elsewhere"
        )


def _transferred(name: str, table: Mapping[str, Any], shared: Mapping[str, Any], baseline: str, where: str) -> Arm:
    for key in table:
        if key not in {"images", "settings", "against"}:
            raise RecipeError(f"{where}: {key!r}: expected images, settings or against")
    images = table.get("images")
    if type(images) is not int or images < 1:
        raise RecipeError(f"{where}: images = {images!r}: expected how many of each class, a whole number from 1")
    recipe = Recipe.make(dict(shared) | _table(table, "settings", Path(where)), where)
    _closed(recipe, where)
    against = str(table.get("against", baseline if name != baseline else ""))
    return Arm(name, transferred=Transferred(recipe, images), against=against)


def _digest(work: Work, shared: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> str:
    """Of what is written, not of defaults: a new setting of the trainer changes no recipe, a new key here none either.

    Nor do keys that decide only what is said of the result.
    """
    decides = work.model_dump(exclude={"baseline", "tolerance", "costs"})
    if decides["counted"] == Work.model_fields["counted"].default:
        del decides["counted"]
    arms = {name: {key: table[key] for key in table if key != "against"} for name, table in given.items()}
    tables = [shared["settings"], shared["network"], arms, *([shared["options"]] if shared["options"] else [])]
    return hashlib.sha256(json.dumps([decides, *tables], sort_keys=True, default=str).encode()).hexdigest()[:16]


def _table(whole: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = whole.get(key, {})
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: {key} = {table!r}: expected a table [{key}]")
    return table


def _checked(kind: type[Model], values: Mapping[str, Any], where: str) -> Model:
    for key in values:
        if key not in kind.model_fields:
            raise RecipeError(f"{where}.{key}: no such key{suggest(key, kind.model_fields)}")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        given = f" = {values[name]!r}" if name in values else ""
        raise RecipeError(f"{where}.{name}{given}: {first['msg'].lower()}") from None
