"""The reference pages, from the source: nothing in them is written twice, so nothing in them can be out of date.

Docstrings are shown as they stand, in fixed width: their formulas and small tables are drawn with spaces.
"""

import ast
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "striate"
HIDDEN = {"cli"}  # has its own page


def write(folder: Path) -> None:
    """All pages, in place of those that are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rooms = [name for name in room_names() if name not in HIDDEN]
    pages = {
        "commands": commands(),
        "settings": settings(),
        "augmentations": augmentations(),
        "models": models(),
        "errors": errors(),
        **{f"room-{name}": room(name) for name in rooms},
    }
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    zoo(folder / "zoo")
    listing = "\n".join(pages)
    intro = "Generated from the source when this documentation was built. After the errors: the package, room by room."
    (folder / "index.md").write_text(
        f"# Reference\n\n{intro}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listing}\n```\n", encoding="utf-8"
    )


def commands() -> str:
    """What `--help` says, for every command."""
    os.environ |= {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    from typer.main import get_command
    from typer.testing import CliRunner

    from striate.cli.main import app

    def pages(command: object, words: list[str]) -> Iterator[str]:
        said = CliRunner().invoke(app, [*words, "--help"], prog_name="striate").output
        lines = "\n".join(line.rstrip() for line in said.strip("\n").splitlines())
        yield f"## {' '.join(['striate', *words])}\n\n{fenced(lines)}"
        for name, child in getattr(command, "commands", {}).items():
            yield from pages(child, [*words, name])

    return "# Commands\n\n" + "\n".join(pages(get_command(app), []))


def settings() -> str:
    """Every setting of a recipe."""
    from striate.training.recipe import Recipe

    rows = []
    for name, field in Recipe.model_fields.items():
        default = "must be given" if field.is_required() else f"`{field.default!r}`"
        rows.append(f"| `{name}` | {default} | {cell(field.description or '')} |")
    head = "# Settings\n\nOf a recipe file, of `--set key=value`, and of `striate.train(..., key=value)`.\n\n"
    return head + table("setting | default | what it is", rows)


def augmentations() -> str:
    """Every operation of the setting `augment`."""
    from striate.data.augment.operations import OPERATIONS

    rows = [f"| `{cell(operation.form)}` | {cell(operation.does)} |" for operation in OPERATIONS.values()]
    head = (
        "# Augmentations\n\nOperations of the setting `augment`, applied in this order, however they are written.\n\n"
    )
    return head + table("operation | what it does", rows)


def models() -> str:
    """The architectures by year, and where each one's page is."""
    from striate.look.costs.zoo import models_table

    listing = "\n".join(f"zoo/{family}" for family in families())
    head = "# Models\n\nBy year, with what is new in each. The pages have fact sheets, drawings, layer tables.\n\n"
    return f"{head}{fenced(str(models_table('*')))}\n```{{toctree}}\n:maxdepth: 2\n\n{listing}\n```\n"


def zoo(folder: Path) -> None:
    """A page for each file of models: its docstring, and of each model fact sheet, drawing and layer table."""
    folder.mkdir()
    for family, names in families().items():
        source = ast.parse((PACKAGE / "models" / f"{family}.py").read_text(encoding="utf-8"))
        about = ast.get_docstring(source) or ""
        parts = [f"# {about.partition(chr(10))[0].partition(':')[0].rstrip('.')}\n\n{fenced(about)}"]
        parts += [one_model(name, folder) for name in names]
        (folder / f"{family}.md").write_text("\n".join(parts), encoding="utf-8")


def families() -> dict[str, list[str]]:
    """Names of models by the file that they are built in, the oldest first."""
    from striate.models.registry import list_models
    from striate.models.sheets import sheet

    found: dict[str, list[str]] = {}
    for name in list_models():
        found.setdefault(Path(sheet(name).file).stem, []).append(name)
    return found


def one_model(name: str, folder: Path) -> str:
    """Fact sheet, drawing (a file beside the page) and layer table of a model."""
    from striate.look.costs.summary import summarise
    from striate.look.costs.zoo import facts
    from striate.look.diagrams.diagram import diagram

    found, known = summarise(name), facts(name)
    (folder / f"{name}.svg").write_text(diagram(found).svg(), encoding="utf-8")
    picture = f"```{{image}} {name}.svg\n:alt: drawing of {name}\n:target: ../../_images/{name}.svg\n```"
    return f"## {name}\n\n{fenced(known.text(72))}\n{picture}\n\n{fenced(found.text())}"


def errors() -> str:
    """The tree of errors."""
    source = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    return f"# Errors\n\n{fenced(ast.get_docstring(source) or '')}"


def room(name: str) -> str:
    """What the files of a room offer: signatures and docstrings."""
    place = PACKAGE / name
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    parts = [f"# striate.{name}\n"]
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if about := ast.get_docstring(tree):
            parts.append(f"## {module}\n\n{fenced(about)}")
            parts += [f"### {node.name}\n\n{fenced(declaration(node), 'python')}" for node in public(tree)]
    return "\n".join(parts)


def room_names() -> list[str]:
    """The rooms in the order of the corridor, as its test has them."""
    tree = ast.parse((ROOT / "tests" / "test_corridor.py").read_text(encoding="utf-8"))
    corridor = next(n.value for n in tree.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "CORRIDOR")
    names = list(ast.literal_eval(corridor))
    return [n for n in names if (PACKAGE / f"{n}.py").is_file() or any((PACKAGE / n).glob("[a-z]*.py"))]


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def declaration(node: ast.ClassDef | ast.FunctionDef) -> str:
    """The first line of a function or class, its docstring, its fields and methods; no bodies."""
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        line = f"def {node.name}({ast.unparse(node.args)}){returns}"
        if len(line) > 100:
            inside = ",\n    ".join(split_arguments(ast.unparse(node.args)))
            line = f"def {node.name}(\n    {inside},\n){returns}"
        return f"{line}\n{indented(quoted(node))}".rstrip()
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    parts = [f"class {node.name}({bases})" if bases else f"class {node.name}", indented(quoted(node))]
    fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign) and not ast.unparse(n).startswith("_")]
    parts.append(indented("\n".join(fields)))
    parts += [indented("\n" + declaration(method)) for method in public(node)]
    return "\n".join(part for part in parts if part.strip())


def split_arguments(text: str) -> list[str]:
    """The arguments of a signature, cut at commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def quoted(node: ast.ClassDef | ast.FunctionDef) -> str:
    text = ast.get_docstring(node)
    return f'"""{text}\n"""' if text and "\n" in text else f'"""{text}"""' if text else ""


def indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())


def fenced(text: str, language: str = "text") -> str:
    return f"````{language}\n{text}\n````\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(columns: str, rows: list[str]) -> str:
    rule = " | ".join("---" for _ in columns.split("|"))
    return f"| {columns} |\n| {rule} |\n" + "\n".join(rows) + "\n"
