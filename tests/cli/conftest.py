"""A small run, and the command line inside this process."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli.main import main
from striate.data.sources import open_dataset


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def striate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`striate("train", "digits")` runs the command and gives its exit code and what it printed."""

    def run(*words: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        try:
            main([str(word) for word in words])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twenty handwritten digits as PNG files, named after what they are."""
    folder = tmp_path_factory.mktemp("digits")
    test = open_dataset("digits").split("test")
    for i in range(20):
        pixels = np.asarray(test.images.read(i))[:, :, 0]
        Image.fromarray(pixels).save(folder / f"{i:02d}-is-{test.labels[i]}.png")
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LeNet-5 after four epochs on the digits."""
    from striate.training.job import train
    from striate.training.options import Options

    folder = tmp_path_factory.mktemp("runs") / "small"
    train("digits", "lenet5", out=folder, epochs=4, augment="none", options=Options(threads=1, workers=0))
    return folder
