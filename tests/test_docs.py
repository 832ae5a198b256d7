"""What the documents say is carried out: every Python block, every shell block marked `<!-- run -->`, every doctest.

The blocks of one document share a temporary folder and one Python namespace, and run in order. A shell block that is
not to be run (a download, an hour of training) carries no mark.
"""

import contextlib
import doctest
import importlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "striate"
EXECUTED = [
    "README.md",
    "docs/tour.md",
    "docs/weights.md",
    "docs/transfer.md",
    "docs/distributed.md",
    "docs/shards.md",
    "docs/speed.md",
    "docs/zoo.md",
    "docs/look.md",
    "docs/look_filters.md",
    "docs/look_report.md",
    "docs/look_activations.md",
    "docs/look_units_and_sets.md",
    "docs/alexnet_on_cifar.md",
    "docs/by_hand/convolution.md",
    "docs/by_hand/networks.md",
    "docs/by_hand/one_unit.md",
]
EXECUTED += [f"docs/notebooks/{path.name}" for path in sorted((ROOT / "docs" / "notebooks").glob("*.md"))]

BLOCK = re.compile(
    r"^(?:<!--[ ]*(?P<mark>[^\n]*?)[ ]*-->\n)?```(?P<language>[\w-]+)[ ]*\n(?P<body>.*?)^```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|mailto:|#)([^)\s]+)\)|!\[[^\]]*\]\((?!https?:)([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it starts, what it is written in, and the mark in the comment above it."""

    line: int
    language: str
    mark: str
    body: str

    @property
    def runs(self) -> bool:
        return self.language == "python" or (self.language in {"sh", "bash", "console"} and self.mark == "run")


def blocks(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, m.start("body")) + 1, m["language"], m["mark"] or "", m["body"])
        for m in BLOCK.finditer(text)
    ]


def run_shell(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The commands as a shell runs them, stopping at the first that fails; `striate` is the one under test."""
    commands = "".join(line.removeprefix("$ ") for line in body.splitlines(keepends=True))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=os.environ | {"PATH": path, "MPLBACKEND": "agg"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def named_on_failure(document: str, block: Block) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"in {document}, the {block.language} block at line {block.line}")
        raise


@pytest.mark.parametrize("document", EXECUTED)
@pytest.mark.timeout(280)
def test_the_blocks_of_a_document_run_in_order(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace: dict[str, object] = {"__name__": "__main__"}
    todo = [block for block in blocks((ROOT / document).read_text(encoding="utf-8")) if block.runs]
    assert todo, f"{document} shows nothing that runs"
    for block in todo:
        with named_on_failure(document, block):
            if block.language == "python":
                padded = "\n" * (block.line - 1) + block.body  # tracebacks then name the line of the document
                exec(compile(padded, str(ROOT / document), "exec"), namespace)
            else:
                done = run_shell(block.body, tmp_path)
                assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_are_found_and_told_apart() -> None:
    unmarked, marked = "```sh\nrm -r /\n```\n", "<!-- run -->\n```sh\nstriate --help\n```\n"
    found = blocks("a\n```python\nx = 1\n```\n\n" + marked + unmarked + "<!-- run -->\n\n" + unmarked)
    assert [(b.line, b.runs) for b in found] == [(3, True), (8, True), (11, False), (16, False)]
    assert [b.body for b in found[:2]] == ["x = 1\n", "striate --help\n"]


def test_a_shell_block_fails_at_its_first_failing_command(tmp_path: Path) -> None:
    assert run_shell("$ false\n$ true\n", tmp_path).returncode != 0
    assert run_shell("true | true\n", tmp_path).returncode == 0


def documents() -> list[Path]:
    own = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
    return own + sorted(p for p in (ROOT / "docs").rglob("*.md") if not {"_build", "reference"} & set(p.parts))


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(path: Path) -> None:
    targets = [a or b for a, b in LINK.findall(path.read_text(encoding="utf-8"))]
    generated = ROOT / "docs" / "reference"
    missing = []
    for target in targets:
        place = (path.parent / target.split("#")[0]).resolve()
        if not place.exists() and not place.is_relative_to(generated):
            missing.append(target)
    assert missing == []


def modules() -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in sorted(PACKAGE.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]


@pytest.mark.parametrize("name", modules())
def test_doctests_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0, said.getvalue()


def test_there_are_doctests_to_hold() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(len(t.examples) for name in modules() for t in finder.find(importlib.import_module(name)))
    assert examples >= 10
