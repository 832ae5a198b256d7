"""What a first look costs: `import striate`, `striate --help` and every command's help load none of the heavy packages.

Times are measured in benchmarks/startup.py; here it is what is loaded that counts, which no busy machine changes.
"""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "PIL", "matplotlib", "scipy", "sklearn", "safetensors"}

COMMANDS = "import typer; from striate.cli.main import app; names = list(typer.main.get_command(app).commands)"
RUN = """
import sys
sys.argv = ["striate", *{arguments}]
from striate.cli.main import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
assert not code, code
"""


def loaded_after(source: str) -> set[str]:
    """Top-level names in sys.modules at the end of a fresh process that ran `source`."""
    report = "import json, sys\njson.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{source}\n{report}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_probe_sees_a_heavy_import() -> None:
    assert "numpy" in loaded_after("import numpy")


def test_importing_striate_loads_nothing_heavy() -> None:
    assert loaded_after("import striate") & HEAVY == set()


def test_listing_what_striate_offers_loads_nothing_heavy() -> None:
    assert loaded_after("import striate; dir(striate); striate.__version__") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_the_first_words_of_the_command_line_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_after(RUN.format(arguments=arguments)) & HEAVY == set()


def test_every_command_explains_itself_without_loading_anything_heavy() -> None:
    commands = f"""
import io, sys
from contextlib import redirect_stdout
{COMMANDS}
assert len(names) >= 5, names
from typer.testing import CliRunner
for name in names:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output, (name, result.output)
"""
    assert loaded_after(commands) & HEAVY == set()


def test_a_name_that_striate_does_not_have_is_answered_with_those_it_has() -> None:
    import striate

    with pytest.raises(AttributeError, match="load"):
        _ = striate.lode  # type: ignore[attr-defined]
