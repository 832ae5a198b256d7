"""The lines in a recipe's header that say what its stored result rests on: command, hardware, n, measured."""

import json
import re
import tomllib
from datetime import date
from typing import Any

from striate import durable
from striate.errors import RecipeError
from striate.reproduce.experiment import Experiment
from striate.reproduce.result import Result

_CLAIM = re.compile(r"^\[claim\][^\n]*\n(?P<body>.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)


def speaks_for(experiment: Experiment) -> bool:
    """Whether the header speaks of this form: of the whole one, or of the small one while the whole is not stored."""
    whole = experiment.result_path.with_name(f"{experiment.name}.json")
    return not experiment.quick or not whole.is_file()


def restate(experiment: Experiment, result: Result) -> None:
    """Rewrite the four lines in the recipe's file; all else stays as it is, comments too.

    Raises: RecipeError where the file is written in a way in which they can't be found.
    """
    path = experiment.path
    before = path.read_text(encoding="utf-8")
    values: dict[str, Any] = {
        "command": f"striate reproduce {experiment.form}",
        "hardware": result.machine,
        "n": experiment.work.seeds,
        "measured": date.fromisoformat(result.made),
    }
    after = before
    if found := _CLAIM.search(before):
        after = before[: found.start("body")] + _body(found["body"], values) + before[found.end("body") :]
    try:
        as_wished = tomllib.loads(before)
        as_wished["claim"] |= values
        done = tomllib.loads(after) == as_wished
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        lines = "; ".join(f"{key} = {_toml(value)}" for key, value in values.items())
        raise RecipeError(f"{path}: the lines of [claim] can't be found; write them yourself: {lines}")
    if after != before:
        durable.write_text(path, after)


def _body(body: str, values: dict[str, Any]) -> str:
    """The lines in their places; those that are missing behind the one before them, `command` being always there."""
    last = ""
    for key, value in values.items():
        line = f"{key} = {_toml(value)}".replace("\\", "\\\\")  # as `re` reads it
        place = re.compile(rf"^{key}\s*=.*$", re.MULTILINE)
        if place.search(body):
            body = place.sub(line, body, count=1)
        else:
            body = re.sub(rf"^{last}\s*=.*$", rf"\g<0>\n{line}", body, count=1, flags=re.MULTILINE)
        last = key
    return body


def _toml(value: Any) -> str:
    """A text, a whole number or a date as TOML has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
