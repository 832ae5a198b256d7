"""`striate calc` prints the formula with the numbers put in, as text or as JSON, and loads no torch for it."""

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Command

QUESTIONS = {
    "output-size --input 7 --kernel 3 --stride 2": 3,
    "output-size -i 224 -k 3 -s 2 -p same_keras": 112,
    "output-size -i 7 -k 3 -s 3 -p 1,1": 3,
    "padding --kernel 5": 2,
    "padding-for --output 3 --input 7 --kernel 3 --stride 3": 2,
    "parameters --input 28x28x1 conv3-32": 320,
    "macs --input 12x12x3 conv5-128": 614_400,
    "macs --input 12x12x3 dwconv5 conv1-128": 29_376,
    "receptive-field 3xconv3": 7,
    "memory --input 28x1 conv3-32": 4 * (28 * 28 + 26 * 26 * 32),
}


@pytest.mark.parametrize(("question", "value"), QUESTIONS.items())
def test_a_question_is_answered(question: str, value: int, striate: Command) -> None:
    told = striate("calc", *question.split())
    assert told.code == 0
    assert f"= {value:,}" in told.out
    assert json.loads(striate("calc", *question.split(), "--json").out)["value"] == value


def test_a_mistake_ends_in_one_line_and_exit_code_2(striate: Command) -> None:
    told = striate("calc", "macs", "--input", "12x3", "cnv3")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("striate: 'cnv3' is no layer")
    assert told.err.count("\n") == 1


def test_it_needs_neither_torch_nor_numpy() -> None:
    source = (
        "import sys\nfrom striate.cli.main import main\n"
        "try:\n    main('calc padding -k 3'.split())\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
