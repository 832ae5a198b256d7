"""What `import striate` offers: every name is there, comes late, and keeps its meaning whatever else is imported."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import striate


@pytest.mark.parametrize("name", [name for name in striate.__all__ if name != "__version__"])
def test_every_name_is_found_where_it_is_said_to_be(name: str) -> None:
    found = getattr(striate, name)
    assert callable(found)
    assert found.__module__ == f"striate.{striate._HOME[name]}"
    assert found.__doc__
    import_module(found.__module__)
    assert getattr(striate, name) is found  # no room of the house is called like it


def test_the_type_checker_is_told_the_same_names() -> None:
    tree = ast.parse(Path(striate.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.asname: (node.module or "").removeprefix("striate.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("striate.")
        for alias in node.names
    }
    assert imported == striate._HOME


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trian'.*train"):
        _ = striate.trian  # type: ignore[attr-defined]
    assert dir(striate) == sorted(striate.__all__)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import striate, sys; sys.exit(bool({'torch', 'numpy', 'PIL', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
