"""`striate train --weights --freeze` as it is typed, and the exit code of each mistake."""

from dataclasses import replace
from pathlib import Path

import pytest

from striate.cli.main import main
from striate.models import published
from striate.models.published import ENVIRONMENT, choose


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    capsys.readouterr()
    try:
        main(["train", *map(str, words), "--threads", "1", "--workers", "0"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return code, out.out + out.err


def test_two_options_are_enough_and_the_plan_says_what_will_happen(
    finished: Path, two_classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (two_classes, "--weights", finished, "--freeze", "head", "--set", "epochs=2", "--out", tmp_path / "r")
    code, text = said(capsys, *words, "--no-evaluate")
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert lines["weights"].split(maxsplit=1)[1] == "finished: 8 tensors; fc begins anew"
    assert lines["frozen"].split(maxsplit=1)[1].startswith("conv to conv2")
    assert lines["features"].split(maxsplit=1)[1] == "cached: computed once, behind flatten"
    assert "(as the weights of finished were trained)" in lines["input"]
    assert "8 frozen tensors with " in text
    assert "every SHA-256 is the same as before training" in text
    assert "warning: the first loss" not in text


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--freeze", "bnn"], 2, "freeze = 'bnn': the network has no step of that name"),
        (["--freeze", "bn", "--set", "features=cached"], 2, "features = 'cached' can't be"),
        (["--set", "unfreeze=[{epoch=1}]"], 2, "expected a list of {epoch = 3, down_to = 'STEP', lr = 0.0001}"),
        (["--model", "test_plain"], 4, "holds a trained test_norm, not a test_plain"),
        (["--weights", "gone.pth", "--model", "test_norm"], 4, "gone.pth"),
        (
            ["--weights", "imagnet", "--model", "resnet18"],
            2,
            "neither a file nor published ones; did you mean 'imagenet'",
        ),
        (["--weights", "imagenet:v9", "--model", "resnet18"], 2, "imagenet:v9"),
        (["--weights", "imagenet", "--model", "test_norm"], 2, "no imagenet weights are published for test_norm"),
    ],
)
def test_each_mistake_has_its_exit_code(
    finished: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, part: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = words if "--weights" in words else ["--weights", str(finished), *words]
    found, text = said(capsys, images, *given)
    assert (found, part in text) == (code, True), text


def test_without_a_network_it_says_where_to_put_the_file(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(choose("resnet18", "imagenet"), urls=("http://127.0.0.1:9/resnet18.pth",))
    monkeypatch.setattr(published, "catalogue", lambda: (one,))
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "cache"))
    code, text = said(capsys, images, "--model", "resnet18", "--weights", "imagenet", "--out", tmp_path / "r")
    assert code == 3
    assert f"put it at {tmp_path / 'cache' / 'weights' / one.file}" in text
    assert not (tmp_path / "r").exists()


def test_weights_of_another_form_are_refused_with_the_one_they_fit(
    shared: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = shared / "weights" / "imagenet_squeezenet1_0_deepcompressed.safetensors"
    code, text = said(capsys, images, "--model", "squeezenet1_1", "--weights", file)
    assert code == 4
    assert "do not fit the model" in text
    assert "'squeezenet1_0'" in text
