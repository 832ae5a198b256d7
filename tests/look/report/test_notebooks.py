"""The notebooks: text that Jupyter opens through jupytext, a companion for each lecture; test_docs.py runs them."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data.preprocess import Preprocess
from striate.look.explain.explained import explain
from striate.look.units.unit import unit
from striate.models.registry import create_model
from striate.run.classifier import Classifier
from tests.test_docs import EXECUTED, blocks

DOCS = Path(__file__).parents[3] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))
HEADER = """---
jupyter:
  jupytext:
    text_representation:
      extension: .md
      format_name: markdown
  kernelspec:
    display_name: Python 3
    language: python
    name: python3
---
"""


def test_there_is_one_for_each_lecture_and_all_are_run() -> None:
    assert len(NOTEBOOKS) == 5
    assert {f"docs/notebooks/{path.name}" for path in NOTEBOOKS} <= set(EXECUTED)
    listed = (DOCS / "notebooks.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{path.stem}" in listed for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_a_lecture_companion_that_jupyter_can_open(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    assert text.count("\n# ") == 1
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    for part in ("Build", "By hand", "Train", "Look inside"):
        assert any(part.lower() in title.lower() for title in titles), part
    cells = blocks(text)
    assert {cell.language for cell in cells} == {"python"}
    last = [ast.parse(cell.body).body[-1] for cell in cells]
    assert sum(isinstance(statement, ast.Expr) for statement in last) >= 3  # cells that show something
    assert sum("assert " in cell.body for cell in cells) >= 5  # and cells that hold it to its word


def test_jupytext_reads_the_same_cells() -> None:
    jupytext = pytest.importorskip("jupytext", reason="needs jupytext, which Jupyter users have")
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        cells = [cell.source for cell in jupytext.reads(text, fmt="md").cells if cell.cell_type == "code"]
        assert cells == [block.body.rstrip("\n") for block in blocks(text)]


def test_what_they_end_with_shows_itself() -> None:
    torch.manual_seed(0)
    net = create_model("lenet5")
    gray = Preprocess(size=(32, 32), resize="stretch", order="gray", mean=(0.5,), std=(0.5,))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)
    shown = unit(net, gray([image]), "C1")._repr_html_()
    assert shown.startswith("<pre>")
    assert "sum of 25 terms" in shown
    classifier = Classifier(net, [str(k) for k in range(10)], gray)
    assert explain(classifier, {"a": image}, "gradcam", check=False)._repr_png_().startswith(b"\x89PNG")
