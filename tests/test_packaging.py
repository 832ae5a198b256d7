"""What is shipped: the wheel holds every file that the package reads, and nothing beside it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LITTER = shutil.ignore_patterns("__pycache__", "*.pyc", ".tmp-*")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, with the build tool that is installed: no network."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "striate", source / "striate", ignore=LITTER)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(out),
        str(source),
    ]
    done = subprocess.run([sys.executable, "-m", "pip", *build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("striate-*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources() -> set[str]:
    files = (path for path in (ROOT / "striate").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files if not path.name.startswith(".tmp-")}


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    assert sources() - names == set()


def test_the_wheel_holds_the_package_and_its_papers_only(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {
        "striate",
        next(n for n in names if "dist-info" in n).split("/")[0],
    }
    assert "striate/py.typed" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_the_command_is_declared(wheel: Path, names: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
        metadata = archive.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    assert "striate = striate.cli.main:main" in entry_points
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_the_embedded_digits_are_read_from_the_unpacked_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); import striate; assert striate.__file__.startswith(sys.argv[1]);"
        "data = striate.open_dataset('digits'); print(len(data.classes), sum(len(s) for s in data.splits.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["10", "1797"], done.stderr
