"""What every file in `math/` that is an operation keeps to."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import striate.math

ROOT = Path(__file__).parents[2]
NAMES = [module.name for module in iter_modules(striate.math.__path__)]
ALGORITHMS = {name for name in NAMES if name.startswith("conv2d_")}  # the same operation, computed in other ways
OPERATIONS = [
    name for name in NAMES if name not in ALGORITHMS and hasattr(import_module(f"striate.math.{name}"), "forward")
]


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_goes_both_ways_and_says_what_it_costs_where_it_is_from_and_what_checks_it(name: str) -> None:
    operation = import_module(f"striate.math.{name}")
    about = operation.__doc__ or ""
    assert callable(operation.backward)
    assert hasattr(operation, "operations") or hasattr(operation, "macs")
    assert re.search(r"^Source: ", about, re.MULTILINE)
    checked = re.search(r"^Checked: .*?(tests/math/test_\w+\.py)", about, re.MULTILINE | re.DOTALL)
    assert checked
    test = (ROOT / checked[1]).read_text(encoding="utf-8")
    assert re.search(rf"\b{name}\b", test), f"{checked[1]} does not speak of {name}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_its_way_back_begins_with_g_and_takes_what_the_way_forth_took(name: str) -> None:
    operation = import_module(f"striate.math.{name}")
    forth, back = (list(inspect.signature(f).parameters) for f in (operation.forward, operation.backward))
    assert back[0] in {"g", "gs"}
    assert set(back[1:]) <= set(forth)


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_nothing_but_numpy(name: str) -> None:
    tree = ast.parse((ROOT / "striate" / "math" / f"{name}.py").read_text(encoding="utf-8"))
    roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not roots & {"torch", "scipy", "sklearn", "PIL", "matplotlib"}


def test_there_are_operations_to_keep_to_it() -> None:
    assert len(OPERATIONS) >= 50
