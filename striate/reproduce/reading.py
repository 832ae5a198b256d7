"""From a file to an experiment: recipes/NAME.toml reproduces a claim.

    quick = false   where there is no small form: it would say nothing, or could not be made small
    [claim]         what is claimed, who claims it; what the stored result was measured on, n, date and command
    [work]          how it is measured: the kind, seeds, how many images
    [settings]      of the training, as in `striate train --settings`; of a fastest road: striate.reproduce.fastest.way
    [options]       of settings.model: those of the zoo, or of the networks in striate.reproduce.small_images
    [network]       ingredients of the small network, in place of settings.model
    [arms.NAME]     settings, options and network that differ in this arm; or model and weights that were published;
                    against = the arm that this one is compared with, where it is not work.baseline
    [quick.work], [quick.settings], [quick.arms.NAME] ...   what the small form changes; false in place of an arm: it
                    is left out

Its results lie beside it, in recipes/results/NAME.json and NAME.quick.json.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from striate.errors import RecipeError, UnknownName, suggest
from striate.reproduce.experiment import Arm, Claim, Does, Experiment, Kind, Published, Trained, Transferred, Work
from striate.reproduce.fastest.way import Way
from striate.reproduce.ingredients import Ingredients
from striate.training.recipe import Recipe, read_settings

_CLAIM = re.compile(r"^\[claim\]", re.MULTILINE)
OWN = ("settings", "options", "network")  # what an arm may have of its own, and the small form of an arm
Model = TypeVar("Model", bound=BaseModel)


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


def read_forms(path: Path) -> tuple[Experiment, ...]:
    """The whole form of the recipe in a file, and the small one where there is one.  Raises: RecipeError."""
    written = read_settings(path)
    forms = (False,) if written.get("quick") is False else (False, True)
    return tuple(_experiment(written, path, quick) for quick in forms)


def read_experiment(path: Path, *, quick: bool = False) -> Experiment:
    """The recipe in a file.  Raises: RecipeError, naming file, table and key; or that there is no small form."""
    return _experiment(read_settings(path), path, quick)


def _experiment(whole: Mapping[str, Any], path: Path, quick: bool) -> Experiment:
    tables = {"claim", "work", *OWN, "arms", "quick"}
    for key in whole:
        if key not in tables:
            raise RecipeError(f"{path}: no table is called {key!r}{suggest(key, tables)}")
    changes = _changes(whole, path, quick)

    def merged(key: str) -> dict[str, Any]:
        return _table(whole, key, path) | (_table(changes, key, path) if quick else {})

    claim = _checked(Claim, _table(whole, "claim", path), f"{path}: claim")
    work = _checked(Work, merged("work"), f"{path}: work")
    given = _arms(whole, changes, path, quick)
    shared = {key: merged(key) for key in OWN}
    arms = []
    for name, table in given.items():
        where = f"{path}: arms.{name}"
        against = str(table.get("against", work.baseline if name != work.baseline else ""))
        if against and against not in given:
            raise RecipeError(f"{where}: against = {against!r}: no such arm{suggest(against, given)}")
        own = {key: value for key, value in table.items() if key != "against"}
        arms.append(Arm(name, _does(work.kind, own, shared, "network" in whole, where), against))
    if work.baseline and work.baseline not in given:
        raise RecipeError(f"{path}: work.baseline = {work.baseline!r}: no such arm{suggest(work.baseline, given)}")
    if work.seeds == 1 and not work.tolerance:
        raise RecipeError(
            f"{path}: work.tolerance must say how far a repetition may be off: one seed gives no interval"
        )
    return Experiment(path.stem, path, quick, claim, work, tuple(arms), _digest(work, shared, given))


def _changes(whole: Mapping[str, Any], path: Path, quick: bool) -> dict[str, Any]:
    """What the small form changes, as it is written."""
    written = whole.get("quick", {})
    if written is False:
        if quick:
            raise RecipeError(
                f"{path}: quick = false: there is no small form; the whole one runs without --quick: "
                f"striate reproduce {path.stem}"
            )
        return {}
    if not isinstance(written, dict):
        raise RecipeError(f"{path}: quick = {written!r}: expected a table [quick], or false: there is no small form")
    for key in written:
        if key not in {"work", *OWN, "arms"}:
            raise RecipeError(f"{path}: quick.{key}: only work, {', '.join(OWN)} and arms may differ in the small form")
    return written


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


def _does(
    kind: Kind, table: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], small: bool, where: str
) -> Does:  # fmt: skip
    """What an arm does: `table` as it is written there, `shared` for all arms, `small` where there is a [network]."""
    match kind:
        case "training":
            return _trained(table, shared, small, where)
        case "published" | "compressed":
            return _checked(Published, table, where)
        case "transfer":
            return _transferred(table, shared["settings"], where)
        case "fastest":
            return _checked(Way, dict(shared["settings"]) | _table(table, "settings", where), where)


def _trained(
    table: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], small: bool, where: str
) -> Trained:  # fmt: skip
    for key in table:
        if key not in OWN:
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
    return Trained(recipe.model_copy(update=fixed), ingredients, own["options"])


def _closed(recipe: Recipe, where: str) -> None:
    """See that nothing is left open that machine or data would decide."""
    left = [key for key in ("epochs", "batch", "precision", "augment") if getattr(recipe, key) == "auto"]
    if left or not recipe.size:
        raise RecipeError(f"{where}: {(left or ['size'])[0]} must be given, so that it is the same on every machine")
    if recipe.compile is True:
        raise RecipeError(
            f"{where}: compile = true: recipes of claims are not compiled, which may be another thing elsewhere"
        )


def _transferred(table: Mapping[str, Any], shared: Mapping[str, Any], where: str) -> Transferred:
    for key in table:
        if key not in {"images", "settings"}:
            raise RecipeError(f"{where}: {key!r}: expected images, settings or against")
    images = table.get("images")
    if type(images) is not int or images < 1:
        raise RecipeError(f"{where}: images = {images!r}: expected how many of each class, a whole number from 1")
    recipe = Recipe.make(dict(shared) | _table(table, "settings", where), where)
    _closed(recipe, where)
    return Transferred(recipe, images)


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


def _table(whole: Mapping[str, Any], key: str, where: Path | str) -> dict[str, Any]:
    table = whole.get(key, {})
    if not isinstance(table, dict):
        raise RecipeError(f"{where}: {key} = {table!r}: expected a table [{key}]")
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
