"""torch's compiler in a training: tried where it may pay, kept where it does, and the same after a stop."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from striate.data.loader import Batch
from striate.errors import RecipeError
from striate.models.registry import create_model
from striate.training import compiled
from striate.training import recipe as recipes
from striate.training.compiled import Choice, Compiled, choose, weigh
from striate.training.faster import faster_layers
from striate.training.losses import make_loss
from striate.training.plan import Trial
from tests.training.runs import Listener, chain, files, go

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs g++ for a processor")


def batch(n: int = 6) -> Batch:
    return Batch(torch.randn(n, 3, 8, 8), torch.arange(n) % 2, None)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


def eager(module: nn.Module, **_: Any) -> Any:
    """In place of the compiler, whose time is not what is tested."""
    return torch._dynamo.optimize("eager")(module)


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch.compile without machine code; what it was asked to compile is written down."""
    asked: list[str] = []

    def compile_(module: nn.Module, **given: Any) -> Any:
        asked.append(type(module).__name__)
        return eager(module, **given)

    monkeypatch.setattr(torch, "compile", compile_)
    return asked


def test_a_short_run_is_not_tried(listened: list[str]) -> None:
    found = choose(network(), batch(), make_loss("cross_entropy", 2), bf16=False, steps=10, seconds=1799, plain_s=1.0)
    assert found == Choice(False, "")
    assert not listened


def test_a_long_run_is_tried_on_a_copy_and_both_times_decide(
    listened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    found = choose(module, batch(), make_loss("cross_entropy", 2), bf16=False, steps=9, seconds=1801, plain_s=1e9)
    assert listened == ["Sequential"]
    assert found.compile
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    monkeypatch.setattr(compiled, "trial", lambda *_, **__: Trial(1.0, 0.1))
    found = choose(module, batch(), make_loss("cross_entropy", 2), bf16=False, steps=10**6, seconds=1801, plain_s=1.0)
    assert found == Choice(False, "not compiled: a step would take 1000 ms in place of 1000")


@pytest.mark.parametrize(
    ("plain", "fast", "warm_up", "steps", "pays"),
    [
        (1.0, 0.8, 60, 301, True),
        (1.0, 0.8, 60, 299, False),  # 59.8 s saved for 60
        (1.0, 0.96, 0.001, 10**6, False),  # within what chance does
        (1.0, 0.94, 0.001, 10**6, True),
        (1.0, 1.5, 0.001, 10**6, False),
    ],
)
def test_it_pays_where_it_saves_more_than_the_warm_up_takes(
    plain: float, fast: float, warm_up: float, steps: int, pays: bool
) -> None:
    found = weigh(plain, fast, warm_up, steps)
    assert found.compile is pays
    assert found.why.startswith("compiled: " if pays else "not compiled: ")


def test_where_the_compiler_fails_the_run_goes_on_without_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: nn.Module, **_: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", fail)
    found = choose(network(), batch(), make_loss("cross_entropy", 2), bf16=False, steps=1, seconds=9e9, plain_s=1.0)
    assert not found.compile
    assert "torch's compiler can't do it here (RuntimeError: no C++ compiler)" in found.why


def test_batches_of_another_size_are_computed_as_they_are(listened: list[str]) -> None:
    module, forward = network().eval(), Compiled()
    for n in (6, 4, 6):
        x = batch(n).images
        assert torch.allclose(forward(module, x), module(x), atol=1e-6)
    assert len(listened) == 1


def test_the_decision_is_told_and_stored_in_the_run(
    images: Path, tmp_path: Path, listened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "WORTH_A_TRY", 0.0)
    for name, choice in {"kept": Choice(True, "compiled: so"), "left": Choice(False, "not compiled: so")}.items():
        monkeypatch.setattr(compiled, "weigh", lambda *_, choice=choice: choice)
        listener = Listener()
        go(images, tmp_path / name, listener=listener)
        assert choice.why in listener.notes
        assert recipes.read(tmp_path / name / "recipe.toml").compile is choice.compile
    assert len(listened) == 3  # twice on a copy, once to train with
    assert files(tmp_path / "left") != {}


def test_a_run_with_it_that_was_stopped_is_the_run_that_was_not(
    images: Path, tmp_path: Path, listened: list[str]
) -> None:
    go(images, tmp_path / "whole", compile=True)
    assert listened
    chain(images, tmp_path / "parts", iter([3, 3, 1, 4]), compile=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_by_hand_there_is_nothing_to_compile(images: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="torch can't compile"):
        go(images, tmp_path / "run", engine="by-hand", compile=True)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["resnet18", "mnasnet_050"])
def test_compiled_to_machine_code_the_gradients_are_the_same_but_for_rounding(name: str) -> None:
    """Also with the layers that are computed in other ways in training."""
    torch.manual_seed(0)
    module = create_model(name, num_classes=3).double().train()  # norms over few values amplify float32's rounding
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # the compiler draws other numbers
    images, labels = torch.randn(8, 3, 64, 64).double(), torch.arange(8) % 3
    found = []
    with faster_layers(module, torch.device("cpu")):
        for forward in (nn.Module.__call__, Compiled()):
            module.zero_grad()
            nn.functional.cross_entropy(forward(module, images), labels).backward()
            found.append(torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]))
    assert (found[0] - found[1]).norm() < 1e-9 * found[0].norm()


@pytest.mark.slow
@needs_compiler
def test_a_compiled_training_that_was_stopped_is_the_one_that_was_not(images: Path, tmp_path: Path) -> None:
    go(images, tmp_path / "whole", compile=True)
    chain(images, tmp_path / "parts", iter([3, 3]), compile=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
