"""`striate weights`, and `striate predict MODEL --weights`."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from striate.cli.main import app
from striate.models.registry import create_model


def said(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_of_what_is_published_for_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    lines = said("weights", "resnet18").splitlines()
    assert lines[0].split() == ["model", "tag", "publisher", "top-1", "size", "licence"]
    assert lines[1].split() == ["*", "resnet18", "torchvision.v1", "torchvision", "69.8", "47", "MB", "BSD-3-Clause"]
    assert any("timm.a1_in1k" in line and "apache-2.0" in line for line in lines)
    assert not any(line.endswith("here") for line in lines)


def test_weights_that_are_here_are_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18-f37072fd.pth").write_bytes(b"")
    assert said("weights", "resnet18").splitlines()[1].endswith("here")


def test_the_table_as_json_has_preprocessing_and_addresses() -> None:
    rows = json.loads(said("weights", "mobilenet_v2*", "--json"))
    first = next(row for row in rows if row["tag"] == "torchvision.v2")
    assert first["default"]
    assert first["urls"] == ["https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"]
    assert first["preprocess"]["short_side"] == 232
    assert first["sentence"].startswith("RGB")


def test_a_form_without_weights_is_told_which_has_them() -> None:
    assert "torchvision's GoogLeNet fits 'googlenet_bn'" in said("weights", "googlenet")


def test_predict_takes_a_model_and_a_weights_file(tmp_path: Path) -> None:
    torch.save(create_model("cifar_resnet20", num_classes=4).state_dict(), tmp_path / "four.pth")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    words = [
        "predict",
        "cifar_resnet20",
        str(tmp_path / "red.png"),
        "--weights",
        str(tmp_path / "four.pth"),
        "--top",
        "4",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("%") == 4
    assert "note: nothing says how the images for four.pth were prepared" in result.stderr
