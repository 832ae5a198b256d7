"""The corridor: data flows one way through the rooms, and so do imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "striate"

# room -> the rooms it may use, besides errors and durable; what is not listed is forbidden.
# Left to right is top to bottom. docs/decisions/0002-the-rooms.md says why the order is this one.
CORRIDOR: dict[str, str] = {
    "errors": "",
    "durable": "",
    "math": "",
    "data": "",
    "blocks": "",
    "models": "data blocks",
    "run": "data blocks models",
    "look": "math data blocks models run",
    "training": "data blocks models run look",
    "evaluation": "data models run look",
    "shrink": "data blocks models run look training evaluation",
    "export": "data blocks models run look",
    "serve": "data models run look",
    "reproduce": "data blocks models run look training evaluation",
    "cli": "data blocks models run look training evaluation shrink export serve reproduce",
}  # fmt: skip
ROOMS = list(CORRIDOR)
EVERYWHERE = {"errors", "durable"}


def allowed(room: str) -> set[str]:
    """The rooms that a file of `room` may import from."""
    floor = {"errors": set(), "durable": {"errors"}}.get(room, EVERYWHERE)
    return set(CORRIDOR[room].split()) | floor | {room}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything of striate that is imported, at the top of a file or inside a function."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=module, level=0, names=names) if module == "striate":
                found = [f"striate.{alias.name}" for alias in names if alias.name != "__version__"]
            case ast.ImportFrom(module=module, level=0):
                found = [module or ""]
            case ast.ImportFrom():
                found = ["striate.<relative>"]
            case ast.Call(
                func=ast.Name(id=caller) | ast.Attribute(attr=caller), args=[ast.Constant(value=str(name)), *_]
            ):
                found = [name] if caller in {"import_module", "__import__"} else []
            case _:
                found = []
        yield from ((node.lineno, name) for name in found if name == "striate" or name.startswith("striate."))


def trespasses(source: str, room: str) -> list[str]:
    """The imports in `source` that a file of `room` may not have, each as a sentence."""
    complaints = []
    for line, name in imports(ast.parse(source)):
        target = name.split(".")[1] if "." in name else "__init__"
        if target == "<relative>":
            complaints.append(f"line {line}: a relative import; write `from striate.{room}...`")
        elif target not in allowed(room):
            complaints.append(f"line {line}: {room} may not import {name}; it may import {sorted(allowed(room))}")
    return complaints


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) not in {"__init__", "__main__"}]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_corridor(path: Path) -> None:
    assert trespasses(path.read_text(encoding="utf-8"), room_of(path)) == []


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in FILES} <= set(ROOMS)


def test_the_table_itself_goes_one_way() -> None:
    for room in ROOMS:
        to_the_left = set(ROOMS[: ROOMS.index(room)])
        assert set(CORRIDOR[room].split()) <= to_the_left, room


def test_the_rooms_of_a_finished_run_do_without_the_trainer() -> None:
    for room in ("run", "look", "evaluation", "export", "serve"):
        assert "training" not in allowed(room), room


PLANTED = [
    ("data", "from striate.models.registry import entry"),
    ("data", "from striate import models"),
    ("data", "import striate.training.loop"),
    ("data", "import numpy, striate.cli.main as m"),
    ("look", "def f():\n    from striate.training.loop import train"),
    ("evaluation", "if True:\n    import striate.training"),
    ("run", "importlib.import_module('striate.look.trace')"),
    ("math", "__import__('striate.data.dataset')"),
    ("models", "from . import registry"),
    ("errors", "from striate.durable import write_text"),
    ("look", "import striate"),
]


@pytest.mark.parametrize(("room", "source"), PLANTED)
def test_a_planted_trespass_is_seen(room: str, source: str) -> None:
    assert len(trespasses(source, room)) == 1


def test_what_is_allowed_is_let_through() -> None:
    source = (
        "import json\nfrom striate.errors import DataError\nfrom striate.data import dataset\nfrom striated import x"
    )
    assert trespasses(source, "models") == []
