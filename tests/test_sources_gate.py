"""What no file of the package may contain: ways to run code from data, to lose a file, to hide an error.

Each rule is shown to see what it forbids and to let its lawful twin pass, before it is believed about the package.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "striate"

# Files that may open files for writing by themselves, the modes they may use, and why `striate.durable` does not serve.
WRITES_BY_ITSELF = {
    "durable.py": {"xb"},  # the one place
    "data/download.py": {"r+b", "wb"},  # a download grows in a .part file, so that it can be resumed
    "training/records.py": {"a"},  # the log of epoch times grows a line at a time, and no later room depends on it
}

RUNS_CODE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
READING = {"r", "rb", "rt"}
MODE = re.compile(r"[rwaxbt+]+")
TOO_WIDE = {"Exception", "BaseException"}
IMPORT_NAMES = {
    "pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn", "umap-learn": "umap",
    "opencv-python-headless": "cv2",
}  # fmt: skip
NEEDS_AN_EXTRA = {"torch.utils.tensorboard": "tensorboard"}  # a module of torch that imports another package


def complaints(source: str, where: str = "room/file.py") -> list[str]:
    """Every breach of a rule in `source`, as 'line N: sentence'."""
    tree = ast.parse(source)
    found = [(node.lineno, text) for node in ast.walk(tree) for text in breaches(node, where)]
    found += [(line, text) for line, text in undeclared(tree)]
    return [f"line {line}: {text}" for line, text in sorted(found)]


def breaches(node: ast.AST, where: str) -> Iterator[str]:
    match node:
        case ast.Import() | ast.ImportFrom(level=0):
            for name in imported(node):
                if name.split(".")[0] in RUNS_CODE:
                    yield f"{name} runs code that is stored in data"
        case ast.Call():
            yield from call_breaches(node, where)
        case ast.ExceptHandler(type=kind, body=body) if kind is None or TOO_WIDE & names_in(kind):
            if all(isinstance(s, ast.Pass | ast.Continue | ast.Break) or is_constant(s) for s in body):
                yield "swallows every error"


def call_breaches(call: ast.Call, where: str) -> Iterator[str]:
    called, last = dotted(call.func), dotted(call.func).rpartition(".")[2]
    words = {k.arg: k.value for k in call.keywords}
    if called in RUNS_TEXT:
        yield f"{called}() runs text as code"
    if called == "torch.load" and not is_value(words.get("weights_only"), True):
        yield "torch.load without weights_only=True runs code that is stored in the file"
    if called.startswith(("torch.hub.", "torch.jit.load", "torch.save")):
        yield f"{called}: weights are read and written as safetensors"
    if called in {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}:
        yield f"{called} builds any object; use yaml.safe_load"
    if called in SHELLS or is_value(words.get("shell"), True):
        yield "goes through a shell"
    if called in {"np.load", "numpy.load"} and not is_value(words.get("allow_pickle"), False):
        yield "np.load without allow_pickle=False"
    if called in {"Image.open", "PIL.Image.open"} and "formats" not in words:
        yield "Image.open without formats= tries every decoder that Pillow has"
    if called in {"suppress", "contextlib.suppress"} and any(TOO_WIDE & names_in(a) for a in call.args):
        yield "swallows every error"
    if not modes(call) <= READING | WRITES_BY_ITSELF.get(where, set()):
        yield "opens a file for writing; striate.durable writes it whole or not at all"
    if last in {"write_text", "write_bytes"} and "." in called and not called.startswith("durable."):
        yield f"{last}() leaves half a file when it is interrupted; use striate.durable"
    if last == "save_file":
        yield "save_file() leaves half a file when it is interrupted; use striate.durable"


def undeclared(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports that a plain installation can't serve: optional ones at the top of a file, and unknown ones anywhere."""
    required, optional = declared()
    for node, at_top in walk_imports(tree):
        for name in imported(node):
            package = NEEDS_AN_EXTRA.get(name, name.split(".")[0])
            if package == "striate" or package in sys.stdlib_module_names or package in required:
                continue
            if package not in optional:
                yield node.lineno, f"{package} is not among the dependencies in pyproject.toml"
            elif at_top:
                yield node.lineno, f"{package} is optional; import it in the function that needs it"


def declared() -> tuple[set[str], set[str]]:
    """Import names of what is always installed, and of what the extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in {"dev", "docs", "oracles"}}
    return import_names(project["dependencies"]), import_names([line for lines in extras.values() for line in lines])


def import_names(requirements: list[str]) -> set[str]:
    names = [re.split(r"[^\w-]", line, maxsplit=1)[0].lower() for line in requirements]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def walk_imports(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """(import, whether it is carried out when the file is imported). Those for the type checker only are left out."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, True)]
    while waiting:
        node, at_top = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in names_in(node.test):
            waiting += [(child, at_top) for child in node.orelse]
            continue
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0):
            yield node, at_top
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [(child, at_top and not inside) for child in ast.iter_child_nodes(node)]


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def dotted(node: ast.expr) -> str:
    """`np.load` -> "np.load"; what is not a plain name becomes a dot: `f().open` -> ".open"."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def modes(call: ast.Call) -> set[str]:
    """The modes that a call of something named open may use; "?" for one that can't be read here, none for no mode."""
    called = dotted(call.func)
    if called.rpartition(".")[2] not in {"open", "fdopen"} or called in {"os.open", "Image.open"}:
        return set()
    path_first = called in {"open", "io.open", "gzip.open", "bz2.open", "lzma.open", "os.fdopen"}
    given = [k.value for k in call.keywords if k.arg == "mode"] or call.args[path_first : path_first + 1]
    found = {
        str(c.value) for g in given for c in ([g.body, g.orelse] if isinstance(g, ast.IfExp) else [g]) if is_text(c)
    }
    if path_first or any(dotted(g) == "mode" for g in given):
        found |= {"?"} if given and not found else set()
    return {m for m in found if m == "?" or MODE.fullmatch(m)}


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def is_value(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


FORBIDDEN_AND_LAWFUL = [
    ("import pickle", "import json"),
    ("def f():\n    from pickle import loads", "def f():\n    from json import loads"),
    ("import torch\ntorch.load(p)", "import torch\ntorch.load(p, weights_only=True)"),
    ("torch.load(p, weights_only=False)", "torch.load(p, map_location='cpu', weights_only=True)"),
    ("torch.load(p, weights_only=flag)", "torch.load(p, weights_only=True)"),
    ("torch.save(x, p)", "model.save(p)"),
    ("torch.hub.load('a/b', 'c')", "torch.hub"),
    ("eval(text)", "model.eval()"),
    ("exec(text)", "pool.exec(text)"),
    ("compile(text, 'f', 'exec')", "re.compile(text)"),
    ("yaml.load(f)", "yaml.safe_load(f)"),
    ("subprocess.run(c, shell=True)", "subprocess.run([c], shell=False)"),
    ("os.system(c)", "os.sysconf(c)"),
    ("np.load(p)", "np.load(p, allow_pickle=False)"),
    ("np.load(p, allow_pickle=True)", "np.load(p, 'r', allow_pickle=False)"),
    ("Image.open(p)", "Image.open(p, formats=FORMATS)"),
    ("open(p, 'w')", "open(p)"),
    ("open(p, mode='ab')", "open(p, mode='rb')"),
    ("open(p, mode)", "open(p, 'rb')"),
    ("p.open('x')", "p.open('rb')"),
    ("p.open('r+b' if start else 'rb')", "opener.open(request, timeout=1)"),
    ("p.open(mode)", "Memory.open(cache)"),
    ("open(p, 'r' + more)", "archive.open('member.txt')"),
    ("p.parent.open('r+b')", "p.parent.open(encoding='utf-8')"),
    ("(a / b).open('w')", "(a / b).open()"),
    ("gzip.open(p, 'wb')", "gzip.open(p, 'rb')"),
    ("os.fdopen(h, 'wb')", "os.open(p, flags)"),
    ("p.write_text(t)", "p.read_text()"),
    ("(a / b).write_bytes(t)", "durable.write_bytes(a / b, t)"),
    ("p.write_bytes(t)", "write_bytes(p, t)"),
    ("safetensors.torch.save_file(t, p)", "safetensors.torch.save(t)"),
    ("try:\n    f()\nexcept Exception:\n    pass", "try:\n    f()\nexcept OSError:\n    pass"),
    ("try:\n    f()\nexcept:\n    'ignored'", "try:\n    f()\nexcept:\n    g()\n    raise"),
    (
        "for x in y:\n    try:\n        f()\n    except (OSError, Exception):\n        continue",
        "while True:\n    break",
    ),
    ("with suppress(Exception):\n    f()", "with suppress(OSError):\n    f()"),
    ("import tensorboard", "def f():\n    import tensorboard"),
    ("class A:\n    from torch.utils.tensorboard import X", "def f():\n    from torch.utils.tensorboard import X"),
    ("try:\n    import tensorboard\nexcept ImportError:\n    x = None", "if TYPE_CHECKING:\n    import tensorboard"),
    ("import sklearn", "import PIL, numpy, torch.nn"),
    ("def f():\n    import requests", "def f():\n    import urllib.request"),
]


@pytest.mark.parametrize(("forbidden", "lawful"), FORBIDDEN_AND_LAWFUL)
def test_each_rule_sees_what_it_forbids_and_nothing_else(forbidden: str, lawful: str) -> None:
    assert len(complaints(forbidden)) == 1
    assert complaints(lawful) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_keeps_the_rules(path: Path) -> None:
    assert complaints(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()) == []


@pytest.mark.parametrize("name", list(WRITES_BY_ITSELF))
def test_the_exceptions_are_still_needed(name: str) -> None:
    calls = [n for n in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert WRITES_BY_ITSELF[name] <= {mode for call in calls for mode in modes(call)}


def test_what_is_tested_with_is_pinned_and_torch_comes_first() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins[0].startswith("torch==")
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", pin)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for lines in project["optional-dependencies"].values() for r in lines)]
    names = {re.split(r"[^\w-]", line, maxsplit=1)[0].lower() for line in wanted}
    assert names - {pin.split("==")[0] for pin in pins} == set()
